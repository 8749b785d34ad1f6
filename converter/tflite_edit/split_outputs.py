"""Outputs that join what has different ranges, taken apart: boxes, objectness and classes get a scale each.

A detector's head mostly ends in Concat: boxes in pixels beside scores in 0..1. In one int8 tensor the boxes
set the scale and the scores are left with a handful of codes. Cut before that Concat each role keeps its own
range. Where every scale of the pyramid is joined by itself first and then all scales in a row, the two joins
are exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converter.tflite_edit.edit import EditableModel
from converter.tflite_edit.operators import new_operator


@dataclass(frozen=True)
class Part:
    """A tensor that holds some of a joined tensor's channels."""

    tensor: int
    width: int


def split_output(
    model: EditableModel, position: int, columns: Sequence[tuple[str, int]]
) -> list[tuple[str, int]] | None:
    """Replace one output by one per role, in place.

    Args:
        model: float.
        position: of the output.
        columns: role and width of each role within the output's channels, in order.

    Returns:
        Role and tensor of each new output, which stand where the old one stood; None when the output's
        channels do not come from a join, and nothing was changed.
    """
    output = model.graph.outputs[position]
    shape = model.shape(output)
    total = sum(width for _, width in columns)
    axis = next((i for i in (len(shape) - 1, 1) if shape[i] == total), None)
    if axis is None:
        return None
    before = len(model.graph.operators)
    parts = _parts(model, output, axis)
    if len(parts) < 2:
        del model.graph.operators[before:]
        return None
    roles = [(role, _gather(model, parts, axis, start, width)) for role, start, width in _spans(columns)]
    outputs = list(model.graph.outputs)
    model.set_outputs([*outputs[:position], *(tensor for _, tensor in roles), *outputs[position + 1 :]])
    model.remove_unused()
    return roles


def _spans(columns: Sequence[tuple[str, int]]) -> list[tuple[str, int, int]]:
    spans, start = [], 0
    for role, width in columns:
        spans.append((role, start, width))
        start += width
    return spans


def _parts(model: EditableModel, tensor: int, axis: int) -> list[Part]:
    """What a tensor's channels are joined from, in order; itself alone if from nothing that we see."""
    shape = model.shape(tensor)
    itself = [Part(tensor, shape[axis])]
    producer = model.producer(tensor)
    if producer is None or len(producer.outputs) != 1:
        return itself
    kind = model.operator_name(producer)
    if kind == "CONCATENATION":
        joined = int(producer.builtinOptions.axis) % len(shape)
        inputs = [_parts(model, entry, axis) for entry in producer.inputs]
        if joined == axis:
            return [part for parts in inputs for part in parts]
        widths = [[part.width for part in parts] for parts in inputs]
        if len(widths[0]) > 1 and all(width == widths[0] for width in widths):
            return [
                _joined(model, [parts[i].tensor for parts in inputs], joined) for i in range(len(widths[0]))
            ]
        return itself
    if kind == "RESHAPE" and axis == len(shape) - 1:
        source = producer.inputs[0]
        if model.shape(source)[-1:] != shape[-1:]:
            return itself
        parts = _parts(model, source, len(model.shape(source)) - 1)
        return (
            [_reshaped(model, part, (*shape[:-1], part.width)) for part in parts]
            if len(parts) > 1
            else itself
        )
    return itself


def _gather(model: EditableModel, parts: list[Part], axis: int, start: int, width: int) -> int:
    """The tensor that holds channels start .. start + width, sliced and joined as far as it must be."""
    pieces, offset = [], 0
    for part in parts:
        first, last = max(start, offset), min(start + width, offset + part.width)
        if first < last:
            whole = last - first == part.width
            pieces.append(
                part.tensor if whole else _sliced(model, part.tensor, axis, first - offset, last - first)
            )
        offset += part.width
    return pieces[0] if len(pieces) == 1 else _joined(model, pieces, axis).tensor


def _append(
    model: EditableModel, builtin: int, inputs: list[int], shape: Sequence[int], options: Any, kind: int
) -> int:
    return new_operator(model, builtin, inputs, shape, options, kind, f"part_{len(model.graph.tensors)}")


def _joined(model: EditableModel, tensors: list[int], axis: int) -> Part:
    shapes = [list(model.shape(tensor)) for tensor in tensors]
    shape = [*shapes[0]]
    shape[axis] = sum(own[axis] for own in shapes)
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    kind = schema.BuiltinOptions.ConcatenationOptions
    output = _append(model, schema.BuiltinOperator.CONCATENATION, tensors, shape, options, kind)
    return Part(output, shape[-1])


def _reshaped(model: EditableModel, part: Part, shape: Sequence[int]) -> Part:
    options = schema.ReshapeOptionsT()
    options.newShape = np.array(shape, np.int32)
    target = model.add_tensor(f"shape_{len(model.graph.tensors)}", [len(shape)], np.array(shape, np.int32))
    kind = schema.BuiltinOptions.ReshapeOptions
    return Part(
        _append(model, schema.BuiltinOperator.RESHAPE, [part.tensor, target], shape, options, kind),
        part.width,
    )


def _sliced(model: EditableModel, tensor: int, axis: int, start: int, width: int) -> int:
    shape = list(model.shape(tensor))
    begin = [0] * len(shape)
    begin[axis], shape[axis] = start, width
    first = model.add_tensor(f"begin_{len(model.graph.tensors)}", [len(shape)], np.array(begin, np.int32))
    size = model.add_tensor(f"size_{len(model.graph.tensors)}", [len(shape)], np.array(shape, np.int32))
    kind = schema.BuiltinOptions.SliceOptions
    return _append(
        model, schema.BuiltinOperator.SLICE, [tensor, first, size], shape, schema.SliceOptionsT(), kind
    )
