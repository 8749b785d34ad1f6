from __future__ import annotations

import numpy as np
import pytest

from agent.track.camera_motion import camera_shift


def test_a_shift_that_all_share_is_followed_to_the_trusted_share() -> None:
    residuals = np.array([[10.0] * 8, [-5.0] * 8])
    assert camera_shift(residuals, trust=0.8) == (pytest.approx(8.0), pytest.approx(-4.0))


def test_scattered_residuals_move_nothing_much() -> None:
    rng = np.random.default_rng(0)
    shifts = [camera_shift(rng.normal(0, 10, (2, 8))) for _ in range(200)]
    assert np.abs(shifts).mean() < 1.0  # the plain median would stray by about 3.5


def test_one_outlier_among_many_does_not_count() -> None:
    residuals = np.full((2, 9), 4.0)
    residuals[:, 0] = 500.0
    assert camera_shift(residuals, trust=1.0) == (pytest.approx(4.0), pytest.approx(4.0))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_tracks_say_nothing(count: int) -> None:
    assert camera_shift(np.full((2, count), 30.0)) == (0.0, 0.0)


def test_a_still_picture_is_no_division_by_zero() -> None:
    assert camera_shift(np.zeros((2, 6))) == (0.0, 0.0)
