"""The tracker: predict, associate in stages, correct, give birth, give up."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import ConfigError, DataError
from agent.records import Detections, FloatArray, ImageArray, IntArray, Tracks, TrackState
from agent.track.appearance import Appearance, Embedder
from agent.track.association import NO_ROWS, Rows, gated, side_matrix
from agent.track.camera_motion import camera_shift
from agent.track.expiry import Expiry
from agent.track.forecast import LostForecast
from agent.track.found import Found, read_detections
from agent.track.kalman import CX, CY, BatchedKalman, Float64Array, H, P, V, W
from agent.track.lifecycle import FIRST, HITS, IDS, LABELS, LAST, SCORE, TrackTable
from agent.track.motion_lstm import TICK_S, MotionModel, ramps
from agent.track.score_scale import ScoreScale
from agent.track.settings import TrackerSettings
from agent.track.stages import StagedMatch

_STATE_VERSION = 1
# Arrays: NumPy converts a Python number at each use, which costs more than the sum of a few dozen.
_LEAST_SIDE_PX = np.array(1e-3)
_GAP_STEPS = 3.0
"""A step longer than `lost_s` and so many times the longer of the last two is a gap, not the frame rate."""
_SLIGHT_SHIFT = 0.01
"""Camera shifts below this, in box heights, do not change which pairs overlap."""
_TO_SIDES = np.array([[1, 0, -0.5, 0], [0, 1, 0, -0.5], [1, 0, 0.5, 0], [0, 1, 0, 0.5]])


class Tracker:
    """Multi-object tracking by detection, online and by motion alone.

    Args:
        settings: section `tracker` of the configuration.
        score_quantiles: of the detector's ModelSpec, so that the score levels fit it from the first frame.
        motion_model: corrects the forecasts of lost tracks, unless the settings say "kalman".
        embedder: tells what objects look like, unless the settings say that appearance is off.

    Ids start at 1 in each tracker and are never given twice, not even after `reset()`. After a gap in the
    frames that is longer than `lost_s` nobody is taken for the same: all tracks are given up.

    Raises:
        ConfigError: the settings ask for the motion model or for appearance, and there is none.
    """

    def __init__(
        self,
        settings: TrackerSettings | None = None,
        score_quantiles: Sequence[float] = (),
        motion_model: MotionModel | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self._settings = s = settings or TrackerSettings()
        if s.motion == "lstm" and motion_model is None:
            raise ConfigError(
                "tracker.motion", "expected a motion model for lstm, got none", "set it to auto"
            )
        use_model = motion_model is not None and s.motion != "kalman"
        self._forecast = LostForecast(motion_model) if motion_model and use_model else None
        if s.appearance != "off" and embedder is None:
            raise ConfigError(
                "tracker.appearance", "expected an embedding model and pictures, got none", "set it to off"
            )
        use_embedder = embedder is not None and s.appearance != "off"
        self._appearance = Appearance(embedder, s) if embedder is not None and use_embedder else None
        self._kalman = BatchedKalman(
            (s.position_noise, s.size_noise),
            (s.acceleration_noise, s.size_acceleration_noise),
            s.initial_speed,
        )
        self._match = StagedMatch(s)
        self._own_sides = side_matrix(1.0)
        self._birth_score = np.array(s.birth_score)
        self._blend = np.array([s.centre_blend, s.centre_blend, s.size_blend, s.size_blend])[:, None]
        self._scale = ScoreScale(score_quantiles) if s.learn_scores else None
        self._table = TrackTable()
        self._time_s = -math.inf
        self._dt_s = 0.0
        self._steps_s: tuple[float, ...] = (0.0,)
        """The last two, 0 for one that was a gap; one alone when it is a gap."""
        self._expiry = Expiry(s)

    def reset(self) -> None:
        """Forget all tracks and the time, as when a camera was moved or a recording starts again."""
        self._table.clear()
        self._time_s, self._steps_s = -math.inf, (0.0,)
        if self._forecast is not None:
            self._forecast.clear()
        if self._appearance is not None:
            self._appearance.clear()

    def forecast(self, after_s: Sequence[float], *, corrected: bool = True) -> tuple[IntArray, FloatArray]:
        """Where the living tracks will be if nobody sees them from now on.

        Args:
            after_s: (K,) seconds after the last frame.
            corrected: by the motion model, where there is one.

        Returns:
            (N,) ids and (N, K, 2) centres in px of the picture, were the camera to stand still from now on.
        """
        table, damping_s = self._table, self._settings.lost_damping_s
        later = np.asarray(after_s, np.float64)
        travel = damping_s * (1.0 - np.exp(-later / damping_s))
        centre, velocity = table.motion[P, : CY + 1].T, table.motion[V, : CY + 1].T
        path = centre[:, None] + travel[:, None] * velocity[:, None]
        if corrected and self._forecast is not None and len(table):
            rows = np.arange(len(table))
            corrections = self._forecast.corrections(rows, table.motion, self._time_s)
            path += ramps(later) @ np.diff(corrections, axis=1, prepend=0.0)
        return table.whole[IDS].copy(), path.astype(np.float32)

    @property
    def camera_px(self) -> tuple[float, float]:
        """How far the picture has moved since the first frame; (0, 0) without a motion model."""
        if self._forecast is None:
            return 0.0, 0.0
        x, y = self._forecast.history.camera[:, 0].tolist()
        return x, y

    def state_dict(self) -> dict[str, Any]:
        """All that the tracker knows, in JSON types; the settings are not part of it."""
        table = self._table
        return {
            "version": _STATE_VERSION,
            "time_s": self._time_s if math.isfinite(self._time_s) else None,
            "steps_s": self._steps_s if math.isfinite(max(self._steps_s)) else None,
            "next_id": table.next_id,
            "motion": table.motion.tolist(),
            "whole": table.whole.tolist(),
            "real": table.real.tolist(),
            "scores": self._scale.state() if self._scale is not None else None,
            "forecast": self._forecast.state() if self._forecast is not None else None,
            "appearance": self._appearance.state() if self._appearance is not None else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where another tracker's `state_dict()` was taken: what follows is the same, bit for bit.

        Raises:
            DataError: it is not of that form. The tracker is as it was before.
        """
        try:
            if state["version"] != _STATE_VERSION:
                raise ValueError(f"expected version {_STATE_VERSION}, got {state['version']}")
            table = TrackTable.restored(state["next_id"], state["motion"], state["whole"], state["real"])
            time_s = -math.inf if state["time_s"] is None else float(state["time_s"])
            steps_s = tuple(float(step_s) for step_s in state.get("steps_s") or (math.inf,))
            scale = copy.deepcopy(self._scale)
            if scale is not None and state["scores"] is not None:
                scale.load(state["scores"])
            appearance = copy.copy(self._appearance)
            if appearance is not None:
                appearance.load(state.get("appearance"), len(table))
            if self._forecast is not None and state["forecast"] is not None:
                self._forecast.load(state["forecast"], len(table))
        except KeyError as error:
            raise DataError("tracker state", f"expected a field {error}, got none") from error
        except (TypeError, ValueError) as error:
            raise DataError("tracker state", str(error)) from error
        self._table, self._time_s, self._scale, self._appearance = table, time_s, scale, appearance
        self._steps_s = steps_s

    def update(
        self,
        detections: Detections,
        time_s: float,
        frame_size: tuple[int, int] | None = None,
        image: ImageArray | None = None,
    ) -> Tracks:
        """Follow all objects into the next frame.

        Args:
            detections: of this frame; none is a frame too.
            time_s: monotonic time of this frame, later than that of the last one.
            frame_size: (width, height) in px. Without it, tracks that leave at the border are kept as long
                as those that are lost elsewhere.
            image: (H, W, 3) uint8 BGR. Without it, appearance is not looked at in this frame.

        Returns:
            All living tracks, tentative and lost ones too, and once those that were removed in this frame.

        Raises:
            DataError: the time does not advance, or a detection is not finite, inverted or without area.
                The tracker is as it was before.
        """
        if not self._time_s < time_s < math.inf:
            raise DataError(
                "tracker",
                f"expected a time after {self._time_s:g} s, got {time_s:g} s",
                "give frames in order, or reset() the tracker",
            )
        found = read_detections(detections, self._scale)
        settings, table = self._settings, self._table
        step_s = time_s - self._time_s
        gap = step_s > settings.lost_s and step_s > _GAP_STEPS * max(self._steps_s)
        self._steps_s = (step_s,) if gap else ((*self._steps_s[1:], 0.0)[0], step_s)
        self._time_s = time_s
        self._dt_s = step_s if len(table) else 0.0
        if len(table):
            self._predict()
        known = len(table)
        if self._appearance is not None:
            self._appearance.frame(image, found.z)
        rows, columns = NO_ROWS, NO_ROWS
        if not gap:
            rows, columns = self._match(
                table, found, time_s, self._dt_s, self._follow_camera, self._appearance
            )
        if self._appearance is not None and not gap:
            again, these = self._appearance.found_again(table, found, rows, columns, time_s)
            rows, columns = np.concatenate((rows, again)), np.concatenate((columns, these))
        blended = None
        if len(rows):
            z, scores = found.z.take(columns, axis=1), found.raw_scores.take(columns)
            noise: Float64Array | None = None
            if settings.score_noise:
                noise = 1.0 + settings.score_noise * (1.0 - found.scores[columns])
            motion = self._kalman.update(table.motion.take(rows, axis=2), z, noise)
            table.motion[:, :, rows] = motion
            table.seen(rows, scores, time_s)
            if settings.across_classes:
                table.vote(rows, scores, found.labels[columns])
            blended = motion[P] + self._blend * (z - motion[P])
        self._give_birth(found, rows, columns)
        since_seen_s = time_s - table.real[LAST]
        if self._forecast is not None:
            self._forecast.observe(rows, found.z[: CY + 1, columns], len(table), time_s)
        if self._appearance is not None:
            self._appearance.observe(rows, columns, len(table), time_s)
        removed = self._expiry(table, since_seen_s, frame_size) if len(rows) < known else None
        tracks = self._report(rows, blended, since_seen_s, removed)
        if removed is not None and removed.any():
            table.keep(~removed)
            if self._forecast is not None:
                self._forecast.keep(~removed)
            if self._appearance is not None:
                self._appearance.keep(~removed)
        return tracks

    def _predict(self) -> None:
        """Move all tracks to this frame; those that were not seen in the last one slow down."""
        table, dt_s = self._table, self._dt_s
        lost = (table.real[LAST] < self._time_s - dt_s).nonzero()[0]
        motion = self._kalman.predict(table.motion, dt_s)
        if len(lost):
            before = table.motion.take(lost, axis=2)
            motion[:, :, lost] = self._kalman.predict(before, dt_s, self._settings.lost_damping_s)
        if self._forecast is not None:
            waiting = table.real[LAST] <= self._time_s - TICK_S
            waiting &= table.whole[HITS] >= self._settings.confirm_hits
            self._forecast.advance(motion, waiting, self._time_s, dt_s)
        size = motion[P, W:]
        np.maximum(size, _LEAST_SIDE_PX, out=size)
        table.motion = motion

    def _follow_camera(self, found: Found, rows: Rows, columns: Rows) -> bool:
        """Move all tracks by what the matched ones have in common; whether that is worth a second look."""
        centre = self._table.motion[P, : CY + 1]
        x, y = camera_shift(found.z[: CY + 1].take(columns, axis=1) - centre.take(rows, axis=1))
        centre[CX] += x
        centre[CY] += y
        if self._forecast is not None:
            self._forecast.history.camera += ((x,), (y,))
        return abs(x) + abs(y) > _SLIGHT_SHIFT * float(self._table.motion[P, H, 0])

    def _give_birth(self, found: Found, rows: Rows, columns: Rows) -> None:
        settings, table = self._settings, self._table
        candidates = found.scores >= self._birth_score
        candidates[columns] = False
        new = candidates.nonzero()[0]
        if len(new) and len(rows):
            tracks, others = self._own_sides @ table.motion[P][:, rows], self._own_sides @ found.z[:, new]
            new = np.delete(new, gated(tracks, others, settings.birth_max_iou, 0.0).columns)
        if len(new):
            table.born(
                self._kalman.start(found.z[:, new]),
                found.raw_scores[new],
                found.labels[new],
                self._time_s,
            )

    def _report(
        self,
        rows: Rows,
        blended: Float64Array | None,
        since_seen_s: Float64Array,
        removed: NDArray[np.bool_] | None,
    ) -> Tracks:
        table = self._table
        boxes = table.motion[P]
        if blended is not None:
            boxes = boxes.copy()
            boxes[:, rows] = blended
        confirmed = table.whole[HITS] >= self._settings.confirm_hits
        if removed is None:  # all were seen
            states = confirmed.astype(np.int64)
        else:
            states = confirmed * (np.int64(1) + (since_seen_s > 0))  # TENTATIVE 0, CONFIRMED 1, LOST 2
            states[removed] = TrackState.REMOVED
        whole = table.whole.copy()
        return Tracks(
            ids=whole[IDS],
            boxes=(_TO_SIDES @ boxes).T.astype(np.float32, order="C"),
            velocities=table.motion[V, : CY + 1].T.astype(np.float32, order="C"),
            scores=table.real[SCORE].astype(np.float32),
            labels=whole[LABELS],
            states=states,
            age_s=(self._time_s - table.real[FIRST]).astype(np.float32),
            since_seen_s=since_seen_s.astype(np.float32),
        )
