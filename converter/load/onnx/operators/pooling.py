"""Pools and means."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from converter.load.onnx.arrange import channels_last, value_of
from converter.load.onnx.node import Node
from converter.load.onnx.operators.windows import edge_pad, same_pads, window_pads, zero_pad
from converter.load.onnx.values import Constant, Operand, Value


def max_pool(node: Node, inputs: list[Operand | None]) -> Operand:
    """MaxPool without -inf anywhere: an int8 scale must hold every value, and -inf makes it 1e36.

    Padding is TensorFlow's own where that pads alike, zeros where no input is below 0, and else the outermost
    pixels repeated: with pads of at most half the window each repeated pixel is in its window anyway.
    """
    value = channels_last(node.given(inputs, 0))
    kernel, strides, dilations = _window(node, value)
    if node.output_count > 1 or set(dilations) != {1}:
        node.fail("expected no indices as second output and no dilation")
    pads = window_pads(node, value.shape[2:], kernel, strides, dilations)
    if pads == same_pads(value.shape[2:], kernel, strides, dilations):
        pooled = tf.nn.max_pool2d(value.tensor, kernel, strides, "SAME")
    else:
        if not value.nonnegative and any(2 * max(pad) > size for pad, size in zip(pads, kernel, strict=True)):
            node.fail(f"expected pads of at most half the window {kernel}, got {pads}")
        padded = zero_pad(value.tensor, pads) if value.nonnegative else edge_pad(value.tensor, pads)
        pooled = tf.nn.max_pool2d(padded, kernel, strides, "VALID")
    return Value(pooled, channels_last=True, nonnegative=value.nonnegative)


def average_pool(node: Node, inputs: list[Operand | None]) -> Operand:
    """AveragePool; where padding does not count, border windows are scaled up by a constant."""
    value = channels_last(node.given(inputs, 0))
    kernel, strides, dilations = _window(node, value)
    if set(dilations) != {1}:
        node.fail("expected no dilation")
    pads = window_pads(node, value.shape[2:], kernel, strides, dilations)
    counts_padding = bool(node.get("count_include_pad", 0))
    padded = any(map(any, pads))
    if padded and not counts_padding and pads == same_pads(value.shape[2:], kernel, strides, dilations):
        pooled = tf.nn.avg_pool2d(value.tensor, kernel, strides, "SAME")
    else:
        pooled = tf.nn.avg_pool2d(zero_pad(value.tensor, pads), kernel, strides, "VALID")
        if padded and not counts_padding:
            pooled = pooled * _window_sizes(value.shape[2:], kernel, strides, pads)
    return Value(pooled, channels_last=True, nonnegative=value.nonnegative)


def _window_sizes(
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
) -> Constant:
    """(1, H, W, 1): size of the window over the number of its elements that are not padding."""
    factors = []
    for size, length, stride, (before, after) in zip(sizes, kernel, strides, pads, strict=True):
        inside = np.pad(np.ones(size), (before, after))
        counts = np.lib.stride_tricks.sliding_window_view(inside, length)[::stride].sum(axis=-1)
        factors.append(length / counts)
    table: Constant = np.multiply.outer(*factors).astype(np.float32)[None, :, :, None]
    return table


def global_average_pool(node: Node, inputs: list[Operand | None]) -> Operand:
    """GlobalAveragePool: the mean over all spatial axes, kept as axes of length 1."""
    value = channels_last(node.given(inputs, 0))
    axes = list(range(1, value.rank - 1))
    return Value(tf.reduce_mean(value.tensor, axes, keepdims=True), True, value.nonnegative)


def global_max_pool(node: Node, inputs: list[Operand | None]) -> Operand:
    """GlobalMaxPool: as a max pool of the picture's size, which an Edge TPU runs and REDUCE_MAX is not."""
    value = channels_last(node.given(inputs, 0))
    if value.rank != 4:
        node.fail(f"expected 2 spatial axes, got an input {value.shape}")
    return Value(tf.nn.max_pool2d(value.tensor, value.shape[2:], 1, "VALID"), True, value.nonnegative)


def reduce_mean(node: Node, inputs: list[Operand | None]) -> Operand:
    """ReduceMean over given axes (an attribute until opset 17, an input since)."""
    value = value_of(node.given(inputs, 0))
    axes = node.get("axes")
    if axes is None and len(inputs) > 1 and inputs[1] is not None:
        axes = node.constant(inputs[1], "axes").tolist()
    logical = sorted(int(axis) % value.rank for axis in (axes if axes is not None else range(value.rank)))
    keep = bool(node.get("keepdims", 1))
    reduced = tf.reduce_mean(value.tensor, [value.axis(axis) for axis in logical], keepdims=keep)
    if keep or not value.channels_last:
        return Value(reduced, value.channels_last, value.nonnegative)
    if logical == list(range(2, value.rank)):
        return Value(reduced, False, value.nonnegative)  # (N, C): the same in both layouts
    if 1 in logical:
        return Value(reduced, False, value.nonnegative)  # what is left stands in logical order
    return Value(reduced, len(reduced.shape) > 2, value.nonnegative)


def _window(node: Node, value: Value) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """(kernel, strides, dilations) of a pool over two spatial axes."""
    kernel = tuple(int(length) for length in node.get("kernel_shape", ()))
    if value.rank != 4 or len(kernel) != 2:
        node.fail(f"expected 2 spatial axes, got a window {kernel} for an input {value.shape}")
    return kernel, tuple(node.get("strides", [1, 1])), tuple(node.get("dilations", [1, 1]))
