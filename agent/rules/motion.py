"""How fast and which way each object moved lately."""

from __future__ import annotations

import numpy as np

from agent.geometry.polygons import Float64Array
from agent.records import BoolArray
from agent.rules.columns import BOTTOM, CENTER
from agent.rules.objects import ObjectTable

_SAMPLES = 10
_STEPS = 8
_CADENCE_SHARE = 0.25
"""Of the newest interval in the mean interval between frames: a single long one is a gap, not a cadence."""
_LONGEST_REACH_S = 3.0


class Motion:
    """Velocities as the slope of a straight line fitted to the places of the last seconds.

    Places are kept every eighth of the window, so the cost does not depend on the frame rate. Where frames
    come so seldom that half of the window could hold no place but the newest, the last seconds are longer, up
    to three: an object that is found in every frame has a velocity from its second on.

    Args:
        table: the objects.
        window_s: how long the last seconds are.
    """

    def __init__(self, table: ObjectTable, window_s: float) -> None:
        self._table = table
        self._window_s = window_s
        self._times = table.column(np.float64, np.nan, _SAMPLES)
        self._places = table.column(np.float64, 0, 2, 2, _SAMPLES)
        self._head = table.column(np.int64, 0)
        self._found: tuple[Float64Array, Float64Array, BoolArray] | None = None
        self._frame_s = self._cadence_s = np.nan
        self._reach_s = window_s

    def update(self) -> None:
        """Keep the places of this frame."""
        table = self._table
        self._found = None
        self._follow_cadence()
        slots = table.observed.nonzero()[0]
        head = self._head.data[slots]
        before = self._times.data[(head - 1) % _SAMPLES, slots]
        step_s = self._window_s / _STEPS
        # The newest sample is overwritten until it is a step later than the one before it.
        newest = self._times.data[head, slots]
        full = ~np.isnan(newest) & ~(newest - before < step_s)
        head = np.where(full, (head + 1) % _SAMPLES, head)
        self._head.data[slots] = head
        self._times.data[head, slots] = table.time_s
        self._places.data[:, :, head, slots] = table.anchors[:, :, slots]

    def _follow_cadence(self) -> None:
        """Let the reach hold half of the window and one and a half intervals more, if that is longer."""
        interval_s = self._table.time_s - self._frame_s
        self._frame_s = self._table.time_s
        if not interval_s > 0:  # unknown at the first frame
            return
        if np.isnan(self._cadence_s):
            self._cadence_s = interval_s
        self._cadence_s += _CADENCE_SHARE * (interval_s - self._cadence_s)
        wide_s = min(self._window_s / 2 + 1.5 * self._cadence_s, _LONGEST_REACH_S)
        self._reach_s = max(self._window_s, wide_s)

    def of_centers(self) -> tuple[Float64Array, Float64Array, BoolArray]:
        """`velocities` of the box centres, in picture heights per second; found once per frame."""
        if self._found is None:
            self._found = self.velocities(self._places.data[CENTER, 0], self._places.data[CENTER, 1])
        return self._found

    @property
    def feet(self) -> tuple[Float64Array, Float64Array]:
        """x and y of the middle of the boxes' lower sides kept, (samples, C) each, in picture heights."""
        return self._places.data[BOTTOM, 0], self._places.data[BOTTOM, 1]

    def velocities(self, x: Float64Array, y: Float64Array) -> tuple[Float64Array, Float64Array, BoolArray]:
        """Velocity of each object over the window.

        Args:
            x, y: (samples, C), such as `feet`, or projected from them; NaN where unknown.

        Returns:
            vx and vy (C,) in their unit per second, and (C,) bool where they are known: seen in this frame
            and for at least half of the window.
        """
        age_s = self._table.time_s - self._times.data
        used = age_s <= self._reach_s + 1e-9
        unknown = np.isnan(x)  # y is unknown where x is
        if np.count_nonzero(unknown):
            used &= ~unknown
            x, y = np.where(used, x, 0.0), np.where(used, y, 0.0)
        weights = used.astype(np.float64)
        times = np.where(used, -age_s, 0.0)
        count = np.maximum(weights.sum(axis=0), 1.0)
        mean_t = times.sum(axis=0) / count
        spread = np.einsum("sc,sc->c", times, times) - count * mean_t**2
        known = self._table.observed & (-times.min(axis=0) >= self._window_s / 2 - 1e-9) & (spread > 0)
        safe = np.where(known, spread, 1.0)
        vx = (np.einsum("sc,sc->c", times, x) - mean_t * np.einsum("sc,sc->c", weights, x)) / safe
        vy = (np.einsum("sc,sc->c", times, y) - mean_t * np.einsum("sc,sc->c", weights, y)) / safe
        return vx * known, vy * known, known
