from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.geometry.homography import homography, project

ROAD = [[0.4, 0.3], [0.6, 0.3], [0.9, 0.9], [0.1, 0.9]]
METRES = [[0.0, 30.0], [7.0, 30.0], [7.0, 0.0], [0.0, 0.0]]
few = settings(max_examples=40, deadline=None)
jitter = st.lists(st.floats(-0.04, 0.04), min_size=8, max_size=8)


@few
@given(jitter)
def test_the_four_points_go_where_they_should(offsets: list[float]) -> None:
    picture = np.array(ROAD) + np.array(offsets).reshape(4, 2)
    x, y = project(homography(picture, METRES), picture[:, 0], picture[:, 1])
    assert np.stack((x, y), axis=1) == pytest.approx(np.array(METRES), abs=1e-9)


@few
@given(jitter, st.floats(0.2, 0.8), st.floats(0.35, 0.85))
def test_every_other_point_goes_where_opencv_sends_it(offsets: list[float], px: float, py: float) -> None:
    picture = np.array(ROAD) + np.array(offsets).reshape(4, 2)
    theirs = cv2.getPerspectiveTransform(picture.astype(np.float32), np.array(METRES, np.float32))
    expected = cv2.perspectiveTransform(np.array([[[px, py]]]), theirs)[0, 0]
    x, y = project(homography(picture, METRES), np.array([px]), np.array([py]))
    assert [x[0], y[0]] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-2)


def test_points_at_and_beyond_the_horizon_have_no_place() -> None:
    # The sides of the road meet at y = 0.1: there the ground ends.
    x, y = project(homography(ROAD, METRES), np.array([0.5, 0.5, 0.5]), np.array([0.1, 0.05, 0.2]))
    assert np.isnan(x).tolist() == [True, True, False]
    assert y[2] > 30


@pytest.mark.parametrize(
    "points",
    [[[0, 0], [1, 1], [2, 2], [0, 1]], [[0, 0], [0, 0], [1, 0], [0, 1]], [[1, 1], [1, 1], [1, 1], [1, 1]]],
)
def test_three_points_on_a_line_are_refused(points: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="expected"):
        homography(points, METRES)


def test_another_number_of_points_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected two arrays of shape \(4, 2\), got \(3, 2\)"):
        homography(ROAD[:3], METRES)
