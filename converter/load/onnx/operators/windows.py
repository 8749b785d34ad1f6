"""Sliding windows: where ONNX pads and what TensorFlow makes of it."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from converter.load.onnx.node import Node
from converter.load.onnx.values import Tensor

Pads = tuple[tuple[int, int], ...]
"""(before, after) for each spatial axis."""


def window_pads(
    node: Node, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Pads:
    """The padding of a Conv or pool node, `auto_pad` resolved.

    Args:
        sizes, kernel, strides, dilations: one number per spatial axis.
    """
    auto_pad = node.get("auto_pad", "NOTSET")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for before, after in same_pads(sizes, kernel, strides, dilations):
            pads.append((before, after) if auto_pad == "SAME_UPPER" else (after, before))
        return tuple(pads)
    if auto_pad == "VALID":
        return ((0, 0),) * len(sizes)
    flat = [int(pad) for pad in node.get("pads", [0] * 2 * len(sizes))]
    if min(flat) < 0:
        node.fail(f"expected pads of 0 or more, got {flat}")
    pads = list(zip(flat[: len(sizes)], flat[len(sizes) :], strict=True))
    if node.get("ceil_mode", 0):
        for axis, (size, length, stride, dilation) in enumerate(
            zip(sizes, kernel, strides, dilations, strict=True)
        ):
            before, after = pads[axis]
            rest = (size + before + after - (length - 1) * dilation - 1) % stride
            # A last window that begins within the padding after the input is left out (ONNX, PyTorch).
            steps = -(-(size + before + after - (length - 1) * dilation - 1) // stride)
            if rest and steps * stride < size + before:
                pads[axis] = (before, after + stride - rest)
    return tuple(pads)


def same_pads(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Pads:
    """What TensorFlow's padding "SAME" adds: enough for ceil(size / stride) windows, the odd one after."""
    pads = []
    for size, length, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + (length - 1) * dilation + 1 - size, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def zero_pad(tensor: Tensor, pads: Pads) -> Tensor:
    """Zeros around the spatial axes of (N, *spatial, C)."""
    if not any(map(any, pads)):
        return tensor
    return tf.pad(tensor, [(0, 0), *pads, (0, 0)])


def edge_pad(tensor: Tensor, pads: Pads) -> Tensor:
    """The outermost rows and columns repeated, by slices and concatenation, which an Edge TPU runs."""
    for axis, (before, after) in enumerate(pads, start=1):
        size = int(tensor.shape[axis])
        first, last = ([slice(None)] * len(tensor.shape) for _ in range(2))
        first[axis], last[axis] = slice(0, 1), slice(size - 1, size)
        parts = [tensor[tuple(first)]] * before + [tensor] + [tensor[tuple(last)]] * after
        tensor = tf.concat(parts, axis) if len(parts) > 1 else tensor
    return tensor
