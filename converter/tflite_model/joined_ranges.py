"""Values of different ranges that were joined into one quantised tensor.

A join has one scale. Scores of 0..1 beside boxes of 0..400 px are left with one or two codes; boxes beside
scores, quantised to the fixed range of a LOGISTIC, are cut to 0..1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from converter.tflite_model.structure import Operator, Subgraph, Tensor

MIN_CODES = 64
"""Fewer codes than this for scores of 0..1 and they turn into visible steps."""
JOINING = frozenset({"CONCATENATION", "PACK"})

_PASSING = frozenset(
    {
        "QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "STRIDED_SLICE", "SLICE", "SQUEEZE", "EXPAND_DIMS",
        "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR",
    }
)  # fmt: skip
"""Operators that hand on their first input's values."""
_BOUNDED = {"LOGISTIC": (0.0, 1.0), "SOFTMAX": (0.0, 1.0), "TANH": (-1.0, 1.0)}
_BOUNDED_ACTIVATIONS = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
_FIXED_SCALE = {"LOGISTIC": 1 / 256, "SOFTMAX": 1 / 256, "TANH": 1 / 128}
"""TFLite's quantisation specification prescribes these output scales for int8."""
_UNBOUNDED = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "TRANSPOSE_CONV"}
)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a tensor's values come from.

    Args:
        width: of the narrowest range on the way; None where nothing bounds them.
        operator: that made them; None for a model input or a constant.
    """

    width: float | None
    operator: Operator | None


class ValueFlow:
    """For every tensor of a graph: where its values come from and where they go, in one pass each way."""

    def __init__(self, graph: Subgraph) -> None:
        self.origin: dict[int, _Origin] = {}
        self.quantized_as: dict[int, Tensor] = {}
        self.in_output: set[int] = set(graph.outputs)
        for op in graph.operators:
            source = self.origin.get(op.inputs[0]) if op.name in _PASSING and op.inputs else None
            if source is None and op.name in _PASSING and op.inputs and (first := graph.tensor(op.inputs[0])):
                source = _Origin(_width(first), None)
            for tensor in map(graph.tensor, op.outputs):
                if tensor is not None:
                    made = source or _Origin(_bounded_width(op), op)
                    self.origin[tensor.index] = _Origin(_least(made.width, _width(tensor)), made.operator)
        for op in reversed(graph.operators):
            after = [tensor for tensor in map(graph.tensor, op.outputs) if tensor is not None]
            for i in op.inputs[:1] if op.name in _PASSING else ():
                for tensor in after:
                    held = tensor if tensor.representable else self.quantized_as.get(tensor.index)
                    if held is not None:
                        self.quantized_as.setdefault(i, held)
            if (op.name in _PASSING or op.name in JOINING) and self.in_output.intersection(op.outputs):
                self.in_output.update(op.inputs)


def _width(tensor: Tensor) -> float | None:
    held = tensor.representable
    return None if held is None else held[1] - held[0]


def _least(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else min(a, b)


def _bounds(op: Operator) -> tuple[float, float] | None:
    fused = str(op.options.get("fused_activation_function", "NONE"))
    return _BOUNDED.get(op.name) or _BOUNDED_ACTIVATIONS.get(fused)


def _bounded_width(op: Operator) -> float | None:
    bounds = _bounds(op)
    return None if bounds is None else bounds[1] - bounds[0]


@dataclass(frozen=True, slots=True)
class JoinFault:
    """One input of a join that its scale does harm to: name of the tensor, and how."""

    tensor: str
    text: str


def joined_ranges(graph: Subgraph, op: Operator, flow: ValueFlow) -> list[JoinFault]:
    """Inputs of a join that are left with fewer than 64 codes, or whose values are cut."""
    output = graph.tensor(op.outputs[0]) if op.outputs else None
    if output is not None and output.representable is None:
        output = flow.quantized_as.get(output.index)
    held = output.representable if output is not None else None
    if output is None or output.quantization is None or held is None:
        return []
    scale = output.quantization.scales[0]
    if not math.isfinite(scale) or scale <= 0:
        return []
    parts = [
        (tensor, flow.origin.get(tensor.index, _Origin(_width(tensor), None)))
        for tensor in map(graph.tensor, op.inputs)
        if tensor is not None and not tensor.constant
    ]
    where = ", in an output of the model" if flow.in_output.intersection(op.outputs) else ""
    found = []
    for tensor, origin in parts:
        if origin.width is not None and origin.width / scale + 1 < MIN_CODES:
            codes = max(int(origin.width / scale + 1), 1)
            text = f"shares one scale of {scale:.4g} with larger values: {codes} of 256 codes are left{where}"
            found.append(JoinFault(tensor.name, text))
    names = [origin.operator.name for _, origin in parts if origin.operator is not None]
    fixed = next((name for name in names if _FIXED_SCALE.get(name) == scale), None)
    for tensor, origin in parts if fixed else ():
        maker = origin.operator
        if maker is not None and maker.name in _UNBOUNDED and _bounds(maker) is None:
            text = (
                f"{maker.name} {maker.index} gives any value, cut here to {held[0]:.4g}..{held[1]:.4g},"
                f" the range of the {fixed} that it is joined with{where}"
            )
            found.append(JoinFault(tensor.name, text))
    return found
