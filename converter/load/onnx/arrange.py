"""Doing written-down data movement with the one operation that it amounts to."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from converter.load.onnx.values import Constant, Moved, Operand, Tensor, Value


def value_of(operand: Operand) -> Value:
    """Any operand as a tensor, arranged as cheaply as its movement allows."""
    if isinstance(operand, Value):
        return operand
    if isinstance(operand, Moved):
        if not operand.cache:
            operand.cache.append(_arrange(operand))
        return operand.cache[0]
    return Value(tf.constant(np.asarray(operand)), nonnegative=bool((np.asarray(operand) >= 0).all()))


def plain(operand: Operand) -> Tensor:
    """The tensor in logical order (N, C, ...)."""
    value = value_of(operand)
    if not value.channels_last:
        return value.tensor
    if all(size == 1 for size in value.shape[2:]) or value.shape[1] == 1:
        return tf.reshape(value.tensor, value.shape)
    return tf.transpose(value.tensor, [0, value.rank - 1, *range(1, value.rank - 1)])


def channels_last(operand: Operand) -> Value:
    """The tensor with its channels last, (N, ..., C); rank 3 and more."""
    value = value_of(operand)
    if value.channels_last:
        return value
    moved = tf.transpose(value.tensor, [0, *range(2, value.rank), 1])
    return Value(moved, channels_last=True, nonnegative=value.nonnegative)


def constant_channels_last(constant: Constant, rank: int) -> Constant:
    """A constant that broadcasts against logical (N, C, ...) as one that does against (N, ..., C)."""
    full = np.asarray(constant).reshape((1,) * (rank - np.ndim(constant)) + np.shape(constant))
    return np.moveaxis(full, 1, -1) if rank > 2 else full


def one_hot_convolution(
    value: Value,
    channels: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    stride: int,
) -> Tensor:
    """Pick output channel c from (channels[c], stride·y + rows[c], stride·x + columns[c]) by a convolution.

    Its weights are ones and zeros and its output has its input's range, so int8 loses nothing.
    """
    kernel = np.zeros((rows.max() + 1, columns.max() + 1, value.shape[1], len(channels)), np.float32)
    kernel[rows, columns, channels, np.arange(len(channels))] = 1.0
    return tf.nn.conv2d(value.tensor, kernel, strides=stride, padding="VALID")


def _arrange(moved: Moved) -> Value:
    source, shape = moved.source, moved.shape
    whole = moved.index.size == np.prod(source.shape)
    if whole and np.array_equal(moved.positions.reshape(-1), np.arange(moved.index.size)):
        return Value(tf.reshape(source.tensor, shape), nonnegative=source.nonnegative)
    if len(shape) > 2:
        physical = np.moveaxis(moved.positions, 1, -1)
        if whole and np.array_equal(physical.reshape(-1), np.arange(moved.index.size)):
            tensor = (
                source.tensor
                if physical.shape == source.tensor.shape
                else tf.reshape(source.tensor, physical.shape)
            )
            return Value(tensor, channels_last=True, nonnegative=source.nonnegative)
    if len(shape) == 4 and source.channels_last and source.rank == 4 and shape[0] == source.shape[0] == 1:
        tensor = _pick_channels(moved)
        if tensor is not None:
            return Value(tensor, channels_last=True, nonnegative=source.nonnegative)
    block = _block(moved.positions, tuple(source.tensor.shape))
    if block is not None:
        begin, size = block
        return Value(tf.reshape(tf.slice(source.tensor, begin, size), shape), nonnegative=source.nonnegative)
    return Value(moved.replay(plain(source)), nonnegative=source.nonnegative)


def _block(positions: NDArray[np.int32], shape: tuple[int, ...]) -> tuple[list[int], list[int]] | None:
    """(begin, size) when the elements are, in order, one box of the source tensor's memory; else None."""
    flat = positions.reshape(-1)
    begin = list(np.unravel_index(int(flat[0]), shape))
    end = list(np.unravel_index(int(flat[-1]), shape))
    size = [int(last - first) + 1 for first, last in zip(begin, end, strict=True)]
    if min(size) < 1 or np.prod(size) != flat.size:
        return None
    grid = np.arange(np.prod(shape)).reshape(shape)
    box = grid[tuple(slice(first, first + length) for first, length in zip(begin, size, strict=True))]
    return ([int(first) for first in begin], size) if np.array_equal(box.reshape(-1), flat) else None


def _pick_channels(moved: Moved) -> Tensor | None:
    """Channels picked, shuffled, or sampled on a grid (Focus, space-to-depth); None if it is
    something else.
    """
    source = moved.source
    _, _, height, width = source.shape
    channel, row, column = np.unravel_index(moved.index[0], source.shape[1:])
    channels, rows, columns = (grid[:, 0, 0].astype(np.int64) for grid in (channel, row, column))
    y, x = np.arange(moved.shape[2]), np.arange(moved.shape[3])
    stride = (
        int(row[0, 1, 0] - row[0, 0, 0])
        if len(y) > 1
        else int(column[0, 0, 1] - column[0, 0, 0])
        if len(x) > 1
        else 1
    )
    if stride < 1 or not (
        np.array_equal(channel, np.broadcast_to(channels[:, None, None], channel.shape))
        and np.array_equal(row, np.broadcast_to(rows[:, None, None] + stride * y[:, None], row.shape))
        and np.array_equal(column, np.broadcast_to(columns[:, None, None] + stride * x, column.shape))
    ):
        return None
    contiguous = all(after == before + 1 for before, after in pairwise(channels.tolist()))
    if stride == 1 and contiguous and len(set(rows.tolist())) == 1 and len(set(columns.tolist())) == 1:
        begin = [0, int(rows[0]), int(columns[0]), int(channels[0])]
        return tf.slice(source.tensor, begin, [1, len(y), len(x), len(channels)])
    fits = (height - rows.max() - 1) // stride + 1 == len(y) and (
        width - columns.max() - 1
    ) // stride + 1 == len(x)
    return one_hot_convolution(source, channels, rows, columns, stride) if fits and stride <= 8 else None
