"""Properties of all objects, as arrays over slots."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from agent.records import IntArray

BOTTOM, CENTER = 0, 1
"""Rows of `ObjectTable.anchors`."""


class Column:
    """One property of every slot; the last axis is the slot.

    Its array is replaced when the store grows: take it anew from `data` in every frame, and write into it.
    """

    __slots__ = ("data", "fill")

    def __init__(self, data: NDArray[Any], fill: float) -> None:
        self.data = data
        self.fill = fill


class ColumnStore:
    """Columns packed into one array per dtype, so that emptying a slot costs a handful of operations.

    Args:
        capacity: slots to begin with.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._columns: list[Column] = []
        self._blocks: list[tuple[NDArray[Any], NDArray[Any]]] = []  # (rows, C) and its (rows, 1) fill
        self._packed = 0

    def column(self, dtype: DTypeLike, fill: float, *rows: int) -> Column:
        """A new column.

        Args:
            dtype: of its array.
            fill: value in an empty slot.
            rows: shape before the slot's axis.
        """
        column = Column(np.full((*rows, self.capacity), fill, dtype), fill)
        self._columns.append(column)
        return column

    def empty(self, slots: IntArray) -> None:
        """Set every property of some slots to its fill."""
        self.pack()
        for block, fill in self._blocks:
            block[:, slots] = fill

    def grow(self) -> None:
        """Double the number of slots."""
        self.capacity *= 2
        for column in self._columns:
            wide = np.full((*column.data.shape[:-1], self.capacity), column.fill, column.data.dtype)
            wide[..., : column.data.shape[-1]] = column.data
            column.data = wide
        self._packed = 0
        self.pack()

    def pack(self) -> None:
        """Move columns that were added since into the blocks."""
        if self._packed == len(self._columns):
            return
        self._blocks = []
        for dtype in sorted({column.data.dtype for column in self._columns}, key=str):
            same = [column for column in self._columns if column.data.dtype == dtype]
            rows = [column.data.size // self.capacity for column in same]
            block = np.empty((sum(rows), self.capacity), dtype)
            fill = np.empty((sum(rows), 1), dtype)
            first = 0
            for column, count in zip(same, rows, strict=True):
                view = block[first : first + count].reshape(column.data.shape)
                view[...] = column.data
                column.data = view
                fill[first : first + count] = column.fill
                first += count
            self._blocks.append((block, fill))
        self._packed = len(self._columns)
