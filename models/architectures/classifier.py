"""A small convolutional classifier, for MNIST, CIFAR-10 or any folder of classes.

    picture ─ conv 3×3 ─ [conv 3×3 stride 2 ─ blocks × (conv 3×3 with shortcut)] × stages ─ mean ─ dense
    ─ softmax

Every convolution has batch norm and ReLU6. All operators map to the Edge TPU: CONV_2D, ADD, MEAN,
FULLY_CONNECTED, SOFTMAX.

Sources: He et al., Deep Residual Learning, CVPR 2016 (shortcuts); Lin et al., Network in Network, 2014
(global mean in place of large dense layers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.errors import ConfigError
from agent.vision.model_spec import InputSpec, ModelSpec, OutputSpec
from models.architectures.pixels import PIXEL_MEAN, PIXEL_STD

"""A pixel p enters as (p - mean) / std, in -1..1."""


@dataclass(frozen=True, slots=True)
class ClassifierShape:
    """How large a classifier is.

    Args:
        labels: class names.
        width, height: of the input in px.
        gray: one channel rather than three.
        stem: channels of the first convolution.
        stages: channels of each stage; a stage halves the picture.
        blocks: convolutions with a shortcut in each stage.
        dropout: 0..1, part of the features that are dropped before the last layer while training.
    """

    labels: tuple[str, ...]
    width: int = 32
    height: int = 32
    gray: bool = False
    stem: int = 32
    stages: tuple[int, ...] = (64, 128, 192)
    blocks: int = 1
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if len(self.labels) < 2:
            raise ConfigError(
                "classifier labels", f"expected two class names or more, got {len(self.labels)}"
            )
        least = 2 ** len(self.stages)
        if min(self.width, self.height) < least:
            raise ConfigError(
                "classifier input",
                f"expected {least} px or more on each side, got {self.width}×{self.height}",
            )


def build_classifier(shape: ClassifierShape, momentum: float = 0.95) -> Any:
    """The Keras model, weights at random: (B, H, W, 1 or 3) float32 in -1..1 to (B, C) probabilities.

    Args:
        shape: of the network.
        momentum: 0..1, of the statistics of batches that are used after training; the fewer steps there are,
            the smaller.
    """
    import keras

    layers = keras.layers

    def conv(x: Any, channels: int, stride: int, name: str) -> Any:
        x = layers.Conv2D(channels, 3, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x)

    picture = keras.Input(
        (shape.height, shape.width, 1 if shape.gray else 3), name="image"
    )  # (B, H, W, 1 or 3)
    x = conv(picture, shape.stem, 1, "stem")  # (B, H, W, 32)
    for number, channels in enumerate(shape.stages, 1):
        x = conv(x, channels, 2, f"stage{number}_down")  # (B, H/2ⁿ, W/2ⁿ, 64 … 192)
        for block in range(1, shape.blocks + 1):
            name = f"stage{number}" if block == 1 else f"stage{number}_{block}"
            x = layers.Add(name=f"{name}_add")([x, conv(x, channels, 1, name)])
    x = layers.GlobalAveragePooling2D(name="mean")(x)  # (B, 192)
    x = layers.Dropout(shape.dropout, name="dropout")(x)
    probabilities = layers.Dense(len(shape.labels), activation="softmax", name="probabilities")(x)  # (B, C)
    return keras.Model(picture, probabilities, name="classifier")


def classifier_spec(name: str, shape: ClassifierShape) -> ModelSpec:
    """The ModelSpec of a classifier."""
    return ModelSpec(
        name=name,
        task="classification",
        input=InputSpec(
            width=shape.width, height=shape.height, colour="gray" if shape.gray else "rgb",
            mean=(PIXEL_MEAN,), std=(PIXEL_STD,), resize="stretch", interpolation="area",
        ),
        outputs=(OutputSpec(role="scores", index=0),),
        labels=shape.labels,
    )  # fmt: skip
