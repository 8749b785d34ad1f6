"""One property of every object, as an array over slots."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

BOTTOM, CENTER = 0, 1
"""Rows of `ObjectTable.anchors`."""


class Column:
    """One property of every slot; the last axis is the slot.

    Its array is replaced when the table grows: take it anew from `data` in every frame.
    """

    __slots__ = ("data", "fill")

    def __init__(self, data: NDArray[Any], fill: float) -> None:
        self.data = data
        self.fill = fill
