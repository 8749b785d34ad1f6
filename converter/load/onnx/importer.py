"""Rebuilding an ONNX graph in TensorFlow, node by node."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from agent.errors import ModelError
from converter.load.onnx.arrange import value_of
from converter.load.onnx.graph import MAX_ELEMENTS, Graph, Step
from converter.load.onnx.operators.table import OPERATORS
from converter.load.onnx.values import Constant, Operand, Tensor, Value, shape_of


def rebuild(graph: Graph, inputs: Sequence[Tensor]) -> list[Value]:
    """The outputs of a graph for given inputs; to be called while TensorFlow traces a function.

    Args:
        graph: from `converter.load.onnx.graph.parse_graph`.
        inputs: float32, each of the graph's `physical_shape`.

    Returns:
        One value per output; `channels_last` says which come with their channels last.

    Raises:
        ModelError: an operator is not supported, or a node is used in a way that is not; the node is named.
    """
    operands: dict[str, Operand] = dict(graph.constants)
    for (name, shape), tensor in zip(graph.inputs, inputs, strict=True):
        operands[name] = Value(tensor, channels_last=len(shape) > 2 and name not in graph.sequences)
    for step in graph.steps:
        results = _run(step, [operands[name] if name else None for name in step.inputs])
        operands.update({name: result for name, result in zip(step.outputs, results, strict=False) if name})
    return [value_of(operands[name]) for name in graph.outputs]


def _run(step: Step, inputs: list[Operand | None]) -> list[Operand]:
    node = step.node
    if node.op_type == "Shape" and inputs[0] is not None:
        shape = np.array(shape_of(inputs[0]), np.int64)
        return [shape[node.get("start", 0) : node.get("end", len(shape))]]
    if all(operand is None or isinstance(operand, np.ndarray | np.generic) for operand in inputs):
        return list(_fold(step, [None if operand is None else np.asarray(operand) for operand in inputs]))
    if node.op_type == "Cast":
        if node.get("to") not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            node.fail(f"expected a cast to float, got type {node.get('to')}")
        return [_given(inputs)]
    operator = OPERATORS.get(node.op_type)
    if operator is None:
        node.fail(
            "expected a supported operator, got this one", f"supported are {', '.join(sorted(OPERATORS))}"
        )
    try:
        result = operator(node, inputs)
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        # What NumPy and TensorFlow raise on shapes that do not fit; the node is what the user can act on.
        node.fail(f"expected operands that fit, got: {str(error).splitlines()[0][:200]}")
    return result if isinstance(result, list) else [result]


def _given(inputs: list[Operand | None]) -> Operand:
    operand = inputs[0]
    if operand is None:
        raise ModelError("Cast", "expected an input, got none")
    return operand


def _fold(step: Step, inputs: list[Constant | None]) -> list[Constant]:
    """A node of constants only, by ONNX' own reference implementation."""
    if step.node.op_type in ("ConstantOfShape", "Expand", "Tile") and inputs[-1] is not None:
        size = np.prod(inputs[-1], dtype=float) * (
            inputs[0].size if step.node.op_type == "Tile" and inputs[0] is not None else 1
        )
        if size > MAX_ELEMENTS:
            step.node.fail(f"expected a constant under {MAX_ELEMENTS} elements, got {size:.3g}")
    given = {name: value for name, value in zip(step.inputs, inputs, strict=True) if value is not None}
    value_infos = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in given
    ]
    outputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None)
        for name in step.outputs
        if name
    ]
    graph = onnx.helper.make_graph([step.proto], "constant", value_infos, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", step.node.opset)])
    try:
        results = ReferenceEvaluator(model).run(None, given)
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, ArithmeticError) as error:
        step.node.fail(f"expected constants that fit, got: {str(error).splitlines()[0][:200]}")
    return [np.asarray(result) for result in results]
