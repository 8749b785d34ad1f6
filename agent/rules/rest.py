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
_SETTLING_S = 2.0


class Rest:
    """Objects at rest.

    An object rests while its box's centre stays within `max_move` of its own size of the place where it came
    to rest. That place is the mean of where it was in the first two seconds, so that neither the last step of
    someone who comes nor one bad box decides. Being elsewhere for less than a second is taken for a bad
    detection, not for a move. Later the place does not drift along, so slow creeping ends a rest.

    Args:
        table: the objects.
        max_move: part of the square root of the box's area.
    """

    def __init__(self, table: ObjectTable, max_move: float) -> None:
        self._table = table
        self._max_move = max_move
        self._place = table.column(np.float64, np.nan, 2)
        self._since_s = table.column(np.float64, np.inf)
        self._averaged = table.column(np.float64, 0)  # places in the mean
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
        np.copyto(self._place.data, here, where=table.fresh)
        np.copyto(self._since_s.data, now_s, where=table.fresh)
        np.copyto(self._averaged.data, 0.0, where=table.fresh)
        offset = here - self._place.data
        near = np.hypot(offset[0], offset[1]) <= reach
        still = observed & near
        np.copyto(self._away_s.data, np.nan, where=still)
        self._settle(still & (now_s - self._since_s.data <= _SETTLING_S), offset)
        away = observed & ~near
        if not np.count_nonzero(away):
            return
        begins = away & np.isnan(self._away_s.data)
        np.copyto(self._away_s.data, now_s, where=begins)
        ahead = here - self._next_place.data
        moved_on = away & (begins | ~(np.hypot(ahead[0], ahead[1]) <= reach))
        np.copyto(self._next_place.data, here, where=moved_on)
        np.copyto(self._next_s.data, now_s, where=moved_on)
        settled = away & (now_s - self._away_s.data >= _GRACE_S)
        np.copyto(self._place.data, self._next_place.data, where=settled)
        np.copyto(self._since_s.data, self._next_s.data, where=settled)
        np.copyto(self._averaged.data, 1.0, where=settled)
        np.copyto(self._away_s.data, np.nan, where=settled)

    def _settle(self, settling: BoolArray, offset: Float64Array) -> None:
        """Take the places of this frame into the mean of objects that have come to rest lately."""
        if not np.count_nonzero(settling):
            return
        self._averaged.data += settling
        share = settling / np.maximum(self._averaged.data, 1.0)
        self._place.data += np.where(settling, offset * share, 0.0)
