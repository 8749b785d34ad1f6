"""Polygons with others cut out, against counting the points of a grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.geometry.difference import difference
from agent.geometry.polygons import PolygonSet

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
GRID = np.stack(np.meshgrid(*[np.linspace(-1, 1, 201) + 1e-4] * 2), axis=-1).reshape(-1, 2)


@st.composite
def stars(draw: st.DrawFn) -> np.ndarray:
    """Polygons round some place, corners on a coarse lattice now and then, so that sides coincide."""
    count = draw(st.integers(3, 7))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    spread = np.stack((np.cos(angles), np.sin(angles)), axis=1) * rng.uniform(0.2, 0.6, (count, 1))
    return np.round(rng.uniform(-0.3, 0.3, 2) + spread, draw(st.sampled_from([1, 2, 12])))


def simple(polygon: np.ndarray) -> bool:
    """Whether no corner came twice and the polygon has an area."""
    return len(np.unique(polygon, axis=0)) == len(polygon) and bool(PolygonSet([polygon]).areas[0] > 0.01)


@settings(max_examples=60, deadline=None)
@given(stars().filter(simple), st.lists(stars().filter(simple), max_size=3))
def test_pieces_hold_what_is_left_once_and_nothing_else(polygon: np.ndarray, cut: list[np.ndarray]) -> None:
    pieces = PolygonSet(difference(polygon, cut))
    holders = PolygonSet([polygon, *cut]).contains(GRID)
    left = holders[0] & ~holders[1:].any(axis=0)
    times = pieces.contains(GRID).sum(axis=0) if len(pieces) else np.zeros(len(GRID))
    border = 0.01  # points on sides that two pieces share, or on the polygons' own
    assert (times != left).mean() < border
    assert pieces.areas.sum() == pytest.approx(left.mean() * 4.04, abs=0.05)


def test_nothing_is_left_where_all_is_cut_out() -> None:
    assert difference(SQUARE, [SQUARE]) == []
    assert difference(SQUARE, [[[-1.0, -1.0], [3.0, -1.0], [-1.0, 3.0]]]) == []


def test_what_is_cut_out_twice_or_beyond_counts_once() -> None:
    half = [[0.5, -1.0], [9.0, -1.0], [9.0, 9.0], [0.5, 9.0]]
    quarter = [[0.0, 0.5], [2.0, 0.5], [2.0, 2.0], [0.0, 2.0]]
    areas = [float(PolygonSet(difference(SQUARE, cut)).areas.sum()) for cut in ([], [half], [half, quarter])]
    assert areas == pytest.approx([1.0, 0.5, 0.25])
