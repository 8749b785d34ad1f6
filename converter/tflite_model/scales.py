"""Scales of a quantised model that cannot be right, or that leave too few codes for what they must say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from converter.tflite_model.joined_ranges import JOINING, ValueFlow, joined_ranges
from converter.tflite_model.structure import INTEGER_CODES, Operator, Subgraph, Tensor

LARGEST_VALUE = 1e6
"""Activations beyond this come from -inf padding or a division by zero, not from a picture."""
SMALLEST_SCALE = 1e-9
MIN_WEIGHT_CODES = 16
"""A channel whose weights use fewer codes than this of the scale for all has lost its shape."""

_SEPARATE = "give boxes, objectness and classes an output each, so that each has its own scale"
_PER_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0}


@dataclass(frozen=True, slots=True)
class ScaleWarning:
    """One scale that does harm.

    Args:
        code: "scale-range", "scale-zero", "zero-point", "joined-ranges" or "starved-weights".
        operator: index of the operator that writes (or, for weights, reads) the tensor; -1 for a model input.
        tensor: its name.
        text: what is wrong.
        advice: what to do.
    """

    code: str
    operator: int
    tensor: str
    text: str
    advice: str


def scale_warnings(graph: Subgraph) -> tuple[ScaleWarning, ...]:
    """Look at every scale of a graph; the most telling first within an operator, operators in order."""
    producer = {i: op for op in graph.operators for i in op.outputs}
    flow = ValueFlow(graph)
    warnings = []
    for tensor in graph.tensors:
        if tensor.quantization is not None and not tensor.constant:
            op = producer.get(tensor.index)
            warnings += _plain_faults(tensor, op.index if op else -1)
    for op in graph.operators:
        if op.name in JOINING:
            warnings += [
                ScaleWarning("joined-ranges", op.index, found.tensor, found.text, _SEPARATE)
                for found in joined_ranges(graph, op, flow)
            ]
        elif op.name in _PER_CHANNEL_AXIS:
            warnings += _starved_weights(graph, op)
    return tuple(sorted(warnings, key=lambda warning: warning.operator))


def _plain_faults(tensor: Tensor, operator: int) -> list[ScaleWarning]:
    quantization = tensor.quantization
    codes = INTEGER_CODES.get(tensor.dtype)
    if quantization is None or codes is None:
        return []
    scale = max(quantization.scales, key=lambda s: s if math.isfinite(s) else math.inf)
    if not all(math.isfinite(s) and s > 0 for s in quantization.scales):
        return [
            ScaleWarning(
                "scale-range", operator, tensor.name, f"a scale of {scale:g}", "calibrate and quantise again"
            )
        ]
    if scale * (codes[1] - codes[0]) > LARGEST_VALUE:
        return [
            ScaleWarning(
                "scale-range",
                operator,
                tensor.name,
                f"a scale of {scale:.3g}: every ordinary value becomes the same code",
                "look for -inf padding (before a MAX_POOL_2D) or a division by 0 ahead of it",
            )
        ]
    if scale < SMALLEST_SCALE:
        return [
            ScaleWarning(
                "scale-zero",
                operator,
                tensor.name,
                f"a scale of {scale:.3g}: it was 0 in every calibration sample",
                "calibrate with pictures that make it respond",
            )
        ]
    wrong = next((z for z in quantization.zero_points if not codes[0] <= z <= codes[1]), None)
    if wrong is not None:
        text = f"a zero point of {wrong}, outside of {codes[0]}..{codes[1]}"
        return [ScaleWarning("zero-point", operator, tensor.name, text, "quantise again")]
    return []


def _starved_weights(graph: Subgraph, op: Operator) -> list[ScaleWarning]:
    """One scale for all channels, although most channels use a handful of its codes."""
    weights = graph.tensor(op.inputs[1]) if len(op.inputs) > 1 else None
    if (
        weights is None
        or weights.quantization is None
        or weights.quantization.per_channel
        or len(weights.shape) != 4
    ):
        return []
    values = weights.values()
    if (
        values is None or values.size == 0 or values.dtype != np.int8
    ):  # uint8 weights were trained for one scale
        return []
    axis = _PER_CHANNEL_AXIS[op.name]
    others = tuple(i for i in range(4) if i != axis)
    peak = np.abs(values.astype(np.int32) - weights.quantization.zero_points[0]).max(axis=others)
    starved = int(np.count_nonzero((peak > 0) & (peak < MIN_WEIGHT_CODES // 2)))
    if starved * 4 <= len(peak):
        return []
    text = (
        f"{starved} of {len(peak)} channels use fewer than {MIN_WEIGHT_CODES} codes of the one scale for all"
    )
    return [ScaleWarning("starved-weights", op.index, weights.name, text, "quantise the weights per channel")]
