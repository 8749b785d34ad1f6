"""A Kalman filter for all tracks at once: constant velocity, every coordinate on its own.

A box is four coordinates (centre x, centre y, width, height) and each has a state (position p, velocity v)
of its own, so that the textbook's matrices become closed forms on 2×2 covariances:

    x = [p, v]    P = [[pp, pv], [pv, vv]]    F = [[1, a], [0, b]]    H = [1, 0]

    predict   x ← F x,  P ← F P Fᵀ + Q          a = dt, b = 1, or damped: b = exp(-dt/τ), a = τ (1 - b)
    update    S = pp + R,  K = [pp, pv]/S,  x ← x + K (z - p),  P ← (I - K H) P

    Q = s² [[dt³/3, dt²/2], [dt²/2, dt]]        white noise of acceleration, spectral density s²

The prediction is linear in (p, v, pp, pv, vv), so it is one 5×5 matrix for all tracks and coordinates.

R. Labbe, Kalman and Bayesian Filters in Python, ch. 6 (updates), 7 (Q of the continuous white noise model).
Y. Bar-Shalom et al., Estimation with Applications to Tracking and Navigation, ch. 6.2.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float64Array: TypeAlias = NDArray[np.float64]

P, V, PP, PV, VV = range(5)
"""Planes of a state array: position, velocity, and the three entries of the symmetric covariance."""
CX, CY, W, H = range(4)
"""Rows of a plane."""


class BatchedKalman:
    """The filter's equations on state arrays of shape (5, 4, N): plane, coordinate, track.

    Args:
        measurement_noise: standard deviations of (centre, size), in box heights.
        acceleration_noise: roots of the spectral densities of (centre, size), in box heights / s^1.5.
        initial_speed: standard deviation of a new track's velocity, in box heights / s.
    """

    def __init__(
        self,
        measurement_noise: tuple[float, float],
        acceleration_noise: tuple[float, float],
        initial_speed: float,
    ) -> None:
        self._r = np.square(np.array(measurement_noise).repeat(2))[:, None]  # (4, 1)
        self._q = np.square(np.array(acceleration_noise).repeat(2))[:, None]  # (4, 1)
        self._initial_speed = initial_speed
        self._transition = np.eye(5, 6)

    def start(self, z: Float64Array) -> Float64Array:
        """States of new tracks.

        Args:
            z: (4, N) first boxes: centre x, centre y, width, height in px.

        Returns:
            (5, 4, N): at rest, the position as uncertain as a detection.
        """
        state = np.zeros((5, *z.shape))
        scale = np.square(z[H])
        state[P] = z
        state[PP] = self._r * scale
        state[VV] = self._initial_speed**2 * scale
        return state

    def predict(self, state: Float64Array, dt_s: float, damping_s: float = math.inf) -> Float64Array:
        """Move tracks on.

        Args:
            state: (5, 4, N).
            dt_s: by how many seconds.
            damping_s: time constant of the velocities' decay; inf is none.

        Returns:
            (5, 4, N).
        """
        a, b = dt_s, 1.0
        if damping_s < math.inf:
            b = math.exp(-dt_s / damping_s)
            a = damping_s * (1.0 - b)
        t = self._transition  # (5, 6): the state's planes, then the spectral density
        t[P, V], t[V, V] = a, b
        t[PP, PV], t[PP, VV], t[PP, 5] = 2.0 * a, a * a, dt_s**3 / 3.0
        t[PV, PV], t[PV, VV], t[PV, 5] = b, a * b, dt_s**2 / 2.0
        t[VV, VV], t[VV, 5] = b * b, dt_s
        count = state.shape[2]
        density = (self._q * np.square(state[P, H])).reshape(1, 4 * count)
        operand = np.concatenate((state.reshape(5, 4 * count), density))
        predicted: Float64Array = (t @ operand).reshape(5, 4, count)
        return predicted

    def update(
        self, state: Float64Array, z: Float64Array, noise_scale: Float64Array | float | None = None
    ) -> Float64Array:
        """Correct tracks by their detections.

        Args:
            state: (5, 4, M).
            z: (4, M) one detection each.
            noise_scale: (M,) factors on the standard deviation of the measurement; None is 1.

        Returns:
            (5, 4, M).
        """
        deviation = state[P, H] if noise_scale is None else state[P, H] * noise_scale
        r = self._r * np.square(deviation)
        s = state[PP] + r
        gain = state[PP : PV + 1] / s  # (2, 4, M)
        corrected = np.empty_like(state)
        np.add(state[: V + 1], gain * (z - state[P]), out=corrected[: V + 1])
        np.multiply(state[PP : PV + 1], r / s, out=corrected[PP : PV + 1])  # 1 - pp/s = r/s
        np.subtract(state[VV], gain[1] * state[PV], out=corrected[VV])
        return corrected
