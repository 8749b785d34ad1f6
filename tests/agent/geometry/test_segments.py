from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.geometry.segments import LineSet

coordinates = st.floats(-10, 10)
few = settings(max_examples=40, deadline=None)
points = st.tuples(coordinates, coordinates)


def test_the_left_hand_on_the_screen_is_negative() -> None:
    rightwards = LineSet(np.array([[[0.2, 0.5], [0.8, 0.5]]]))
    assert rightwards.distances(np.array([[0.5, 0.1], [0.5, 0.9], [0.5, 0.5]])).tolist() == [[-0.4, 0.4, 0.0]]


@few
@given(points, points, points, st.floats(0.01, 100), coordinates)
def test_distances_scale_with_the_picture_and_do_not_depend_on_its_origin(
    a: tuple[float, float], b: tuple[float, float], p: tuple[float, float], scale: float, shift: float
) -> None:
    assume(np.hypot(a[0] - b[0], a[1] - b[1]) > 1e-3)
    before = LineSet(np.array([[a, b]])).distances(np.array([p]))[0, 0]
    after = LineSet(np.array([[a, b]]) * scale + shift).distances(np.array([p]) * scale + shift)[0, 0]
    assert after == pytest.approx(before * scale, abs=1e-9 * scale + 1e-9)


@few
@given(points, points, points, points)
def test_crossing_lies_on_both_lines(
    a: tuple[float, float], b: tuple[float, float], start: tuple[float, float], end: tuple[float, float]
) -> None:
    assume(np.hypot(a[0] - b[0], a[1] - b[1]) > 1e-3)
    lines = LineSet(np.array([[a, b]]))
    before, after = lines.distances(np.array([start, end]))[0].tolist()
    assume(before * after < 0 and abs(before - after) > 1e-3)
    part, along = lines.crossing(0, np.array(start), np.array(end))
    on_path = np.array(start) + part * (np.array(end) - np.array(start))
    on_line = np.array(a) + along * (np.array(b) - np.array(a))
    assert 0 <= part <= 1
    assert on_path == pytest.approx(on_line, abs=1e-6)


def test_a_segment_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="segment 1: expected two different ends"):
        LineSet(np.array([[[0, 0], [1, 1]], [[2, 2], [2, 2]]], np.float64))


def test_no_segments_give_empty_answers() -> None:
    assert LineSet(np.zeros((0, 2, 2))).distances(np.zeros((3, 2))).shape == (0, 3)
