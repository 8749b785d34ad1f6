"""Operators that only move elements: each is written down in a `Moved`, see `converter.load.onnx.values`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from converter.load.onnx.arrange import channels_last, plain, value_of
from converter.load.onnx.node import Node
from converter.load.onnx.values import Constant, Moved, Operand, Tensor, Value


def _moved(operand: Operand) -> Moved:
    if isinstance(operand, Moved):
        return operand
    return Moved.of(value_of(operand))


def _reshaped(operand: Operand, shape: tuple[int, ...]) -> Moved:
    return _moved(operand).then(lambda index: index.reshape(shape), lambda tensor: tf.reshape(tensor, shape))


def reshape(node: Node, inputs: list[Operand | None]) -> Operand:
    """Reshape: 0 keeps a length, -1 takes what is left."""
    operand = node.given(inputs, 0)
    wanted = node.get("shape")
    target = [
        int(size)
        for size in (wanted if wanted is not None else node.constant(inputs[1], "a shape").reshape(-1))
    ]
    if not node.get("allowzero", 0):
        target = [operand.shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    count = int(np.prod(operand.shape))
    if -1 in target:
        rest = int(np.prod([size for size in target if size != -1]))
        target[target.index(-1)] = count // max(rest, 1)
    if int(np.prod(target)) != count:
        node.fail(f"expected a shape of {count} elements, got {target}", "export with batch size 1")
    return _reshaped(operand, tuple(target))


def flatten(node: Node, inputs: list[Operand | None]) -> Operand:
    """Flatten to two axes, split before `axis`."""
    operand = node.given(inputs, 0)
    axis = int(node.get("axis", 1)) % (len(operand.shape) + 1)
    rows = int(np.prod(operand.shape[:axis]))
    return _reshaped(operand, (rows, int(np.prod(operand.shape)) // max(rows, 1)))


def squeeze(node: Node, inputs: list[Operand | None]) -> Operand:
    """Squeeze axes of length 1."""
    operand = node.given(inputs, 0)
    axes = _axes(node, inputs)
    rank = len(operand.shape)
    gone = (
        {axis % rank for axis in axes}
        if axes is not None
        else {i for i, size in enumerate(operand.shape) if size == 1}
    )
    return _reshaped(operand, tuple(size for axis, size in enumerate(operand.shape) if axis not in gone))


def unsqueeze(node: Node, inputs: list[Operand | None]) -> Operand:
    """Unsqueeze: new axes of length 1, at positions of the result."""
    operand = node.given(inputs, 0)
    axes = _axes(node, inputs)
    if axes is None:
        node.fail("expected axes, got none")
    rank = len(operand.shape) + len(axes)
    new, sizes = {axis % rank for axis in axes}, iter(operand.shape)
    return _reshaped(operand, tuple(1 if axis in new else next(sizes) for axis in range(rank)))


def _axes(node: Node, inputs: list[Operand | None]) -> list[int] | None:
    """Attribute until opset 12, input since."""
    if len(inputs) > 1 and inputs[1] is not None:
        return [int(axis) for axis in node.constant(inputs[1], "axes").reshape(-1)]
    axes = node.get("axes")
    return None if axes is None else [int(axis) for axis in axes]


def transpose(node: Node, inputs: list[Operand | None]) -> Operand:
    """Transpose; the axes reversed where `perm` is left out."""
    operand = node.given(inputs, 0)
    order = list(node.get("perm", range(len(operand.shape))[::-1]))
    return _moved(operand).then(
        lambda index: index.transpose(order), lambda tensor: tf.transpose(tensor, order)
    )


def gather(node: Node, inputs: list[Operand | None]) -> Operand:
    """Gather with constant indices along one axis."""
    operand = node.given(inputs, 0)
    indices, axis = node.constant(inputs[1], "indices"), int(node.get("axis", 0)) % len(operand.shape)
    indices = np.where(indices < 0, indices + operand.shape[axis], indices)
    if indices.size and (indices.min() < 0 or indices.max() >= operand.shape[axis]):
        node.fail(f"expected indices below {operand.shape[axis]}, got {indices.min()}..{indices.max()}")
    return _moved(operand).then(
        lambda index: np.take(index, indices, axis), lambda tensor: tf.gather(tensor, indices, axis=axis)
    )


def slice_(node: Node, inputs: list[Operand | None]) -> Operand:
    """Slice: bounds are attributes until opset 9, inputs since."""
    operand = node.given(inputs, 0)
    given: list[Constant | None] = [None] * 4
    for position, name in enumerate(("starts", "ends", "axes", "steps")):
        if len(inputs) > position + 1 and inputs[position + 1] is not None:
            given[position] = node.constant(inputs[position + 1], name).reshape(-1)
        elif node.get(name) is not None:
            given[position] = np.asarray(node.get(name))
    starts, ends, axes, steps = given
    if starts is None or ends is None:
        node.fail("expected starts and ends, got none")
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones(len(starts), np.int64) if steps is None else steps
    key: list[Any] = [slice(None)] * len(operand.shape)
    for start, end, axis, step in zip(
        starts.tolist(), ends.tolist(), axes.tolist(), steps.tolist(), strict=True
    ):
        size = operand.shape[axis]
        if step == 0:
            node.fail("expected steps other than 0")
        # indices() clips as ONNX does; -1 for a downward end means "before the first".
        first, last, stride = slice(start, None if step < 0 and end < -size else end, step).indices(size)
        key[axis] = slice(first, None if last < 0 else last, stride)
    result = _sliced(_moved(operand), tuple(key))
    if result.index.size == 0:
        node.fail(f"expected a slice of {operand.shape} with elements, got none")
    return result


def split(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Split along one axis, into given or equal lengths."""
    operand = node.given(inputs, 0)
    axis = int(node.get("axis", 0)) % len(operand.shape)
    lengths = node.get("split")
    if lengths is None and len(inputs) > 1 and inputs[1] is not None:
        lengths = node.constant(inputs[1], "lengths").tolist()
    if lengths is None:
        size = -(-operand.shape[axis] // node.output_count)
        lengths = [min(size, operand.shape[axis] - size * i) for i in range(node.output_count)]
    moved, parts, start = _moved(operand), [], 0
    for length in lengths:
        key = (*[slice(None)] * axis, slice(start, start + length))
        parts.append(_sliced(moved, key))
        start += length
    return list(parts)


def _sliced(moved: Moved, key: tuple[slice, ...]) -> Moved:
    return moved.then(lambda index: index[key], lambda tensor: tensor[key])


def space_to_depth(node: Node, inputs: list[Operand | None]) -> Operand:
    """SpaceToDepth: blocks of pixels to channels; becomes a strided convolution."""
    operand, block = node.given(inputs, 0), int(node.get("blocksize", 1))
    n, c, h, w = operand.shape
    cut = _reshaped(operand, (n, c, h // block, block, w // block, block))
    turned = cut.then(
        lambda index: index.transpose(0, 3, 5, 1, 2, 4), lambda t: tf.transpose(t, (0, 3, 5, 1, 2, 4))
    )
    return _reshaped(turned, (n, c * block * block, h // block, w // block))


def depth_to_space(node: Node, inputs: list[Operand | None]) -> Operand:
    """DepthToSpace (pixel shuffle) by TensorFlow's own, its channels first put in the order that it
    expects.
    """
    value, block = channels_last(node.given(inputs, 0)), int(node.get("blocksize", 1))
    if node.get("mode", "DCR") == "CRD":
        order = np.arange(value.shape[1]).reshape(-1, block * block).T.reshape(-1)
        shuffled = Moved.of(value).then(
            lambda index: index[:, order], lambda tensor: tf.gather(tensor, order, axis=1)
        )
        value = channels_last(shuffled)
    return Value(tf.nn.depth_to_space(value.tensor, block), channels_last=True, nonnegative=value.nonnegative)


def concat(node: Node, inputs: list[Operand | None]) -> Operand:
    """Concat; parts of one tensor are put together on paper first (Focus becomes one strided convolution)."""
    operands = [operand for operand in inputs if operand is not None]
    rank = len(operands[0].shape)
    axis = int(node.get("axis", 0)) % rank
    moves = [operand for operand in operands if isinstance(operand, Moved)]
    if len(moves) == len(operands) and len({id(move.source) for move in moves}) == 1:
        replays = [move.replay for move in moves]

        def replay(tensor: Tensor) -> Tensor:
            return tf.concat([part(tensor) for part in replays], axis)

        return Moved(moves[0].source, np.concatenate([move.index for move in moves], axis), replay)
    values = [value_of(operand) for operand in operands]
    nonnegative = all(value.nonnegative for value in values)
    if rank > 2 and any(value.channels_last for value in values):
        last = [channels_last(value) for value in values]
        return Value(tf.concat([value.tensor for value in last], last[0].axis(axis)), True, nonnegative)
    return Value(tf.concat([plain(value) for value in values], axis), False, nonnegative)


def pad(node: Node, inputs: list[Operand | None]) -> Operand:
    """Pad with a constant."""
    value = value_of(node.given(inputs, 0))
    if node.get("mode", "constant") != "constant":
        node.fail(f"expected mode constant, got {node.get('mode')}")
    attribute = node.get("pads", node.get("paddings"))
    pads = np.asarray(attribute if attribute is not None else node.constant(inputs[1], "pads")).reshape(2, -1)
    number = float(node.get("value", 0.0))
    if len(inputs) > 2 and inputs[2] is not None:
        number = float(node.constant(inputs[2], "a value").reshape(()))
    if not np.isfinite(number):
        node.fail(f"expected a finite value, got {number}", "no int8 scale can hold it")
    if pads.shape[1] != value.rank or pads.min() < 0:
        node.fail(f"expected pads of 0 or more for {value.rank} axes, got {pads.tolist()}")
    physical = [(0, 0)] * value.rank
    for axis in range(value.rank):
        physical[value.axis(axis)] = (int(pads[0, axis]), int(pads[1, axis]))
    tensor = tf.pad(value.tensor, physical, constant_values=number)
    return Value(tensor, value.channels_last, value.nonnegative and number >= 0)
