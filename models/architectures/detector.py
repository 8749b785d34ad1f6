"""A one-stage, anchor-free detector of depthwise convolutions.

    picture ─ stem ─ stage 4 ─ stage 8 ─ stage 16 ─ stage 32      backbone: depthwise separable, ReLU6
                        │         │          │          │
                       (P4) ◄──── P8 ◄────── P16 ◄───── P32       neck: 1×1, nearest upsampling, addition
                        │         │          │          │
                               scores, boxes at each stride       heads: two towers a stride

Stride 4, for objects of few pixels, is there when asked for; its narrower channels cost half as much again.

Every operator maps to the Edge TPU: CONV_2D, DEPTHWISE_CONV_2D, ADD, RESIZE_NEAREST_NEIGHBOR, LOGISTIC.

Outputs, per stride s of (4,) 8, 16, 32, as the agent's decoder "anchor-free" reads them:
    scores_s  (B, H/s, W/s, C)  sigmoid of each class
    boxes_s   (B, H/s, W/s, 4)  from the cell's centre to the left, top, right and bottom side, in strides

Sources: Howard et al., MobileNets, 2017 (depthwise separable convolution, ReLU6); Lin et al., Feature Pyramid
Networks, CVPR 2017; Tian et al., FCOS, ICCV 2019 (anchor-free boxes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.errors import ConfigError
from agent.vision.model_spec import InputSpec, ModelSpec, OutputSpec
from models.architectures.pixels import PIXEL_MEAN, PIXEL_STD

_FIRST_SCORE_BIAS = -4.6
"""Scores start at 0.01, so that the many empty cells do not drown the first steps (Lin et al., Focal Loss,
ICCV 2017, 4.1)."""
_FIRST_DISTANCE = 2.0


@dataclass(frozen=True, slots=True)
class DetectorShape:
    """How large a detector is.

    Args:
        labels: class names.
        width, height: of the input in px, multiples of 32.
        stem: channels after the first convolution (stride 2).
        stages: channels at strides 4, 8, 16 and 32.
        depths: depthwise separable blocks in each of these stages.
        neck: channels of the pyramid and the heads.
        fine: channels of the pyramid and the heads at stride 4; 0 for none of them.
    """

    labels: tuple[str, ...]
    width: int = 320
    height: int = 192
    stem: int = 16
    stages: tuple[int, int, int, int] = (32, 72, 144, 208)
    depths: tuple[int, int, int, int] = (1, 3, 4, 2)
    neck: int = 72
    fine: int = 0

    def __post_init__(self) -> None:
        if not self.labels:
            raise ConfigError("detector labels", "expected one class name or more, got none")
        for name, side in (("width", self.width), ("height", self.height)):
            if side < 64 or side % 32:
                raise ConfigError(f"detector {name}", f"expected a multiple of 32 from 64 px on, got {side}")

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the heads, in px of the input, the finest first."""
        return (4, 8, 16, 32) if self.fine else (8, 16, 32)

    def neck_at(self, stride: int) -> int:
        """Channels of the pyramid and the heads at a stride."""
        return self.fine if stride == 4 else self.neck


def build_detector(shape: DetectorShape) -> Any:
    """The Keras model, weights at random.

    Returns:
        A model from (B, H, W, 3) float32 in -1..1 to the tensors above, in the order scores_8, boxes_8,
        scores_16, boxes_16, scores_32, boxes_32; those of stride 4 come first.
    """
    import keras

    layers = keras.layers

    def conv(x: Any, channels: int, size: int, stride: int, name: str) -> Any:
        x = layers.Conv2D(channels, size, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(momentum=0.97, epsilon=1e-3, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x)

    def separable(x: Any, channels: int, stride: int, name: str) -> Any:
        """3×3 depthwise, 1×1 pointwise, each with batch norm and ReLU6; a shortcut where shapes allow."""
        skip = x
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=f"{name}_dw")(x)
        x = layers.BatchNormalization(momentum=0.97, epsilon=1e-3, name=f"{name}_dw_bn")(x)
        x = layers.ReLU(6.0, name=f"{name}_dw_relu")(x)
        x = conv(x, channels, 1, 1, name)
        if stride == 1 and skip.shape[-1] == channels:
            x = layers.Add(name=f"{name}_add")([skip, x])
        return x

    picture = keras.Input((shape.height, shape.width, 3), name="image")  # (B, H, W, 3)
    x = conv(picture, shape.stem, 3, 2, "stem")  # (B, H/2, W/2, 16)
    features = []
    for stage, (channels, depth) in enumerate(zip(shape.stages, shape.depths, strict=True)):
        for block in range(depth):
            x = separable(x, channels, 2 if block == 0 else 1, f"stage{4 << stage}_{block}")
        features.append(x)  # (B, H/4 … H/32, …, 32 … 192)

    lateral = {
        stride: conv(feature, shape.neck_at(stride), 1, 1, f"lateral{stride}")
        for stride, feature in zip(shape.strides, features[-len(shape.strides) :], strict=True)
    }
    pyramid = {32: lateral[32]}  # (B, H/32, W/32, 64)
    for stride in (16, 8):
        # Keras' UpSampling2D becomes TILE and SHAPE, which no Edge TPU runs; this is one resize operator.
        size = (shape.height // stride, shape.width // stride)
        above = layers.Resizing(*size, interpolation="nearest", name=f"up{stride}")(pyramid[stride * 2])
        merged = layers.Add(name=f"merge{stride}")([lateral[stride], above])
        pyramid[stride] = separable(merged, shape.neck, 1, f"smooth{stride}")  # (B, H/s, W/s, 64)
    if shape.fine:
        narrow = conv(pyramid[8], shape.fine, 1, 1, "narrow8")
        size = (shape.height // 4, shape.width // 4)
        above = layers.Resizing(*size, interpolation="nearest", name="up4")(narrow)
        pyramid[4] = layers.Add(name="merge4")([lateral[4], above])  # (B, H/4, W/4, fine)

    outputs: dict[str, Any] = {}
    for stride in shape.strides:
        seen = separable(pyramid[stride], shape.neck_at(stride), 1, f"class{stride}")
        placed = separable(pyramid[stride], shape.neck_at(stride), 1, f"place{stride}")
        scores = layers.Conv2D(
            len(shape.labels),
            1,
            bias_initializer=keras.initializers.Constant(_FIRST_SCORE_BIAS),
            name=f"logits_{stride}",
        )(seen)
        outputs[f"scores_{stride}"] = layers.Activation("sigmoid", name=f"scores_{stride}")(scores)
        outputs[f"boxes_{stride}"] = layers.Conv2D(
            4, 1, bias_initializer=keras.initializers.Constant(_FIRST_DISTANCE), name=f"boxes_{stride}"
        )(placed)
    names = [f"{role}_{stride}" for stride in shape.strides for role in ("scores", "boxes")]
    return keras.Model(picture, [outputs[name] for name in names], name="detector")


def detector_spec(name: str, shape: DetectorShape, output_names: tuple[str, ...] = ()) -> ModelSpec:
    """The ModelSpec of a detector; outputs are named by the file's tensors, or by their order."""
    roles = [(role, stride) for stride in shape.strides for role in ("scores", "boxes")]
    outputs = tuple(
        OutputSpec(role=role, stride=stride, name=output_names[index] if output_names else None,
                   index=None if output_names else index)
        for index, (role, stride) in enumerate(roles)
    )  # fmt: skip
    return ModelSpec(
        name=name,
        task="detection",
        input=InputSpec(
            width=shape.width, height=shape.height, colour="rgb", mean=(PIXEL_MEAN,), std=(PIXEL_STD,),
            resize="letterbox", interpolation="area",
        ),
        outputs=outputs,
        decoder="anchor-free",
        strides=shape.strides,
        labels=shape.labels,
        min_score=0.4,
        min_iou_nms=0.5,
    )  # fmt: skip
