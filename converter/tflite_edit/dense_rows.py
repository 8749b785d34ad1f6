"""Dense layers over many rows, one per step of a sequence, as 1×1 convolutions.

An Edge TPU takes a FULLY_CONNECTED of one row only, and int8 gives it one scale for all its weights
(`converter.quantize`). A CONV_2D over a picture of width 1 computes the same, maps, and has a scale per
channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converter.tflite_edit.edit import EditableModel
from converter.tflite_edit.operators import new_operator


def with_rows_as_pictures(content: bytes) -> bytes:
    """The same float `.tflite` with `rows_as_pictures`; the same bytes where there is nothing to rewrite."""
    edited = EditableModel(content)
    return edited.content() if rows_as_pictures(edited) else content


def rows_as_pictures(model: EditableModel) -> int:
    """Rewrite every dense layer with constant weights and more than one row, in place.

    Args:
        model: float.

    Returns:
        How many were rewritten.
    """
    dense = [own for own in model.named("FULLY_CONNECTED") if _rows(model, own) > 1]
    for operator in dense:
        _rewrite(model, operator)
    return len(dense)


def _rows(model: EditableModel, dense: Any) -> int:
    """Rows that a dense layer works on; 0 where it cannot be rewritten."""
    weights, plain = model.constant(dense.inputs[1]), schema.FullyConnectedOptionsWeightsFormat.DEFAULT
    shape = model.shape(dense.inputs[0])
    if weights is None or weights.dtype != np.float32 or dense.builtinOptions.weightsFormat != plain:
        return 0
    if weights.ndim != 2 or shape[-1:] != weights.shape[1:]:
        return 0
    return int(np.prod(shape[:-1]))


def _rewrite(model: EditableModel, dense: Any) -> None:
    weights, rows = model.weights(dense.inputs[1]), _rows(model, dense)
    result, name = dense.outputs[0], model.name(dense.outputs[0])
    bias = model.constant(dense.inputs[2]) if len(dense.inputs) > 2 else None
    bias = np.zeros(len(weights), np.float32) if bias is None else bias
    constants = [
        model.add_tensor(f"{name}/kernel", [len(weights), 1, 1, weights.shape[1]], weights),
        model.add_tensor(f"{name}/bias", bias.shape, bias),
    ]
    picture = _reshaped(model, dense.inputs[0], (1, rows, 1, weights.shape[1]), f"{name}/rows", dense)
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
    options.fusedActivationFunction = dense.builtinOptions.fusedActivationFunction
    convolved = new_operator(
        model,
        schema.BuiltinOperator.CONV_2D,
        [picture, *constants],
        (1, rows, 1, len(weights)),
        options,
        schema.BuiltinOptions.Conv2DOptions,
        f"{name}/convolved",
        before=dense,
    )
    last = _reshaped(model, convolved, model.shape(result), f"{name}/back", dense)
    for operator in model.graph.operators:
        operator.inputs = [last if tensor == result else tensor for tensor in operator.inputs]
    if result in model.graph.outputs:
        model.set_outputs([last if tensor == result else tensor for tensor in model.graph.outputs])
    model.graph.operators = [operator for operator in model.graph.operators if operator is not dense]


def _reshaped(model: EditableModel, tensor: int, shape: Sequence[int], name: str, before: Any) -> int:
    if model.shape(tensor) == tuple(shape):
        return tensor
    options = schema.ReshapeOptionsT()
    options.newShape = np.array(shape, np.int32)
    target = model.add_tensor(f"{name}/shape", [len(shape)], np.array(shape, np.int32))
    return new_operator(
        model,
        schema.BuiltinOperator.RESHAPE,
        [tensor, target],
        shape,
        options,
        schema.BuiltinOptions.ReshapeOptions,
        name,
        before=before,
    )
