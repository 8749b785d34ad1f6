"""Conditions that must hold for a while before they count, and fail for a while before they no longer do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from agent.geometry.polygons import Float64Array
from agent.records import BoolArray
from agent.rules.columns import Column

MakeColumn = Callable[[DTypeLike, float], Column]


def single(dtype: DTypeLike, fill: float) -> Column:
    """A column of one row, for a condition on a whole zone or camera."""
    return Column(np.full(1, fill, dtype), fill)


class Lasting:
    """One condition on every object, with hysteresis in seconds.

    Args:
        column: makes its columns: those of an object table, or `single`.
        for_s: it counts once it held for this long without a break.
        clear_s: it no longer counts once it failed for this long without a break.
    """

    def __init__(self, column: MakeColumn, for_s: float, clear_s: float) -> None:
        self._for_s, self._clear_s = for_s, clear_s
        self._raw = column(np.bool_, 0)
        self._turned_s = column(np.float64, 0)
        self._counts = column(np.bool_, 0)
        self._since_s = column(np.float64, 0)
        self._idle = True

    @property
    def since_s(self) -> Float64Array:
        """(C,) when it began to hold; meaningful where it counts."""
        since: Float64Array = self._since_s.data
        return since

    def update(self, holds: BoolArray, time_s: float) -> BoolArray:
        """Take in whether it holds now.

        Args:
            holds: (C,).
            time_s: now.

        Returns:
            (C,) where it counts; overwritten by the next call.
        """
        if self._idle and not np.count_nonzero(holds):
            quiet: BoolArray = self._counts.data
            return quiet
        turned = holds != self._raw.data
        if np.count_nonzero(turned):
            np.copyto(self._turned_s.data, time_s, where=turned)
            np.copyto(self._raw.data, holds)
        waited = time_s - self._turned_s.data
        begins = holds & ~self._counts.data & (waited >= self._for_s - 1e-9)
        if np.count_nonzero(begins):
            self._since_s.data[begins] = self._turned_s.data[begins]
        self._counts.data |= begins
        self._counts.data &= holds | (waited < self._clear_s - 1e-9)
        counts: BoolArray = self._counts.data
        self._idle = not np.count_nonzero(holds | counts)
        return counts

    def reset(self) -> None:
        """Forget what held: the rule is off duty."""
        for column in (self._raw, self._counts):
            column.data.fill(False)
        self._idle = True
