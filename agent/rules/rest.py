"""Since when each object has been at rest, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agent.geometry.polygons import Float64Array
from agent.records import BoolArray
from agent.rules.columns import CENTER

if TYPE_CHECKING:
    from agent.rules.objects import ObjectTable

_GRACE_S = 1.0


class Rest:
    """Objects at rest.

    An object rests while its box's centre stays within `max_move` of its own size of the place where it came
    to rest. Being elsewhere for less than a second is taken for a bad detection, not for a move. The place
    does not drift along, so slow creeping ends a rest.

    Args:
        table: the objects.
        max_move: part of the square root of the box's area.
    """

    def __init__(self, table: ObjectTable, max_move: float) -> None:
        self._table = table
        self._max_move = max_move
        self._place = table.column(np.float64, np.nan, 2)
        self._since_s = table.column(np.float64, np.inf)
        self._next_place = table.column(np.float64, np.nan, 2)
        self._next_s = table.column(np.float64, 0)
        self._away_s = table.column(np.float64, np.nan)

    @property
    def since_s(self) -> Float64Array:
        """(C,) when the rest began; infinite in an empty slot."""
        since: Float64Array = self._since_s.data
        return since

    @property
    def in_place(self) -> BoolArray:
        """(C,) at its place when last seen; False while it may be moving on."""
        in_place: BoolArray = np.isnan(self._away_s.data)
        return in_place

    @property
    def places(self) -> Float64Array:
        """(2, C) where, box centre in picture heights."""
        places: Float64Array = self._place.data
        return places

    def update(self) -> None:
        """Follow the objects of this frame."""
        table, now_s = self._table, self._table.time_s
        observed, here = table.observed, table.anchors[CENTER]
        reach = self._max_move * table.sizes
        fresh = table.fresh
        self._place.data[:, fresh] = here[:, fresh]
        self._since_s.data[fresh] = now_s
        offset = here - self._place.data
        near = np.hypot(offset[0], offset[1]) <= reach
        self._away_s.data[observed & near] = np.nan
        away = observed & ~near
        if not away.any():
            return
        begins = away & np.isnan(self._away_s.data)
        self._away_s.data[begins] = now_s
        ahead = here - self._next_place.data
        moved_on = away & (begins | ~(np.hypot(ahead[0], ahead[1]) <= reach))
        self._next_place.data[:, moved_on] = here[:, moved_on]
        self._next_s.data[moved_on] = now_s
        settled = away & (now_s - self._away_s.data >= _GRACE_S)
        self._place.data[:, settled] = self._next_place.data[:, settled]
        self._since_s.data[settled] = self._next_s.data[settled]
        self._away_s.data[settled] = np.nan
