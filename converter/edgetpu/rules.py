"""Whether the Edge TPU takes one operator, looked at by itself.

Sources: the table of supported operations at coral.ai/docs/edgetpu/models-intro, and the statuses that
edgetpu_compiler prints.
"""

from __future__ import annotations

from converter.edgetpu.op_table import OperatorFacts
from converter.edgetpu.operator_rules import OPERATOR_RULES, RULES_BEFORE_13, Tensors, present
from converter.edgetpu.reason import GENERAL_ADVICE, UNSUPPORTED_ADVICE, Reason
from converter.tflite_model.structure import EDGETPU_CUSTOM_OP, Operator, Subgraph, Tensor

MAPPED_DTYPES = frozenset({"int8", "uint8"})

_WEIGHTED = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1}
"""Position of the weights among the inputs."""


def obstacle(
    operator: Operator, graph: Subgraph, facts: OperatorFacts | None, min_runtime: int = 14
) -> Reason | None:
    """Why an operator cannot run on the Edge TPU by itself; None where it can.

    Args:
        operator: of `graph`.
        graph: that holds its tensors.
        facts: of its row in the table; None for a custom or an unknown operator.
        min_runtime: the Edge TPU runtime version that the compiled model must run on (10 to 14).
    """
    if operator.custom and operator.name == EDGETPU_CUSTOM_OP:
        return None
    if operator.custom:
        return Reason(
            "custom",
            f"a custom operator ({operator.name}) runs on the CPU",
            "leave it at the end of the model",
        )
    if facts is None:
        return Reason("unsupported", "unknown to the Edge TPU and to the compiler", GENERAL_ADVICE)
    inputs = [graph.tensor(i) for i in operator.inputs]
    outputs = [graph.tensor(i) for i in operator.outputs]
    if facts.since_runtime is None:
        advice = UNSUPPORTED_ADVICE.get(operator.name, GENERAL_ADVICE)
        return Reason("unsupported", "not among the operators of the Edge TPU", advice)
    if facts.since_runtime > min_runtime:
        return Reason(
            "runtime",
            f"needs Edge TPU runtime {facts.since_runtime}, asked for {min_runtime}",
            f"compile for runtime {facts.since_runtime}",
        )
    for rule in (_static_shapes, _constant_parameters, _integer_activations, _inner_dimensions):
        reason = rule(operator, inputs, outputs)
        if reason is not None:
            return reason
    for rules in (OPERATOR_RULES, RULES_BEFORE_13 if min_runtime < 13 else {}):
        own = rules.get(operator.name)
        reason = own(operator, inputs, outputs) if own else None
        if reason is not None:
            return reason
    return None


def _named(tensor: Tensor) -> str:
    return f"'{tensor.name}'" if len(tensor.name) <= 60 else f"'{tensor.name[:57]}…'"


def _static_shapes(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    for tensor in present([*inputs, *outputs]):
        if tensor.dynamic:
            return Reason(
                "dynamic-shape",
                f"tensor {_named(tensor)} has a free axis {list(tensor.signature)}",
                "convert with a fixed batch of 1 (a concrete function with a fixed input shape)",
            )
    return None


def _constant_parameters(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    place = _WEIGHTED.get(operator.name)
    if place is not None and len(inputs) > place:
        weights = inputs[place]
        if weights is not None and not weights.constant:
            return Reason(
                "not-constant",
                f"weights {_named(weights)} are computed, not constant",
                "freeze the weights; a product of two activations has no place on the Edge TPU",
            )
        if weights is not None and weights.sparse:
            return Reason("not-constant", f"weights {_named(weights)} are sparse", "convert without sparsity")
    for tensor in present(inputs):
        if tensor.dtype in {"int32", "int64", "bool"} and not tensor.constant and not tensor.variable:
            return Reason(
                "not-constant",
                f"parameter {_named(tensor)} ({tensor.dtype}) is computed while the model runs",
                "convert with fixed shapes so that it becomes a constant",
            )
    return None


def _integer_activations(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    activations = [t for t in present(inputs) if not t.constant and not t.variable] + present(outputs)
    for tensor in activations:
        if tensor.dtype not in MAPPED_DTYPES:
            advice = "quantise the whole model to int8, inputs and outputs as well"
            if operator.name == "QUANTIZE":
                advice = (
                    "a model input: ask for int8 or uint8; inside the model: replace the float operator ahead"
                )
            return Reason("data-type", f"works on {tensor.dtype}: {_named(tensor)}", advice)
        if tensor.quantization is None:
            return Reason(
                "data-type", f"{_named(tensor)} is {tensor.dtype} without a scale", "quantise it again"
            )
    place = _WEIGHTED.get(operator.name)
    weights = inputs[place] if place is not None and len(inputs) > place else None
    if weights is not None and weights.dtype not in MAPPED_DTYPES:
        return Reason("data-type", f"weights are {weights.dtype}", "quantise the weights to int8")
    return None


def _inner_dimensions(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    activations = [t for t in present(inputs) if not t.constant and not t.variable] + present(outputs)
    for tensor in activations:
        if any(size > 1 for size in tensor.shape[:-3]):
            what = "a batch over 1" if len(tensor.shape) == 4 else "more than 3 dimensions over 1"
            return Reason(
                "rank",
                f"{_named(tensor)} {list(tensor.shape)} has {what}; only the 3 innermost may exceed 1",
                "convert with a batch of 1 and join dimensions by RESHAPE before this operator",
            )
    return None
