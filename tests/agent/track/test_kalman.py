"""The batched filter against filterpy, one object per track and coordinate."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from agent.track.kalman import PP, PV, VV, BatchedKalman, H, P, V

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    filterpy_common = pytest.importorskip("filterpy.common", reason="needs filterpy (extra models)")
    from filterpy.kalman import KalmanFilter

MEASUREMENT, ACCELERATION, SPEED = (0.05, 0.1), (0.25, 0.1), 0.5


def batched() -> BatchedKalman:
    return BatchedKalman(MEASUREMENT, ACCELERATION, SPEED)


def boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(4, count) centre x, centre y, width, height."""
    return np.stack(
        [
            rng.uniform(0, 1920, count),
            rng.uniform(0, 1080, count),
            rng.uniform(10, 90, count),
            rng.uniform(20, 200, count),
        ]
    )


def oracle(state: np.ndarray, coordinate: int, track: int) -> KalmanFilter:
    """One coordinate of one track as filterpy has it."""
    twin = KalmanFilter(dim_x=2, dim_z=1)
    p, v, pp, pv, vv = state[:, coordinate, track]
    twin.x = np.array([[p], [v]])
    twin.P = np.array([[pp, pv], [pv, vv]])
    twin.H = np.array([[1.0, 0.0]])
    return twin


def as_column(twin: KalmanFilter) -> list[float]:
    return [twin.x[0, 0], twin.x[1, 0], twin.P[0, 0], twin.P[0, 1], twin.P[1, 1]]


@pytest.mark.parametrize("damping_s", [math.inf, 0.7])
def test_predict_and_update_equal_filterpy_on_random_sequences(damping_s: float) -> None:
    rng = np.random.default_rng(7)
    kalman = batched()
    state = kalman.start(boxes(rng, 5))
    twins = [[oracle(state, c, t) for t in range(5)] for c in range(4)]
    for _ in range(60):
        dt = float(rng.uniform(0.01, 0.5))
        heights = state[P, H].copy()
        state = kalman.predict(state, dt, damping_s)
        decay = math.exp(-dt / damping_s)
        step = dt if damping_s == math.inf else damping_s * (1 - decay)
        for c in range(4):
            for t in range(5):
                density = (ACCELERATION[c // 2] * heights[t]) ** 2
                noise = filterpy_common.Q_continuous_white_noise(dim=2, dt=dt, spectral_density=density)
                twins[c][t].predict(F=np.array([[1.0, step], [0.0, decay]]), Q=noise)
        rows = rng.permutation(5)[: rng.integers(1, 6)]
        z = boxes(rng, len(rows))
        scale = rng.uniform(1, 3, len(rows))
        heights = state[P, H].copy()
        state[:, :, rows] = kalman.update(state[:, :, rows], z, scale)
        for c in range(4):
            for k, t in enumerate(rows.tolist()):
                r = (MEASUREMENT[c // 2] * heights[t] * scale[k]) ** 2
                twins[c][t].update(z[c, k], R=r)
        expected = np.array([[as_column(twins[c][t]) for t in range(5)] for c in range(4)]).transpose(2, 0, 1)
        np.testing.assert_allclose(state, expected, rtol=1e-9, atol=1e-9)


def test_update_without_detections_grows_covariance() -> None:
    kalman = batched()
    state = kalman.start(boxes(np.random.default_rng(0), 3))
    later = kalman.predict(state, 0.1)
    assert (later[PP] > state[PP]).all()
    assert (later[VV] > state[VV]).all()


def test_predict_in_two_steps_equals_one_step() -> None:
    kalman = batched()
    state = kalman.start(boxes(np.random.default_rng(1), 4))
    state[V] = 3.0
    state[V, H] = 0.0  # the noise follows the height
    once = kalman.predict(state, 0.3)
    twice = kalman.predict(kalman.predict(state, 0.1), 0.2)
    np.testing.assert_allclose(twice, once, rtol=1e-12)


def test_covariance_stays_positive_definite_over_long_runs() -> None:
    rng = np.random.default_rng(3)
    kalman = batched()
    state = kalman.start(boxes(rng, 8))
    for _ in range(3000):
        state = kalman.predict(state, 0.04)
        state = kalman.update(state, state[P] + rng.normal(0, 2, (4, 8)), 1.0)
    assert (state[PP] > 0).all()
    assert (state[PP] * state[VV] - state[PV] ** 2 > 0).all()


def test_velocity_of_a_damped_track_falls_to_37_percent_in_its_time_constant() -> None:
    kalman = batched()
    state = kalman.start(boxes(np.random.default_rng(2), 1))
    state[V] = 100.0
    for _ in range(10):
        state = kalman.predict(state, 0.2, damping_s=2.0)
    np.testing.assert_allclose(state[V], 100 / math.e)


def test_no_tracks_are_no_error() -> None:
    kalman = batched()
    state = kalman.start(np.zeros((4, 0)))
    assert kalman.predict(state, 0.1).shape == (5, 4, 0)
    assert kalman.update(state, np.zeros((4, 0)), 1.0).shape == (5, 4, 0)
