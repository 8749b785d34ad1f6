"""Operators that work on each element alone, with one or two operands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from converter.load.onnx.arrange import channels_last, constant_channels_last, plain, value_of
from converter.load.onnx.node import Node, Operator
from converter.load.onnx.values import Constant, Moved, Operand, Tensor, Value


def unary(function: Callable[[Tensor], Tensor], nonnegative: bool = False) -> Operator:
    """An operator of one operand and no attribute."""

    def operator(node: Node, inputs: list[Operand | None]) -> Operand:
        operand = node.given(inputs, 0)
        if isinstance(operand, Moved) and operand.whole and not operand.cache:
            # Moving and then computing is computing and then moving, which may need no move at all.
            source = operand.source
            return operand.on(Value(function(source.tensor), source.channels_last, nonnegative))
        value = value_of(operand)
        return Value(function(value.tensor), value.channels_last, nonnegative)

    operator.__doc__ = f"{getattr(function, '__name__', 'function')}(x)."
    return operator


def binary(function: Callable[[Tensor, Tensor], Tensor], keeps_sign: bool = False) -> Operator:
    """An operator of two operands that are broadcast as in NumPy."""

    def operator(node: Node, inputs: list[Operand | None]) -> Operand:
        first, second = node.given(inputs, 0), node.given(inputs, 1)
        left, right, last = _aligned(first, second)
        positive = keeps_sign and all(_nonnegative(operand) for operand in (first, second))
        return Value(function(left, right), last, positive)

    operator.__doc__ = f"{getattr(function, '__name__', 'function')}(x, y)."
    return operator


def _nonnegative(operand: Operand) -> bool:
    return (
        bool((operand >= 0).all())
        if isinstance(operand, np.ndarray | np.generic)
        else value_of(operand).nonnegative
    )


def _aligned(first: Operand, second: Operand) -> tuple[Tensor, Tensor, bool]:
    """Both operands in one layout, and whether that is channels last."""
    operands = [
        np.asarray(x, np.float32) if isinstance(x, np.ndarray | np.generic) else value_of(x)
        for x in (first, second)
    ]
    values = [operand for operand in operands if isinstance(operand, Value)]
    rank = max(len(operand.shape) for operand in operands)
    if any(value.channels_last for value in values) and all(value.rank == rank for value in values):
        tensors = [
            channels_last(operand).tensor
            if isinstance(operand, Value)
            else constant_channels_last(operand, rank)
            for operand in operands
        ]
        return tensors[0], tensors[1], True
    tensors = [plain(operand) if isinstance(operand, Value) else operand for operand in operands]
    return tensors[0], tensors[1], False


def identity(node: Node, inputs: list[Operand | None]) -> Operand:
    """Identity, and Dropout, which does nothing after training."""
    return node.given(inputs, 0)


def clip(node: Node, inputs: list[Operand | None]) -> Operand:
    """Clip: bounds are attributes until opset 10, inputs since; 0..6 is ReLU6."""
    value = value_of(node.given(inputs, 0))
    bounds: list[float] = []
    for position, name in ((1, "min"), (2, "max")):
        default = node.get(name, -np.inf if name == "min" else np.inf)
        given = inputs[position] if len(inputs) > position else None
        bounds.append(float(default if given is None else node.constant(given, name).reshape(())))
    low, high = bounds
    if (low, high) == (0.0, 6.0):
        tensor = tf.nn.relu6(value.tensor)
    elif low == 0.0:
        tensor = tf.nn.relu(value.tensor)
        tensor = tensor if np.isinf(high) else tf.minimum(tensor, high)
    else:
        tensor = value.tensor if np.isinf(low) else tf.maximum(value.tensor, np.float32(low))
        tensor = tensor if np.isinf(high) else tf.minimum(tensor, np.float32(high))
    return Value(tensor, value.channels_last, low >= 0 or value.nonnegative)


def leaky_relu(node: Node, inputs: list[Operand | None]) -> Operand:
    """LeakyRelu: x below 0 times alpha."""
    value = value_of(node.given(inputs, 0))
    return Value(tf.nn.leaky_relu(value.tensor, node.get("alpha", 0.01)), value.channels_last)


def prelu(node: Node, inputs: list[Operand | None]) -> Operand:
    """PRelu as max(x, 0) + slope · min(x, 0): the operators of that map to an Edge TPU, PRELU is newer."""
    value = value_of(node.given(inputs, 0))
    slope = node.constant(inputs[1], "slopes").astype(np.float32)
    slope = constant_channels_last(slope, value.rank) if value.channels_last else slope
    return Value(tf.nn.relu(value.tensor) - slope * tf.nn.relu(-value.tensor), value.channels_last)


def hard_sigmoid(node: Node, inputs: list[Operand | None]) -> Operand:
    """HardSigmoid: max(0, min(1, alpha·x + beta)), written with ReLU6 so that it quantises."""
    value = value_of(node.given(inputs, 0))
    alpha, beta = float(node.get("alpha", 0.2)), float(node.get("beta", 0.5))
    six = tf.nn.relu6(value.tensor * np.float32(6 * alpha) + np.float32(6 * beta))
    return Value(six * np.float32(1 / 6), value.channels_last, True)


def hard_swish(node: Node, inputs: list[Operand | None]) -> Operand:
    """HardSwish: x · ReLU6(x + 3) / 6 (Howard et al., MobileNetV3, 2019)."""
    value = value_of(node.given(inputs, 0))
    x = value.tensor
    return Value(x * (tf.nn.relu6(x + 3.0) * np.float32(1 / 6)), value.channels_last)


def power(node: Node, inputs: list[Operand | None]) -> Operand:
    """Pow with exponent 2 (a product), 1 or 0.5."""
    value = value_of(node.given(inputs, 0))
    exponent = node.constant(inputs[1], "the exponent")
    if exponent.size != 1 or float(exponent.reshape(())) not in (0.5, 1.0, 2.0):
        node.fail(f"expected an exponent of 0.5, 1 or 2, got {exponent.tolist()}")
    number = float(exponent.reshape(()))
    if number == 1.0:
        return value
    tensor = value.tensor * value.tensor if number == 2.0 else tf.sqrt(value.tensor)
    return Value(tensor, value.channels_last, True)


def softmax(node: Node, inputs: list[Operand | None]) -> Operand:
    """Softmax over one axis; before opset 13 over all axes from the given one on."""
    operand = node.given(inputs, 0)
    axis = int(node.get("axis", -1 if node.opset >= 13 else 1)) % len(operand.shape)
    over_one = node.opset >= 13 or int(np.prod(operand.shape[axis + 1 :])) == 1
    if isinstance(operand, Moved) and over_one and _lines_are_channels(operand, axis):
        source = channels_last(operand.source)
        return operand.on(Value(tf.nn.softmax(source.tensor), True, True))
    value = value_of(operand)
    if not over_one:
        flat = tf.reshape(plain(value), [-1, int(np.prod(value.shape[axis:]))])
        return Value(tf.reshape(tf.nn.softmax(flat), value.shape), nonnegative=True)
    physical = value.axis(axis)
    if physical == value.rank - 1:
        return Value(tf.nn.softmax(value.tensor), value.channels_last, True)
    order = [axis for axis in range(value.rank) if axis != physical] + [physical]
    moved = tf.nn.softmax(tf.transpose(value.tensor, order))
    return Value(tf.transpose(moved, list(np.argsort(order))), value.channels_last, True)


def _lines_are_channels(moved: Moved, axis: int) -> bool:
    """Whether each line along `axis` holds all channels, in order, of one place of the source."""
    shape = moved.source.shape
    if not moved.whole or len(shape) < 3 or moved.shape[axis] != shape[1]:
        return False
    lines = np.moveaxis(moved.index, axis, -1).reshape(-1, shape[1])
    channels = np.moveaxis(np.arange(moved.index.size).reshape(shape), 1, -1).reshape(-1, shape[1])
    return np.array_equal(lines[np.argsort(lines[:, 0])], channels)


def batch_normalization(node: Node, inputs: list[Operand | None]) -> Operand:
    """BatchNormalization with its running mean and variance; a product and a sum, which fold into a
    convolution.
    """
    value = value_of(node.given(inputs, 0))
    scale, offset, mean, variance = (
        node.constant(inputs[i], name).astype(np.float64)
        for i, name in ((1, "scale"), (2, "offset"), (3, "mean"), (4, "variance"))
    )
    factor = scale / np.sqrt(variance + node.get("epsilon", 1e-5))
    shift = offset - mean * factor

    def along_channels(vector: Constant) -> Constant:
        row = vector.astype(np.float32)
        return row if value.channels_last or value.rank == 2 else row.reshape(-1, *[1] * (value.rank - 2))

    return Value(value.tensor * along_channels(factor) + along_channels(shift), value.channels_last)
