"""Where every object went: its whole path, thinned as it grows."""

from __future__ import annotations

import math

import numpy as np

from agent.rules.columns import BOTTOM
from agent.rules.objects import ObjectTable

_FIRST_STEP_S = 0.2
_TOLERANCE = 0.01


class Paths:
    """The path of every object's feet within fixed memory.

    A place is kept every 0.2 s; when a path is full, every second place is dropped and the step doubled, so
    it always reaches from first sight to now.

    Args:
        table: the objects.
        length: places kept of each, even.
    """

    def __init__(self, table: ObjectTable, length: int = 32) -> None:
        self._table = table
        self._length = length
        self._places = table.column(np.float64, 0, 2, length)
        self._count = table.column(np.int64, 0)
        self._step_s = table.column(np.float64, _FIRST_STEP_S)
        self._due_s = table.column(np.float64, -np.inf)

    def update(self) -> None:
        """Keep the places of this frame that are due."""
        table = self._table
        slots = np.flatnonzero(table.observed & (table.time_s >= self._due_s.data))
        if not len(slots):
            return
        full = slots[self._count.data[slots] == self._length]
        if len(full):
            half = self._length // 2
            self._places.data[:, :half, full] = self._places.data[:, ::2, full]
            self._count.data[full] = half
            self._step_s.data[full] *= 2
        count = self._count.data[slots]
        self._places.data[:, count, slots] = table.anchors[BOTTOM][:, slots]
        self._count.data[slots] = count + 1
        self._due_s.data[slots] = table.time_s + self._step_s.data[slots] * (1 - 1e-9)

    def simplified(self, slot: int) -> list[tuple[float, float]]:
        """One object's path, oldest place first, with the last place seen at its end, in picture heights.

        Places within 0.01 of a straight line between those kept are left out.
        """
        kept = self._places.data[:, : int(self._count.data[slot]), slot].T.tolist()
        path = [(x, y) for x, y in (*kept, self._table.anchors[BOTTOM][:, slot].tolist())]
        return [path[row] for row in _corners(path)]


def _corners(path: list[tuple[float, float]]) -> list[int]:
    """Rows that a path is made of.

    Source: D. Douglas, T. Peucker, Algorithms for the reduction of the number of points required to represent
    a digitized line, 1973.
    """
    keep = {0, len(path) - 1}
    pending = [(0, len(path) - 1)]
    while pending:
        first, last = pending.pop()
        (x, y), (end_x, end_y) = path[first], path[last]
        step_x, step_y = end_x - x, end_y - y
        length = math.hypot(step_x, step_y)
        furthest, corner = _TOLERANCE, -1
        for row in range(first + 1, last):
            away_x, away_y = path[row][0] - x, path[row][1] - y
            if length > 0:
                away = abs(step_x * away_y - step_y * away_x) / length
            else:
                away = math.hypot(away_x, away_y)
            if away > furthest:
                furthest, corner = away, row
        if corner >= 0:
            keep.add(corner)
            pending += [(first, corner), (corner, last)]
    if len(keep) == 2 and path[0] == path[-1]:
        return [0]
    return sorted(keep)
