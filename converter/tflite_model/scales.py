"""Scales of a quantised model that cannot be right, or that leave too few codes for what they must say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from converter.tflite_model.structure import Operator, Subgraph, Tensor

LARGEST_VALUE = 1e6
"""Activations beyond this come from -inf padding or a division by zero, not from a picture."""
SMALLEST_SCALE = 1e-9
MIN_CODES = 16
"""Fewer codes than this for a whole tensor and scores turn into steps."""
INTEGER_CODES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}

_BOUNDED = {"LOGISTIC": (0.0, 1.0), "SOFTMAX": (0.0, 1.0), "TANH": (-1.0, 1.0)}
_BOUNDED_ACTIVATIONS = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
_PASSING = frozenset(
    {
        "QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "STRIDED_SLICE", "SLICE", "SQUEEZE", "EXPAND_DIMS",
        "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR",
    }
)  # fmt: skip
"""Operators that hand on their first input's values."""
_JOINING = frozenset({"CONCATENATION", "PACK"})
_FIXED_SCALE = {"LOGISTIC": 1 / 256, "SOFTMAX": 1 / 256, "TANH": 1 / 128}
"""TFLite's quantisation specification prescribes these output scales for int8."""
_UNBOUNDED = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "TRANSPOSE_CONV"}
)
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


def representable(tensor: Tensor) -> tuple[float, float] | None:
    """Smallest and largest value that a quantised tensor can hold; None without a single scale."""
    codes = INTEGER_CODES.get(tensor.dtype)
    if codes is None or tensor.quantization is None or tensor.quantization.per_channel:
        return None
    scale, zero = tensor.quantization.scales[0], tensor.quantization.zero_points[0]
    return scale * (codes[0] - zero), scale * (codes[1] - zero)


def scale_warnings(graph: Subgraph) -> tuple[ScaleWarning, ...]:
    """Look at every scale of a graph; the most telling first within an operator, operators in order."""
    producer = {i: op for op in graph.operators for i in op.outputs}
    warnings = []
    for tensor in graph.tensors:
        if tensor.quantization is not None and not tensor.constant:
            op = producer.get(tensor.index)
            warnings += _plain_faults(tensor, op.index if op else -1)
    for op in graph.operators:
        if op.name in _JOINING:
            warnings += _joined_ranges(graph, op, producer)
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


def _origin(
    graph: Subgraph, tensor: Tensor, producer: dict[int, Operator]
) -> tuple[float | None, Operator | None]:
    """Width of the range that a tensor's values come from, and the operator that made them.

    Followed back through operators that only hand values on; the width is None where nothing bounds it.
    """
    span: float | None = None
    for _ in range(len(graph.operators) + 1):
        held = representable(tensor)
        if held is not None:
            width = held[1] - held[0]
            span = width if span is None else min(span, width)
        op = producer.get(tensor.index)
        if op is None:
            return span, None
        if op.name in _PASSING and op.inputs and (source := graph.tensor(op.inputs[0])) is not None:
            tensor = source
            continue
        bounds = _bounds(op)
        if bounds is not None:
            width = bounds[1] - bounds[0]
            span = width if span is None else min(span, width)
        return span, op
    return span, None


def _bounds(op: Operator) -> tuple[float, float] | None:
    fused = str(op.options.get("fused_activation_function", "NONE"))
    return _BOUNDED.get(op.name) or _BOUNDED_ACTIVATIONS.get(fused)


def _joined_ranges(graph: Subgraph, op: Operator, producer: dict[int, Operator]) -> list[ScaleWarning]:
    """A join gives all its inputs one scale: small ranges are left with few codes, or large ones are cut."""
    output = graph.tensor(op.outputs[0]) if op.outputs else None
    held = representable(output) if output is not None else None
    if held is None:
        output, held = _next_quantized(graph, op)
    if output is None or output.quantization is None or held is None:
        return []
    scale = output.quantization.scales[0]
    if not math.isfinite(scale) or scale <= 0:
        return []
    parts = [
        (tensor, *_origin(graph, tensor, producer))
        for tensor in map(graph.tensor, op.inputs)
        if tensor is not None and not tensor.constant
    ]
    where = ", in an output of the model" if _reaches_output(graph, op) else ""
    found = []
    for tensor, span, _ in parts:
        if span is not None and span / scale + 1 < MIN_CODES:
            codes = max(int(span / scale + 1), 1)
            text = f"shares one scale of {scale:.4g} with larger values: {codes} of 256 codes are left{where}"
            found.append(ScaleWarning("joined-ranges", op.index, tensor.name, text, _SEPARATE))
    fixed = [origin.name for _, _, origin in parts if origin is not None and origin.name in _FIXED_SCALE]
    if fixed and scale == _FIXED_SCALE[fixed[0]]:
        for tensor, _, origin in parts:
            if origin is not None and origin.name in _UNBOUNDED and _bounds(origin) is None:
                text = (
                    f"{origin.name} {origin.index} gives any value, cut here to {held[0]:.4g}..{held[1]:.4g},"
                    f" the range of the {fixed[0]} that it is joined with{where}"
                )
                found.append(ScaleWarning("joined-ranges", op.index, tensor.name, text, _SEPARATE))
    return found


def _next_quantized(graph: Subgraph, op: Operator) -> tuple[Tensor | None, tuple[float, float] | None]:
    """The quantised tensor that a float join is turned into, through operators that only hand it on."""
    current = set(op.outputs)
    for later in graph.operators[op.index + 1 :]:
        if later.name in _PASSING and current & set(later.inputs[:1]):
            tensor = graph.tensor(later.outputs[0]) if later.outputs else None
            held = representable(tensor) if tensor is not None else None
            if held is not None:
                return tensor, held
            current |= set(later.outputs)
    return None, None


def _reaches_output(graph: Subgraph, op: Operator) -> bool:
    current = set(op.outputs)
    for later in graph.operators[op.index + 1 :]:
        if (later.name in _PASSING or later.name in _JOINING) and current & set(later.inputs):
            current |= set(later.outputs)
    return bool(current & set(graph.outputs))


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
    starved = int(np.count_nonzero((peak > 0) & (peak < MIN_CODES // 2)))
    if starved * 4 <= len(peak):
        return []
    text = f"{starved} of {len(peak)} channels use fewer than {MIN_CODES} codes of the one scale for all"
    return [ScaleWarning("starved-weights", op.index, weights.name, text, "quantise the weights per channel")]
