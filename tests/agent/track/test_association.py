"""Gating and assignment against naive loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from agent.geometry.boxes import iou_matrix
from agent.track import association
from agent.track.association import Pairs, assign, gated, side_matrix


def scene(rng: np.random.Generator, count: int, extent: float = 300.0) -> np.ndarray:
    """(4, count) centre x, centre y, width, height."""
    return np.concatenate([rng.uniform(0, extent, (2, count)), rng.uniform(10, 60, (2, count))])


def enlarged(z: np.ndarray, buffer: float) -> np.ndarray:
    """(N, 4) xyxy."""
    half = 0.5 * buffer * z[2:]
    return np.concatenate([z[:2] - half, z[:2] + half]).T


def height_iou(a: np.ndarray, b: np.ndarray) -> float:
    top, bottom = max(a[1] - a[3] / 2, b[1] - b[3] / 2), min(a[1] + a[3] / 2, b[1] + b[3] / 2)
    common = max(bottom - top, 0.0)
    return common / (a[3] + b[3] - common)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("buffer", [1.0, 1.6])
def test_gated_pairs_equal_a_loop_over_all_pairs(
    monkeypatch: pytest.MonkeyPatch, dense: bool, buffer: float
) -> None:
    monkeypatch.setattr(association, "_DENSE_PAIRS", 10**9 if dense else 0)
    rng = np.random.default_rng(5)
    a, b = scene(rng, 40), scene(rng, 30)
    sides = side_matrix(buffer)
    pairs = gated(sides @ a, sides @ b, 0.2, 0.75)
    iou = iou_matrix(enlarged(a, buffer), enlarged(b, buffer))
    expected = {(i, j) for i, j in itertools.product(range(40), range(30)) if iou[i, j] >= 0.2}
    assert set(zip(pairs.rows.tolist(), pairs.columns.tolist(), strict=True)) == expected
    assert len(expected) > 10
    for i, j, found, value in zip(*pairs, strict=True):
        assert found == pytest.approx(iou[i, j])
        assert value == pytest.approx(iou[i, j] + 0.75 * (height_iou(a[:, i], b[:, j]) - 1))


def test_gated_takes_no_tracks_or_no_detections() -> None:
    some, none, sides = scene(np.random.default_rng(0), 3), np.zeros((4, 0)), side_matrix(1.6)
    for a, b in ((some, none), (none, some), (none, none)):
        assert len(gated(sides @ a, sides @ b, 0.3, 0.5).rows) == 0


def pairs_of(value: np.ndarray, allowed: np.ndarray) -> Pairs:
    rows, columns = allowed.nonzero()
    return Pairs(rows, columns, value[rows, columns], value[rows, columns])


@given(st.integers(0, 2**32 - 1), st.integers(0, 7), st.integers(0, 7), st.booleans())
def test_assignment_has_most_pairs_and_then_the_highest_sum(seed: int, n: int, m: int, dense: bool) -> None:
    rng = np.random.default_rng(seed)
    value, allowed = rng.uniform(-3, 1, (n, m)), rng.random((n, m)) < rng.uniform(0.1, 0.9)
    before = association._DENSE_PAIRS
    association._DENSE_PAIRS = 2500 if dense else 0
    try:
        rows, columns = assign(pairs_of(value, allowed))
    finally:
        association._DENSE_PAIRS = before
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)
    assert allowed[rows, columns].all()
    forbidden = -1e4
    i, j = linear_sum_assignment(np.where(allowed, value, forbidden), maximize=True)
    kept = allowed[i, j]
    assert len(rows) == int(kept.sum())
    assert value[rows, columns].sum() == pytest.approx(value[i[kept], j[kept]].sum())
