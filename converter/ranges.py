"""Which part of the observed values an activation's 256 codes shall cover."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from converter.observe import Activation

Ranges = dict[int, tuple[float, float]]
RangeMethod = Callable[[Activation], tuple[float, float]]

_CODES = 255
_SEARCH_STEPS = 64


def min_max(activation: Activation) -> tuple[float, float]:
    """All observed values."""
    return activation.low, activation.high


def percentile(fraction: float) -> RangeMethod:
    """All but the outermost (1 - fraction) of the values, half of them at each end.

    Args:
        fraction: for instance 0.9999.
    """

    def method(activation: Activation) -> tuple[float, float]:
        total = activation.counts.sum()
        if total == 0:
            return activation.low, activation.high
        before = np.concatenate([[0], np.cumsum(activation.counts)]) / total
        edges = np.linspace(activation.low, activation.high, len(activation.counts) + 1)
        tail = (1 - fraction) / 2
        first = max(int(np.searchsorted(before, tail, side="right")) - 1, 0)
        last = int(np.searchsorted(before, 1 - tail, side="left"))
        return float(edges[first]), float(edges[min(last, len(edges) - 1)])

    return method


def least_squared_error(activation: Activation) -> tuple[float, float]:
    """The range with the smallest mean squared error of rounding and clipping together.

    Source: Nagel et al., "A White Paper on Neural Network Quantization", 2021, section 3.1 (MSE).
    """
    centres, counts = activation.centres, activation.counts.astype(np.float64)
    if counts.sum() == 0:
        return activation.low, activation.high
    best, kept = np.inf, (activation.low, activation.high)
    for fraction in np.linspace(1.0, 0.25, _SEARCH_STEPS):
        low, high = min(activation.low * fraction, 0.0), max(activation.high * fraction, 0.0)
        step = (high - low) / _CODES
        if step <= 0:
            continue
        error = centres - np.clip(low + np.rint((centres - low) / step) * step, low, high)
        # Within a bin values spread evenly, so rounding errors below its width are not seen by its centre.
        cost = float(
            (counts * (error**2)).sum() + counts[(centres >= low) & (centres <= high)].sum() * step**2 / 12
        )
        if cost < best:
            best, kept = cost, (low, high)
    return max(kept[0], activation.low), min(kept[1], activation.high)


def choose_ranges(activations: Mapping[int, Activation], method: RangeMethod) -> Ranges:
    """A range for every tensor; each holds 0, so that padding has a code."""
    ranges = {}
    for tensor, activation in activations.items():
        low, high = method(activation)
        low, high = min(low, 0.0), max(high, 0.0)
        ranges[tensor] = (low, high if high > low else low + 1e-6)
    return ranges


def limit_ranges(ranges: Ranges, limits: Mapping[int, tuple[float, float]]) -> Ranges:
    """The same, those of the given tensors within bounds."""
    limited = dict(ranges)
    for tensor, (low, high) in limits.items():
        if tensor in ranges:
            limited[tensor] = (max(ranges[tensor][0], low), min(ranges[tensor][1], high))
    return limited


def join_ranges(ranges: Ranges, groups: list[tuple[int, ...]]) -> Ranges:
    """The same with one common range for the tensors of each group (a state's input and output)."""
    joined = dict(ranges)
    for group in groups:
        both = [ranges[tensor] for tensor in group]
        common = (min(low for low, _ in both), max(high for _, high in both))
        joined.update(dict.fromkeys(group, common))
    return joined
