"""The learnt motion model: what a track's last seconds say about where it goes while nobody sees it.

The model corrects the Kalman filter's forecast. It reads, for the last `STEPS` ticks, how far a track was
from the straight line that the filter now draws through it, and gives the correction at `HORIZONS_S`.
Everything is in box heights and seconds, relative to the camera's own movement, so that neither resolution
nor frame rate matters. It is asked once for each track that gets lost, for many tracks at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.sequence_model import Interpreter, SequenceModel
from agent.track.association import Rows
from agent.track.kalman import Float64Array, H, P, V

STEPS = 10
TICK_S = 0.2
"""The model sees `STEPS` observations that are at least `TICK_S` apart."""
FEATURES = 6
"""x and y off the line (box heights), velocity (box heights / s), time before now (s), seen or not."""
HORIZONS_S = (0.25, 0.5, 1.0, 2.0, 4.0)
_LIMIT = 4.0
"""Features are cut at ± this, so that one wild track does not cost the others their int8 resolution."""
_CENTRE = 2


class MotionModel:
    """Corrections to forecasts, for any number of tracks, by a model of a fixed batch.

    Args:
        interpreter: of a model (1, STEPS, B, FEATURES) to (1, 1, B, 2 × horizons); see `SequenceModel`.

    Raises:
        ModelError: the model is of another shape or type.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        advice = "train it again with edgetrack-models train motion"
        self._model = SequenceModel(interpreter, "motion model", STEPS, FEATURES, 2 * len(HORIZONS_S), advice)

    def __call__(self, features: Float64Array) -> Float64Array:
        """Corrections of the forecast.

        Args:
            features: (N, STEPS, FEATURES), see `MotionHistory.features`.

        Returns:
            (N, horizons, 2) box heights to add to the forecast of the centre at `HORIZONS_S`.
        """
        return self._model(features).reshape(len(features), len(HORIZONS_S), 2)


class MotionHistory:
    """Where the tracks of a table were, one column each, free of the camera's own movement.

    `path` (STEPS, 2, N) px holds the last ticks, NaN where a track was not seen; `moments` (STEPS,) their
    times.
    """

    def __init__(self) -> None:
        self.camera = np.zeros((_CENTRE, 1))
        """Sum of all camera shifts, px."""
        self.path: Float64Array = np.full((STEPS, _CENTRE, 0), np.nan)
        self.moments = np.full(STEPS, np.nan)

    def grow(self, count: int) -> None:
        """Make room for `count` tracks."""
        new = np.full((STEPS, _CENTRE, count - self.path.shape[2]), np.nan)
        self.path = np.concatenate((self.path, new), axis=2)

    def observe(self, rows: Rows, centres: Float64Array, time_s: float) -> None:
        """Note where tracks `rows` (M,) are seen, `centres` (2, M) px of the picture."""
        newest = self._newest()
        # Half a frame early is on time: ticks would otherwise slip by a whole frame.
        if time_s < self.moments[newest] + 0.9 * TICK_S:
            return
        slot = (newest + 1) % STEPS
        self.moments[slot] = time_s
        self.path[slot] = np.nan
        self.path[slot][:, rows] = centres - self.camera

    def _newest(self) -> int:
        return int(np.where(np.isnan(self.moments), -np.inf, self.moments).argmax())

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Remove all tracks but those where `kept` (N,) is true."""
        self.path = self.path[:, :, kept]

    def features(self, rows: Rows, motion: Float64Array, time_s: float) -> Float64Array:
        """What the model reads.

        Args:
            rows: (M,) tracks.
            motion: (5, 4, N) their filter states, predicted to now.
            time_s: now.

        Returns:
            (M, STEPS, FEATURES), oldest tick first.
        """
        order = np.roll(np.arange(STEPS), -1 - self._newest())
        ago = np.fmin(time_s - self.moments[order], _LIMIT)[:, None, None]  # (STEPS, 1, 1)
        height = motion[P, H][rows]
        speed = motion[V, :_CENTRE][:, rows] / height
        here = motion[P, :_CENTRE][:, rows] - self.camera
        offset = (self.path[order][:, :, rows] - here) / height + speed * ago  # (STEPS, 2, M)
        seen = np.isfinite(offset[:, :1])
        found = np.concatenate(
            (
                np.where(seen, offset, 0.0),
                np.broadcast_to(speed, offset.shape),
                np.broadcast_to(ago, seen.shape),
                seen,
            ),
            axis=1,
        )
        limited: Float64Array = np.clip(found, -_LIMIT, _LIMIT).transpose(2, 0, 1)
        return limited


def ramps(after_s: Float64Array) -> Float64Array:
    """Share of each stretch between horizons that has passed, for straight lines between corrections.

    Args:
        after_s: (...,) seconds after the model was asked.

    Returns:
        (..., horizons) in 0..1.
    """
    ends = np.array(HORIZONS_S)
    starts = np.concatenate(([0.0], ends[:-1]))
    share: Float64Array = np.clip((after_s[..., None] - starts) / (ends - starts), 0.0, 1.0)
    return share
