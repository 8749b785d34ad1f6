"""Where every object went: its whole path, thinned as it grows."""

from __future__ import annotations

import numpy as np

from agent.geometry.polygons import Float64Array
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
        kept = self._places.data[:, : int(self._count.data[slot]), slot].T
        path = np.concatenate((kept, self._table.anchors[BOTTOM][None, :, slot]))
        return [(x, y) for x, y in path[_corners(path)].tolist()]


def _corners(path: Float64Array) -> list[int]:
    """Rows that a path is made of.

    Source: D. Douglas, T. Peucker, Algorithms for the reduction of the number of points required to represent
    a digitized line, 1973.
    """
    if len(path) < 3:
        return list(range(len(path))) if not np.array_equal(path[0], path[-1]) else [0]
    keep = {0, len(path) - 1}
    pending = [(0, len(path) - 1)]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        step = path[last] - path[first]
        offsets = path[first + 1 : last] - path[first]
        length = float(np.hypot(*step))
        if length > 0:
            far = np.abs(step[0] * offsets[:, 1] - step[1] * offsets[:, 0]) / length
        else:
            far = np.hypot(offsets[:, 0], offsets[:, 1])
        index = int(np.argmax(far))
        if far[index] > _TOLERANCE:
            middle = first + 1 + index
            keep.add(middle)
            pending += [(first, middle), (middle, last)]
    return sorted(keep)
