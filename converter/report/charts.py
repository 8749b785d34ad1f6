"""The drawings of a report, as numbers for the template: positions in a fixed view box, texts unescaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from converter.report.content import Accuracy, ActivationRange, ReportContent

if TYPE_CHECKING:
    from converter.layer_error import LayerError

WIDTH = 1000.0
MAX_RANGES = 32


@dataclass(frozen=True, slots=True)
class Bar:
    """One layer in the signal-to-noise chart."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid and its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class SnrChart:
    """Signal-to-noise ratio by layer.

    Args:
        bars: one per layer, in execution order.
        ticks: horizontal grid lines, dB.
        height: of the view box, whose width is 1000.
    """

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    height: float


def snr_chart(layers: Sequence[LayerError], notable_db: float) -> SnrChart | None:
    """Bars from 0 dB up; a layer that loses `notable_db` or more by itself is marked. None without layers."""
    if not layers:
        return None
    height, top, left = 300.0, 70.0, 46.0
    plot = height - 16.0
    step = (WIDTH - left) / len(layers)
    bars = []
    for i, layer in enumerate(layers):
        level = max(0.0, min(layer.snr_db, top))
        tall = max(plot * level / top, 2.0)
        kind = "loss" if layer.lost_db >= notable_db else "low" if layer.snr_db < 20 else "fine"
        text = f"{layer.index} {layer.operator} · {layer.snr_db:.1f} dB"
        if kind == "loss":
            text += f", lost {layer.lost_db:.1f} dB here"
        bars.append(
            Bar(
                left + i * step,
                plot - tall + 8,
                max(step * 0.86, 0.6),
                tall,
                kind,
                f"{text} · {layer.name[:120]}",
            )
        )
    ticks = tuple(Tick(plot + 8 - plot * db / top, f"{db}") for db in range(0, int(top) + 1, 10))
    return SnrChart(tuple(bars), ticks, height)


@dataclass(frozen=True, slots=True)
class RangeRow:
    """One activation: percentages of the row's width.

    Args:
        name: of the tensor.
        observed, kept: (left, width) in % of the row.
        zero: position of 0 in %, or None when it is not in the row.
        low, high: ends of the row, in the activation's unit.
        clipped: fraction, 0..1.
        points: of an area that draws the histogram, in a 100×20 view box; "" without one.
        source: the range itself.
    """

    name: str
    observed: tuple[float, float]
    kept: tuple[float, float]
    zero: float | None
    low: float
    high: float
    clipped: float
    points: str
    source: ActivationRange


def range_rows(content: ReportContent) -> tuple[RangeRow, ...]:
    """The activations to show: the most clipped first, then those whose codes are least used."""
    ranges = content.ranges or tuple(_ranges_of_layers(content.layers))
    usable = [r for r in ranges if _finite(r.observed_min, r.observed_max, r.kept_min, r.kept_max)]
    usable.sort(key=lambda r: (-r.clipped, _use(r)))
    return tuple(_range_row(r) for r in usable[:MAX_RANGES])


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _ranges_of_layers(layers: Sequence[LayerError]) -> list[ActivationRange]:
    seen: dict[tuple[float, float, float | None, float | None], ActivationRange] = {}
    for layer in layers:
        if layer.kept_min is None or layer.kept_max is None:
            continue
        key = (layer.float_min, layer.float_max, layer.kept_min, layer.kept_max)
        seen.setdefault(
            key,
            ActivationRange(
                layer.name, layer.float_min, layer.float_max, layer.kept_min, layer.kept_max, layer.clipped
            ),
        )
    return list(seen.values())


def _use(r: ActivationRange) -> float:
    kept = r.kept_max - r.kept_min
    return (r.observed_max - r.observed_min) / kept if kept > 0 else 0.0


def _range_row(r: ActivationRange) -> RangeRow:
    low, high = min(r.observed_min, r.kept_min, 0.0), max(r.observed_max, r.kept_max, 0.0)
    width = high - low or 1.0

    def place(a: float, b: float) -> tuple[float, float]:
        return 100 * (a - low) / width, max(100 * (b - a) / width, 0.4)

    observed = place(r.observed_min, r.observed_max)
    return RangeRow(
        name=r.name,
        observed=observed,
        kept=place(r.kept_min, r.kept_max),
        zero=100 * -low / width,
        low=low,
        high=high,
        clipped=r.clipped,
        points=_histogram(r.histogram, *observed),
        source=r,
    )


def _histogram(counts: Sequence[int], left: float, width: float) -> str:
    peak = max(counts, default=0)
    if peak <= 0:
        return ""
    step = width / len(counts)
    # Square roots, so that tails, which clipping is about, can be seen beside the peak.
    heights = [18 * math.sqrt(max(count, 0) / peak) for count in counts]
    outline = [(left, 20.0)]
    for i, tall in enumerate(heights):
        outline += [(left + i * step, 20 - tall), (left + (i + 1) * step, 20 - tall)]
    outline.append((left + width, 20.0))
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in outline)


@dataclass(frozen=True, slots=True)
class AccuracyRow:
    """One metric: where its two dots stand, in % of the row."""

    source: Accuracy
    float_at: float | None
    int8_at: float
    top: float


def accuracy_rows(accuracy: Sequence[Accuracy]) -> tuple[AccuracyRow, ...]:
    """Each metric on its own axis from 0: to 1 for fractions, else to a little over the larger value."""
    rows = []
    for a in accuracy:
        values = [v for v in (a.float_value, a.int8_value) if v is not None and math.isfinite(v)]
        largest = max((abs(v) for v in values), default=1.0)
        top = 1.0 if not a.unit and largest <= 1 else largest * 1.15 or 1.0

        def place(value: float, top: float = top) -> float:
            return max(0.0, min(100.0, 100 * value / top)) if math.isfinite(value) else 0.0

        rows.append(
            AccuracyRow(a, None if a.float_value is None else place(a.float_value), place(a.int8_value), top)
        )
    return tuple(rows)
