"""Resize and Upsample."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from converter.load.onnx.arrange import channels_last
from converter.load.onnx.node import Node
from converter.load.onnx.values import Operand, Value


def resize(node: Node, inputs: list[Operand | None]) -> Operand:
    """Resize (and Upsample, its forerunner) of the two spatial axes, to the nearest pixel or linearly."""
    value = channels_last(node.given(inputs, 0))
    if value.rank != 4:
        node.fail(f"expected 2 spatial axes, got an input {value.shape}")
    size = _target(node, inputs, value)
    mode = node.get("mode", "nearest")
    upsample = node.op_type == "Upsample"
    transform = "asymmetric" if upsample else node.get("coordinate_transformation_mode", "half_pixel")
    if transform == "pytorch_half_pixel" and 1 not in size:
        transform = "half_pixel"
    if mode == "nearest":
        tensor = _nearest(node, value, size, transform, upsample)
    elif mode == "linear" and transform in ("half_pixel", "asymmetric", "align_corners"):
        tensor = tf.compat.v1.image.resize_bilinear(
            value.tensor,
            size,
            align_corners=transform == "align_corners",
            half_pixel_centers=transform == "half_pixel",
        )
    else:
        node.fail(f"expected nearest or linear, got {mode} with {transform}", "export with one of these")
    return Value(tensor, channels_last=True, nonnegative=value.nonnegative)


def _nearest(node: Node, value: Value, size: tuple[int, int], transform: str, upsample: bool) -> tf.Tensor:
    factors = [wanted / had for wanted, had in zip(size, value.shape[2:], strict=True)]
    rounding = "floor" if upsample else node.get("nearest_mode", "round_prefer_floor")
    whole = all(factor == int(factor) for factor in factors)
    if (transform == "asymmetric" and rounding == "floor") or (
        # By a whole factor both roads lead to floor(x / factor).
        transform == "half_pixel" and rounding in ("round_prefer_floor", "round_prefer_ceil") and whole
    ):
        return tf.compat.v1.image.resize_nearest_neighbor(value.tensor, size)
    return node.fail(
        f"expected asymmetric and floor, or a whole factor, got {transform}, {rounding}, factors {factors}"
    )


def _target(node: Node, inputs: list[Operand | None], value: Value) -> tuple[int, int]:
    """(height, width) of the result, from sizes or scales."""
    if len(inputs) > 3 and inputs[3] is not None:
        sizes = node.constant(inputs[3], "sizes").reshape(-1)
        return int(sizes[-2]), int(sizes[-1])
    position = 2 if node.op_type == "Resize" and node.opset >= 11 else 1
    scales = node.get("scales")
    if scales is None:
        given = inputs[position] if len(inputs) > position else None
        scales = node.constant(given, "scales").reshape(-1)
    if len(scales) != 4 or not np.allclose(scales[:2], 1.0):
        node.fail(f"expected scales for (N, C, H, W) with 1 for N and C, got {list(scales)}")
    height, width = (
        int(np.floor(size * scale)) for size, scale in zip(value.shape[2:], scales[2:], strict=True)
    )
    return height, width
