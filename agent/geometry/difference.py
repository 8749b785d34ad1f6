"""What is left of a polygon when others are cut out of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agent.geometry.polygons import EDGE_TOLERANCE, Float64Array

Side = tuple[int, tuple[float, float], tuple[float, float]]
"""Which polygon it belongs to, its upper end, its lower end: x and y of each, y growing."""


def difference(polygon: ArrayLike, cut: Sequence[ArrayLike]) -> list[Float64Array]:
    """Pieces that together make up a polygon without some others.

    Those may reach beyond it, overlap each other, or leave nothing. For a handful of drawn polygons, once.

    Args:
        polygon: (K, 2) with K ≥ 3, corners in order, not closed.
        cut: more of the same.

    Returns:
        Trapezoids and triangles (3 or 4, 2) that do not overlap; none where nothing is left.

    Source: trapezoidal decomposition by horizontal lines through all corners and crossings (de Berg et al.,
    Computational Geometry, 2008, section 6.1), without its search structure.
    """
    sides: list[Side] = []
    for owner, corners in enumerate((polygon, *cut)):
        ring = np.asarray(corners, np.float64)
        for a, b in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
            if a[1] != b[1]:
                first, last = sorted((tuple(a), tuple(b)), key=lambda point: point[1])
                sides.append((owner, first, last))
    heights = {y for _, first, last in sides for y in (first[1], last[1])}
    for one, other in itertools.combinations(sides, 2):
        heights |= _crossing_heights(one, other)
    pieces = [piece for low, high in itertools.pairwise(sorted(heights)) for piece in _slab(sides, low, high)]
    extent = max(abs(value) for _, first, last in sides for value in (*first, *last))
    return [piece for piece in pieces if np.ptp(piece, axis=0).min() > EDGE_TOLERANCE * extent]


def _crossing_heights(one: Side, other: Side) -> set[float]:
    """At which height two sides cross; empty where they do not."""
    (ax, ay), (bx, by) = one[1:]
    (cx, cy), (dx, dy) = other[1:]
    slope, other_slope = (bx - ax) / (by - ay), (dx - cx) / (dy - cy)
    if slope == other_slope:
        return set()
    y = (cx - ax + slope * ay - other_slope * cy) / (slope - other_slope)
    return {y} if max(ay, cy) < y < min(by, dy) else set()


def _slab(sides: Sequence[Side], low: float, high: float) -> list[Float64Array]:
    """The pieces between two heights between which no sides begin, end or cross."""
    middle = (low + high) / 2
    spanning = [side for side in sides if side[1][1] < middle < side[2][1]]
    spanning.sort(key=lambda side: _x(side, middle))
    within: set[int] = set()  # the polygons that hold what lies right of the sides so far
    left: Side | None = None
    pieces: list[Float64Array] = []
    for side in spanning:
        within ^= {side[0]}
        if within == {0} and left is None:
            left = side
        elif within != {0} and left is not None:
            corners = ((left, low), (side, low), (side, high), (left, high))
            places = [(_x(edge, y), y) for edge, y in corners]
            distinct = [
                place for place, before in zip(places, places[-1:] + places, strict=False) if place != before
            ]
            if len(distinct) >= 3:
                pieces.append(np.array(distinct))
            left = None
    return pieces


def _x(side: Side, y: float) -> float:
    """Where a side is at a height."""
    _, (ax, ay), (bx, by) = side
    return ax if y == ay else bx if y == by else ax + (y - ay) * (bx - ax) / (by - ay)
