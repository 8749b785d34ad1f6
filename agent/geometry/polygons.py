"""Many polygons asked about many points or boxes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agent.records import BoolArray

Float64Array: TypeAlias = NDArray[np.float64]

EDGE_TOLERANCE = 1e-9
"""A point this near a side, as a part of the polygons' extent, lies on it: more than the rounding of float64,
far less than a pixel."""


class PolygonSet:
    """Several simple polygons, prepared once.

    Sides and corners belong to the polygon. Orientation does not matter. Points may be in any unit, the same
    for polygons and questions.

    Args:
        polygons: each (K, 2) with K ≥ 3, corners in order, not closed. May be empty.

    Raises:
        ValueError: a polygon has another shape.
    """

    def __init__(self, polygons: Sequence[ArrayLike]) -> None:
        corners = [np.asarray(polygon, np.float64) for polygon in polygons]
        for index, polygon in enumerate(corners):
            if polygon.ndim != 2 or polygon.shape[0] < 3 or polygon.shape[1] != 2:
                raise ValueError(f"polygon {index}: expected shape (3 or more, 2), got {polygon.shape}")
        self._counts = np.array([len(polygon) for polygon in corners], np.int64)
        self._starts = np.concatenate(([0], np.cumsum(self._counts)))[:-1].astype(np.int64)
        joined = np.concatenate(corners) if corners else np.zeros((0, 2))
        following = np.concatenate(
            [np.roll(polygon, -1, axis=0) for polygon in corners] or [np.zeros((0, 2))]
        )
        self._a, self._b = joined, following  # (E, 2) each: the sides
        self._side = following - joined  # (E, 2)
        self._length = np.hypot(self._side[:, 0], self._side[:, 1])[:, None]  # (E, 1)
        cross = joined[:, 0] * following[:, 1] - joined[:, 1] * following[:, 0]  # (E,)
        area = np.add.reduceat(cross, self._starts) / 2 if corners else np.zeros(0)
        self._winding = np.sign(area)  # (P,)
        self.areas: Float64Array = np.abs(area)
        """(P,) area of each polygon."""
        self._tolerance = EDGE_TOLERANCE * float(np.abs(joined).max(initial=1e-300))

    def __len__(self) -> int:
        return len(self._counts)

    def contains(self, points: Float64Array) -> BoolArray:
        """Which polygon holds which point.

        Args:
            points: (N, 2).

        Returns:
            (P, N) bool; True also on a side or corner.

        Source: crossing number with half-open sides (Hormann and Agathos, The point in polygon problem for
        arbitrary polygons, 2001), and the distance to each side for the boundary.
        """
        if not len(self) or not len(points):
            return np.zeros((len(self), len(points)), np.bool_)
        x, y = points[:, 0], points[:, 1]  # (N,)
        ax, ay = self._a[:, :1], self._a[:, 1:]  # (E, 1)
        dx, dy = self._side[:, :1], self._side[:, 1:]
        turn = dx * (y - ay) - dy * (x - ax)  # (E, N): > 0 left of the side in a picture whose y points up
        straddles = (ay > y) != (self._b[:, 1:] > y)
        crossed = straddles & ((turn > 0) == (dy > 0))
        inside = np.logical_xor.reduceat(crossed, self._starts, axis=0)  # (P, N)
        near = np.abs(turn) <= self._tolerance * self._length
        if near.any():
            edges, rows = np.nonzero(near)
            along = (points[rows] - self._a[edges]) * self._side[edges]
            beyond = along.sum(axis=1) / self._length[edges, 0]
            slack = self._tolerance
            touching = (beyond >= -slack) & (beyond <= self._length[edges, 0] + slack)
            owners = np.searchsorted(self._starts, edges[touching], side="right") - 1
            inside[owners, rows[touching]] = True
        held: BoolArray = inside
        return held

    def overlap_areas(self, boxes: Float64Array) -> Float64Array:
        """Area that each polygon shares with each box.

        Args:
            boxes: (N, 4), xyxy.

        Returns:
            (P, N).

        The polygon's area within the box is the sum over its sides of the area between the side and the box's
        lower edge, where the side is cut at the box's left and right and clamped between its lower and upper
        edge (Green's theorem).
        """
        if not len(self) or not len(boxes):
            return np.zeros((len(self), len(boxes)))
        left, low, right, high = (boxes[:, column] for column in range(4))  # (N,)
        high, right = np.maximum(high, low), np.maximum(right, left)
        ax, ay, bx = self._a[:, :1], self._a[:, 1:], self._b[:, :1]  # (E, 1)
        x0, x1 = np.clip(ax, left, right), np.clip(bx, left, right)  # (E, N)
        dx = bx - ax
        steep = np.abs(dx) <= self._tolerance
        slope = np.divide(self._side[:, 1:], dx, out=np.zeros_like(dx), where=~steep)
        y0, y1 = ay + (x0 - ax) * slope, ay + (x1 - ax) * slope

        def risen(y: Float64Array) -> Float64Array:
            """Integral of clamp(y, low, high) - low."""
            within = np.clip(y, low, high) - low
            total: Float64Array = within**2 / 2 + (high - low) * np.maximum(y - high, 0)
            return total

        flat = np.abs(y1 - y0) <= self._tolerance
        rise = np.where(flat, 1.0, y1 - y0)
        mean = np.where(flat, np.clip((y0 + y1) / 2, low, high) - low, (risen(y1) - risen(y0)) / rise)
        under = np.where(steep, 0.0, mean * (x1 - x0))
        signed = np.add.reduceat(under, self._starts, axis=0) * -self._winding[:, None]
        areas: Float64Array = np.maximum(signed, 0.0)
        return areas

    def crossings(self, index: int, start: Float64Array, end: Float64Array) -> Float64Array:
        """Where a straight path meets the sides of one polygon.

        Args:
            index: which polygon.
            start, end: (2,) each.

        Returns:
            (C,) ascending, each in 0..1 of the way from `start` to `end`. A side that the path runs along
            gives no crossing of its own; its neighbours do.
        """
        rows = slice(int(self._starts[index]), int(self._starts[index] + self._counts[index]))
        a, side = self._a[rows], self._side[rows]
        step = end - start
        denominator = step[0] * side[:, 1] - step[1] * side[:, 0]  # (E,)
        apart = denominator != 0
        safe = np.where(apart, denominator, 1.0)
        offset = a - start
        along = (offset[:, 0] * side[:, 1] - offset[:, 1] * side[:, 0]) / safe
        across = (offset[:, 0] * step[1] - offset[:, 1] * step[0]) / safe
        met = apart & (along >= 0) & (along <= 1) & (across >= 0) & (across <= 1)
        places: Float64Array = np.unique(along[met])
        return places

    def touched(self, starts: Float64Array, ends: Float64Array) -> BoolArray:
        """Which polygon's sides each straight path crosses at all.

        Args:
            starts, ends: (N, 2) each.

        Returns:
            (P, N) bool; paths that only touch a side may be True as well.
        """
        if not len(self) or not len(starts):
            return np.zeros((len(self), len(starts)), np.bool_)
        step = ends - starts  # (N, 2)
        ax, ay = self._a[:, :1], self._a[:, 1:]  # (E, 1)
        dx, dy = self._side[:, :1], self._side[:, 1:]
        at_start = dx * (starts[:, 1] - ay) - dy * (starts[:, 0] - ax)  # (E, N)
        at_end = dx * (ends[:, 1] - ay) - dy * (ends[:, 0] - ax)
        from_a = step[:, 0] * (ay - starts[:, 1]) - step[:, 1] * (ax - starts[:, 0])
        from_b: Float64Array = from_a + step[:, 0] * dy - step[:, 1] * dx
        met = (at_start * at_end <= 0) & (from_a * from_b <= 0)
        touched: BoolArray = np.logical_or.reduceat(met, self._starts, axis=0)
        return touched
