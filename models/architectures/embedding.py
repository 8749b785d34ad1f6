"""A small appearance embedding: crops of the same object lie close together, others far apart.

    crop ─ conv 3×3 ─ [separable stride 2 ─ separable with shortcut] × stages ─ mean of 4 strips ─ dense

Every convolution has batch norm and ReLU6. Strips keep apart what is worn above and below. The vector is not
scaled to length 1 in the network: the agent does that. All operators map to the Edge TPU: CONV_2D,
DEPTHWISE_CONV_2D, ADD, AVERAGE_POOL_2D, RESHAPE, FULLY_CONNECTED.

Sources: Howard et al., MobileNets, 2017 (separable convolutions); Sun et al., Beyond Part Models: Person
Retrieval with Refined Part Pooling, ECCV 2018 (strips).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.errors import ConfigError
from agent.vision.model_spec import InputSpec, ModelSpec, OutputSpec
from models.architectures.pixels import PIXEL_MEAN, PIXEL_STD

_STRIPS = 4


@dataclass(frozen=True, slots=True)
class EmbeddingShape:
    """How large an embedding is.

    Args:
        width, height: of the input in px.
        stem: channels of the first convolution.
        stages: channels of each stage; a stage halves the picture.
        length: of the vector.
    """

    width: int = 32
    height: int = 64
    stem: int = 16
    stages: tuple[int, ...] = (32, 64, 128)
    length: int = 64

    def __post_init__(self) -> None:
        step = 2 ** len(self.stages)
        if self.width % step or self.height % (step * _STRIPS):
            raise ConfigError(
                "embedding input",
                f"expected a width in steps of {step} px and a height in steps of {step * _STRIPS}, "
                f"got {self.width}×{self.height}",
            )


def build_embedding(shape: EmbeddingShape) -> Any:
    """The Keras model, weights at random: (B, H, W, 3) float32 in -1..1 to (B, length)."""
    import keras

    layers = keras.layers

    def normal(x: Any, name: str) -> Any:
        x = layers.BatchNormalization(momentum=0.95, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x)

    def separable(x: Any, channels: int, stride: int, name: str) -> Any:
        depthwise = layers.DepthwiseConv2D(
            3, stride, padding="same", use_bias=False, name=f"{name}_depthwise"
        )
        x = normal(depthwise(x), f"{name}_depthwise")
        pointwise = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_pointwise")
        return normal(pointwise(x), f"{name}_pointwise")

    crop = keras.Input((shape.height, shape.width, 3), name="crop")  # (B, 64, 32, 3)
    x = layers.Conv2D(shape.stem, 3, padding="same", use_bias=False, name="stem_conv")(crop)
    x = normal(x, "stem")  # (B, 64, 32, 16)
    for number, channels in enumerate(shape.stages, 1):
        x = separable(x, channels, 2, f"stage{number}_down")  # (B, 64/2ⁿ, 32/2ⁿ, 32 … 128)
        x = layers.Add(name=f"stage{number}_add")([x, separable(x, channels, 1, f"stage{number}")])
    step = 2 ** len(shape.stages)
    strip = (shape.height // step // _STRIPS, shape.width // step)
    x = layers.AveragePooling2D(strip, name="strips")(x)  # (B, 4, 1, 128)
    x = layers.Flatten(name="parts")(x)  # (B, 512)
    embedding = layers.Dense(shape.length, name="embedding")(x)  # (B, 64)
    return keras.Model(crop, embedding, name="embedding")


def embedding_spec(name: str, shape: EmbeddingShape) -> ModelSpec:
    """The ModelSpec of an embedding."""
    return ModelSpec(
        name=name,
        task="embedding",
        input=InputSpec(
            width=shape.width, height=shape.height, mean=(PIXEL_MEAN,), std=(PIXEL_STD,), resize="stretch",
            interpolation="area",
        ),
        outputs=(OutputSpec(role="embedding", index=0),),
    )  # fmt: skip
