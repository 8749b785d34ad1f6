"""A Kalman filter for all tracks at once: constant velocity, every coordinate on its own.

A box is four coordinates (centre x, centre y, width, height) and each has a state (position p, velocity v)
of its own, so that the textbook's matrices become closed forms on 2×2 covariances:

    x = [p, v]    P = [[pp, pv], [pv, vv]]    F = [[1, a], [0, b]]    H = [1, 0]

    predict   x ← F x,  P ← F P Fᵀ + Q          a = dt, b = 1, or damped: b = exp(-dt/τ), a = τ (1 - b)
    update    S = pp + R,  K = [pp, pv]/S,  x ← x + K (z - p),  P ← (I - K H) P

    Q = s² [[dt³/3, dt²/2], [dt²/2, dt]]        white noise of acceleration, spectral density s²

R. Labbe, Kalman and Bayesian Filters in Python, ch. 6 (updates), 7 (Q of the continuous white noise model).
Y. Bar-Shalom et al., Estimation with Applications to Tracking and Navigation, ch. 6.2.
"""

from __future__ import annotations

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

    def predict(self, state: Float64Array, dt_s: float, damping_s: Float64Array | None = None) -> None:
        """Move all tracks on by `dt_s`, in place.

        Args:
            state: (5, 4, N).
            dt_s: seconds since the state was last predicted.
            damping_s: (N,) time constants of the velocity's decay; inf is none. None: no track is damped.
        """
        step: float | Float64Array = dt_s
        decay: float | Float64Array = 1.0
        if damping_s is not None:
            finite = np.isfinite(damping_s)
            tau = np.where(finite, damping_s, 1.0)
            decay = np.exp(-dt_s / damping_s)
            step = np.where(finite, tau * (1.0 - decay), dt_s)
        p, v, pp, pv, vv = state
        noise = self._q * np.square(p[H])
        p += step * v
        pp += step * (2.0 * pv + step * vv)
        pp += (dt_s**3 / 3.0) * noise
        pv += step * vv
        if damping_s is not None:
            v *= decay
            pv *= decay
            vv *= decay * decay
        pv += (dt_s**2 / 2.0) * noise
        vv += dt_s * noise

    def update(
        self,
        state: Float64Array,
        rows: NDArray[np.intp],
        z: Float64Array,
        noise_scale: Float64Array | float = 1.0,
    ) -> None:
        """Correct some tracks by their detections, in place.

        Args:
            state: (5, 4, N).
            rows: (M,) distinct tracks that have a detection.
            z: (4, M) their detections.
            noise_scale: (M,) factors on the standard deviation of the measurement.
        """
        p, v, pp, pv, vv = state[:, :, rows]
        r = self._r * np.square(p[H] * noise_scale)
        innovation = z - p
        s = pp + r
        gain_p = pp / s
        gain_v = pv / s
        rest = r / s  # 1 - gain_p
        updated = np.empty((5, *z.shape))
        np.add(p, gain_p * innovation, out=updated[P])
        np.add(v, gain_v * innovation, out=updated[V])
        np.multiply(pp, rest, out=updated[PP])
        np.multiply(pv, rest, out=updated[PV])
        np.subtract(vv, gain_v * pv, out=updated[VV])
        state[:, :, rows] = updated
