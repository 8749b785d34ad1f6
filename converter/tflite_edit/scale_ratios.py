"""Ranges that are too narrow beside those of their neighbours, widened.

An activation that is zero in all samples (the first steps of a sequence that begins with silence, a channel
that never fires) gets next to no range, and what reads or writes it then has to convert between scales that
lie millions apart. XNNPACK, with it LiteRT, refuses to load a convolution whose input and weights' scales
together are 256 times its output's or more ("failed to create XNNPACK runtime"), and takes sums only of
operands down to 1/1024 of the result's scale; the plain kernel of ADD ends the process from 2¹⁹ on. What is
widened had fewer codes' worth of the result than `MAX_RATIO` allows, so that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from converter.tflite_edit.edit import EditableModel

MAX_RATIO = 128.0
"""Of one scale to another that an operator converts it to; half of what XNNPACK takes."""
_CODES = 255
_WEIGHT_CODES = 127
_LAYERS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_FIXED = {"LOGISTIC": 1.0, "SOFTMAX": 1.0, "TANH": 2.0, "L2_NORMALIZATION": 2.0}
"""Operators whose result has a scale of its own, and the width that it covers."""
_PASSING = frozenset(
    {
        "CONCATENATION", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER", "MAX_POOL_2D", "PACK", "PAD", "RESHAPE",
        "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V",
        "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE", "UNPACK",
    }
)  # fmt: skip
"""Operators whose inputs and outputs share one scale."""

Ranges = Mapping[int, tuple[float, float]]


def widened(
    model: EditableModel, ranges: Ranges, groups: Sequence[tuple[int, ...]] = ()
) -> dict[int, tuple[float, float]]:
    """The same ranges, those widened that no kernel could convert from or to.

    Args:
        model: float.
        ranges: (low, high) by activation tensor.
        groups: tensors that share a scale besides those that an operator gives one.
    """
    shared = _shared_scales(model, ranges, groups)
    widths = {own: max(ranges[tensor][1] - ranges[tensor][0] for tensor in own) for own in shared.values()}
    for operator in model.named(*_FIXED):
        own = shared.get(operator.outputs[0])
        if own is not None:
            widths[own] = max(widths[own], _FIXED[model.operator_name(operator)])
    before = dict(widths)
    demands = [demand for operator in model.graph.operators for demand in _demands(model, operator)]
    # Each demand asks for a fraction of another width, so that this comes to an end.
    changed = True
    while changed:
        changed = False
        for small, factor, large in demands:
            own = shared.get(small)
            needed = factor * float(np.prod([_width(model, shared, widths, tensor) for tensor in large]))
            if own is not None and widths[own] < needed:
                widths[own], changed = needed * 1.001, True
    grown = {own for own in widths if widths[own] > before[own]}
    return {
        tensor: _stretched(low, high, widths[shared[tensor]]) if shared[tensor] in grown else (low, high)
        for tensor, (low, high) in ranges.items()
    }


def _demands(model: EditableModel, operator: Any) -> list[tuple[int, float, tuple[int, ...]]]:
    """(tensor, factor, others): the tensor's width is to be at least the factor times theirs, multiplied."""
    kind, output = model.operator_name(operator), operator.outputs[0]
    if kind in _LAYERS:
        weights = model.constant(operator.inputs[1])
        if weights is None or not weights.size:
            return []
        return [(output, float(np.abs(weights).max()) / _WEIGHT_CODES / MAX_RATIO, (operator.inputs[0],))]
    if kind in ("ADD", "SUB"):
        pairs = [pair for own in operator.inputs for pair in ((output, own), (own, output))]
        return [(small, 1 / MAX_RATIO, (large,)) for small, large in pairs]
    if kind == "MUL":
        return [(output, 1 / _CODES / MAX_RATIO, tuple(operator.inputs))]
    return []


def _width(
    model: EditableModel,
    shared: Mapping[int, tuple[int, ...]],
    widths: Mapping[tuple[int, ...], float],
    tensor: int,
) -> float:
    """What a tensor's codes cover; of a constant, its values and 0."""
    if tensor in shared:
        return widths[shared[tensor]]
    values = model.constant(tensor)
    if values is None or not values.size:
        return 0.0
    return float(max(values.max(), 0.0) - min(values.min(), 0.0))


def _shared_scales(
    model: EditableModel, ranges: Ranges, groups: Sequence[tuple[int, ...]]
) -> dict[int, tuple[int, ...]]:
    """By tensor, all those that have one scale with it, itself among them."""
    joined = {tensor: {tensor} for tensor in ranges}
    passing = [(*own.inputs, *own.outputs) for own in model.named(*_PASSING)]
    for group in [*passing, *groups]:
        members = [tensor for tensor in group if tensor in joined]
        both = set().union(*(joined[tensor] for tensor in members))
        joined.update(dict.fromkeys(both, both))
    return {tensor: tuple(sorted(own)) for tensor, own in joined.items()}


def _stretched(low: float, high: float, width: float) -> tuple[float, float]:
    """A range of at least this width, to both sides."""
    missing = max(width - (high - low), 0.0) / 2
    return low - missing, high + missing
