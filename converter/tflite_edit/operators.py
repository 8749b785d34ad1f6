"""Appending and inserting operators in an editable model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from converter.tflite_edit.edit import EditableModel


def new_operator(
    model: EditableModel,
    builtin: int,
    inputs: list[int],
    shape: Sequence[int],
    options: Any,
    kind: int,
    name: str,
    before: Any | None = None,
) -> int:
    """A new operator with one new float output; returns that tensor.

    Args:
        builtin: of `schema.BuiltinOperator`.
        inputs: tensor indices.
        shape: of the output.
        options, kind: the operator's settings and their `schema.BuiltinOptions`.
        name: of the output tensor.
        before: operator that it is put in front of; None: last.
    """
    code = next(
        (
            i
            for i, own in enumerate(model.model.operatorCodes)
            if max(own.builtinCode, own.deprecatedBuiltinCode) == builtin
        ),
        None,
    )
    if code is None:
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = builtin
        entry.version = 1
        model.model.operatorCodes.append(entry)
        code = len(model.model.operatorCodes) - 1
    output = model.add_tensor(name, shape)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, list(inputs), [output]
    operator.builtinOptions, operator.builtinOptionsType = options, kind
    operators = model.graph.operators
    at = len(operators) if before is None else next(i for i, own in enumerate(operators) if own is before)
    operators.insert(at, operator)
    return output
