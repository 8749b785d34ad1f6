"""Many polygons asked about many points or boxes at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agent.records import BoolArray, IntArray

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
        self._starts = np.concatenate(([0], np.cumsum(self._counts)))[:-1].astype(np.intp)
        joined = np.concatenate(corners) if corners else np.zeros((0, 2))
        following = np.concatenate(
            [np.roll(polygon, -1, axis=0) for polygon in corners] or [np.zeros((0, 2))]
        )
        self._corners = [
            list(zip(polygon.tolist(), np.roll(polygon, -1, axis=0).tolist(), strict=True))
            for polygon in corners
        ]
        self._a, self._b = joined, following  # (E, 2) each: the sides
        self._side = following - joined  # (E, 2)
        self._length = np.hypot(self._side[:, 0], self._side[:, 1])[:, None]  # (E, 1)
        self._line = np.stack(
            (
                -self._side[:, 1],
                self._side[:, 0],
                self._side[:, 1] * joined[:, 0] - self._side[:, 0] * joined[:, 1],
            ),
            axis=1,
        )  # (E, 3): a point's turn is its product with (x, y, 1)
        self._rises = self._side[:, 1:] > 0  # (E, 1)
        self._a_y, self._b_y = joined[:, 1:].copy(), following[:, 1:].copy()  # (E, 1)
        self.owners: IntArray = np.repeat(np.arange(len(corners)), self._counts.astype(np.intp))
        """(E,) the polygon of each side."""
        cross = joined[:, 0] * following[:, 1] - joined[:, 1] * following[:, 0]  # (E,)
        area = np.add.reduceat(cross, self._starts) / 2 if corners else np.zeros(0)
        self._winding = np.sign(area)  # (P,)
        self.areas: Float64Array = np.abs(area)
        """(P,) area of each polygon."""
        self._tolerance = EDGE_TOLERANCE * float(np.abs(joined).max(initial=1e-300))
        self._reach = self._tolerance * self._length  # (E, 1): a turn of a point that lies on the side

    def __len__(self) -> int:
        return len(self._counts)

    def turns(self, points: Float64Array) -> Float64Array:
        """On which side of each polygon side, prolonged without end, each point lies.

        Args:
            points: (N, 2).

        Returns:
            (E, N): twice the signed area of the triangle of side and point; 0 on the line.
        """
        turns: Float64Array = self._line[:, :2] @ points.T + self._line[:, 2:]
        return turns

    def contains(self, points: Float64Array, turns: Float64Array | None = None) -> BoolArray:
        """Which polygon holds which point.

        Args:
            points: (N, 2).
            turns: what `turns` gave for them, if already asked.

        Returns:
            (P, N) bool; True also on a side or corner.

        Source: crossing number with half-open sides (Hormann and Agathos, The point in polygon problem for
        arbitrary polygons, 2001), and the distance to each side for the boundary.
        """
        if not len(self) or not len(points):
            return np.zeros((len(self), len(points)), np.bool_)
        y = np.ascontiguousarray(points[:, 1])  # (N,)
        turn = self.turns(points) if turns is None else turns  # (E, N)
        crossed = (self._a_y > y) != (self._b_y > y)  # sides that straddle the point's height
        crossed &= (turn > 0) == self._rises
        inside = np.bitwise_xor.reduceat(crossed.view(np.uint8), self._starts, axis=0).view(
            np.bool_
        )  # (P, N)
        near = np.abs(turn) <= self._reach
        if np.count_nonzero(near):
            edges, rows = np.nonzero(near)
            along = (points[rows] - self._a[edges]) * self._side[edges]
            beyond = along.sum(axis=1) / self._length[edges, 0]
            slack = self._tolerance
            touching = (beyond >= -slack) & (beyond <= self._length[edges, 0] + slack)
            inside[self.owners[edges[touching]], rows[touching]] = True
        held: BoolArray = inside
        return held

    def holds(self, index: int, x: float, y: float) -> bool:
        """Whether one polygon holds one point, as `contains` tells; cheap for a single question."""
        inside = False
        for (ax, ay), (bx, by) in self._corners[index]:
            if (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
                inside = not inside
        return inside or self._touches(index, x, y)

    def _touches(self, index: int, x: float, y: float) -> bool:
        """Whether a point lies on a side or corner of one polygon."""
        slack = self._tolerance
        for (ax, ay), (bx, by) in self._corners[index]:
            side_x, side_y, to_x, to_y = bx - ax, by - ay, x - ax, y - ay
            length = math.hypot(side_x, side_y)
            near = abs(side_x * to_y - side_y * to_x) <= slack * length
            if near and -slack * length <= side_x * to_x + side_y * to_y <= (length + slack) * length:
                return True
        return False

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

    def crossings(self, index: int, start: tuple[float, float], end: tuple[float, float]) -> list[float]:
        """Where a straight path meets the sides of one polygon; cheap for a single question.

        Args:
            index: which polygon.
            start, end: x and y of each.

        Returns:
            Parts of the way from `start` to `end`, in 0..1, ascending. A side that the path runs along gives
            no crossing of its own; its neighbours do, also when rounding puts its ends beside the path.
        """
        (x, y), step_x, step_y = start, end[0] - start[0], end[1] - start[1]
        places: set[float] = set()
        for (ax, ay), (bx, by) in self._corners[index]:
            side_x, side_y = bx - ax, by - ay
            denominator = step_x * side_y - step_y * side_x
            if denominator == 0:
                continue
            along = ((ax - x) * side_y - (ay - y) * side_x) / denominator
            across = ((ax - x) * step_y - (ay - y) * step_x) / denominator
            if 0 <= along <= 1 and -EDGE_TOLERANCE <= across <= 1 + EDGE_TOLERANCE:
                places.add(along)
        return sorted(places)

    def meets(self, sides: IntArray, starts: Float64Array, ends: Float64Array) -> BoolArray:
        """Whether straight paths reach from end to end of certain sides, prolonged paths against real sides.

        With a change of sign in `turns` from start to end, that is whether a path crosses the side itself.

        Args:
            sides: (M,) rows of `turns`.
            starts, ends: (M, 2), one path for each side.

        Returns:
            (M,) bool; touching counts.
        """
        step = ends - starts
        to_a, to_b = self._a[sides] - starts, self._b[sides] - starts
        at_a = step[:, 0] * to_a[:, 1] - step[:, 1] * to_a[:, 0]
        at_b = step[:, 0] * to_b[:, 1] - step[:, 1] * to_b[:, 0]
        met: BoolArray = at_a * at_b <= 0
        return met
