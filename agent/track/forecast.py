"""Forecasts over gaps: lost tracks follow the motion model's corrections until they are seen again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.track.association import Rows
from agent.track.kalman import Float64Array, H, P
from agent.track.motion_lstm import HORIZONS_S, MotionHistory, MotionModel, ramps


class LostForecast:
    """What the motion model said of each lost track, one column per track of the table.

    A track is asked about once, some tenths of a second after it was last seen: most are found again
    sooner, and for those the filter's straight line does.

    Args:
        model: gives the corrections.
    """

    def __init__(self, model: MotionModel) -> None:
        self._model = model
        self.clear()

    def clear(self) -> None:
        """Forget all tracks."""
        self.history = MotionHistory()
        self._asked_s: Float64Array = np.zeros(0)
        """(N,) when the model was asked; NaN while a track is seen."""
        self._stretches: Float64Array = np.zeros((0, len(HORIZONS_S), 2))
        """(N, horizons, 2) px: correction from one horizon to the next."""

    def advance(self, motion: Float64Array, waiting: NDArray[np.bool_], time_s: float, dt_s: float) -> None:
        """Move the lost tracks that were asked about, and ask about those that are waiting.

        Args:
            motion: (5, 4, N) filter states, predicted to now; positions are changed in place.
            waiting: (N,) tracks that are lost and worth asking about.
            time_s: now.
            dt_s: since the last frame.
        """
        self._grow(motion.shape[2])
        rows = (~np.isnan(self._asked_s)).nonzero()[0]
        if len(rows):
            after_s = time_s - self._asked_s[rows]
            share = ramps(after_s) - ramps(np.maximum(after_s - dt_s, 0.0))  # (M, horizons)
            motion[P, :2, rows] += (share[:, :, None] * self._stretches[rows]).sum(axis=1)
        rows = (waiting & np.isnan(self._asked_s)).nonzero()[0]
        if len(rows):
            corrections = self.corrections(rows, motion, time_s)
            self._stretches[rows] = np.diff(corrections, axis=1, prepend=0.0)
            self._asked_s[rows] = time_s

    def corrections(self, rows: Rows, motion: Float64Array, time_s: float) -> Float64Array:
        """(M, horizons, 2) px to add to the filter's damped forecast of tracks `rows`."""
        features = self.history.features(rows, motion, time_s)
        corrections: Float64Array = self._model(features) * motion[P, H][rows][:, None, None]
        return corrections

    def observe(self, rows: Rows, centres: Float64Array, count: int, time_s: float) -> None:
        """Note which tracks are seen, and where; see `MotionHistory.observe`."""
        self._grow(count)
        self._asked_s[rows] = np.nan
        self.history.observe(rows, centres, time_s)

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Remove all tracks but those where `kept` (N,) is true."""
        self._asked_s = self._asked_s[kept]
        self._stretches = self._stretches[kept]
        self.history.keep(kept)

    def _grow(self, count: int) -> None:
        new = count - len(self._asked_s)
        if new:
            self._asked_s = np.concatenate((self._asked_s, np.full(new, np.nan)))
            self._stretches = np.concatenate((self._stretches, np.zeros((new, len(HORIZONS_S), 2))))
            self.history.grow(count)

    def state(self) -> dict[str, Any]:
        """All of it, in JSON types; what is not known is None."""
        history = self.history
        return {
            "asked_s": _plain(self._asked_s),
            "stretches": self._stretches.tolist(),
            "path": _plain(history.path),
            "moments": _plain(history.moments),
            "camera": history.camera.tolist(),
        }

    def load(self, state: Mapping[str, Any], count: int) -> None:
        """Go on from what `state()` gave for `count` tracks.

        Raises:
            KeyError, TypeError, ValueError: it is not of that form.
        """
        fresh = LostForecast(self._model)
        fresh._grow(count)
        arrays = {
            "asked_s": fresh._asked_s,
            "stretches": fresh._stretches,
            "path": fresh.history.path,
            "moments": fresh.history.moments,
            "camera": fresh.history.camera,
        }
        for name, array in arrays.items():
            array[...] = np.array(state[name], np.float64).reshape(array.shape)
        self.history, self._asked_s, self._stretches = fresh.history, fresh._asked_s, fresh._stretches


def _plain(array: Float64Array) -> Any:
    """Nested lists, with None for NaN, which JSON does not know."""
    plain = array.astype(object)
    plain[~np.isfinite(array)] = None
    return plain.tolist()
