"""Examples for the motion model out of recordings that `edgetrack-agent run --record` made.

The agent's own tracker runs over the recorded detections again, so that features and forecasts are those
that it would have on the device. Now and then all objects are hidden from a copy of it for some tenths of a
second, as when they get lost. Where they truly went is what the tracker saw of them later, smoothed backwards
over the whole recording (RTS, `models.evaluate.smooth`) and free of the camera's own movement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from agent.recording import RecordedFrame, Recording
from agent.records import Detections, Tracks, TrackState
from agent.track import Tracker
from agent.track.kalman import Float64Array
from agent.track.motion_lstm import FEATURES, HORIZONS_S, STEPS, TICK_S, MotionModel
from agent.track.settings import TrackerSettings
from models.evaluate.smooth import smooth_rows
from models.motion.examples import Examples, Rows, joined

_EVERY_S = 0.5
_LONGEST_HIDDEN_S = 2 * TICK_S
_MIN_AGE_S = 0.5
_MOST_OF_A_TRACK = 100
"""So that a parked car does not outweigh all who walk past it."""
_ADVICE = "mend or remove it"
_NOBODY = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class RecordedMotion:
    """What one recording gives.

    Args:
        path: of the recording.
        sha256: of its bytes.
        frames: in it.
        start_s, end_s: monotonic times of the first and the last.
        examples: (N) of them.
        moments_s: (N,) when each is asked about, monotonic.
        tracks: (N,) whose it is.
    """

    path: Path
    sha256: str
    frames: int
    start_s: float
    end_s: float
    examples: Examples
    moments_s: Float64Array
    tracks: NDArray[np.int64]

    def only(self, rows: Rows) -> RecordedMotion:
        """The same with some of the examples."""
        kept = self.examples[rows], self.moments_s[rows], self.tracks[rows]
        return RecordedMotion(self.path, self.sha256, self.frames, self.start_s, self.end_s, *kept)

    def before(self, time_s: float) -> Examples:
        """Those that learn nothing of what was later than `time_s`: truth from there on is not known."""
        rows = self.moments_s + HORIZONS_S[0] <= time_s
        examples = self.examples[rows]
        later = self.moments_s[rows][:, None] + np.array(HORIZONS_S) > time_s
        corrections = np.where(later[..., None], np.float32(np.nan), examples.corrections)
        return Examples(examples.features, corrections)

    def after(self, time_s: float) -> Examples:
        """Those that see nothing of what was earlier than `time_s`."""
        return self.examples[self.moments_s >= time_s + STEPS * TICK_S]


def recordings_in(place: Path) -> list[Path]:
    """A recording, or all of a folder, by name.

    Raises:
        DataError: there is none.
    """
    if place.is_file():
        return [place]
    paths = sorted(place.glob("*.ndjson")) if place.is_dir() else []
    if not paths:
        got = "none in it" if place.is_dir() else "no such folder"
        raise DataError(
            str(place),
            f"expected recordings (.ndjson), got {got}",
            "make some with edgetrack-agent run --record",
        )
    return paths


def read_motion(path: Path, rng: np.random.Generator) -> RecordedMotion:
    """Follow everything in a recording, and see how far the filter's forecasts were off.

    Args:
        path: of the recording.
        rng: draws for how long objects are hidden.

    Raises:
        DataError: it is no recording, damaged, or without detections; the line is named.
    """
    try:
        recording = Recording(path)
        run = _Run(recording, rng)
        for number, frame in enumerate(recording, 2):
            run.see(frame, number)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except DataError as error:
        raise DataError(error.where, error.problem, error.hint or _ADVICE) from error
    return run.result(path, digest)


class _FeatureTap(MotionModel):
    """Stands where the motion model is and keeps what it would read; corrects nothing."""

    def __init__(self) -> None:
        self.features: Float64Array = np.empty((0, STEPS, FEATURES))

    def __call__(self, features: Float64Array) -> Float64Array:
        self.features = features
        return np.zeros((len(features), len(HORIZONS_S), 2))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """All tracks that were hidden, at one moment.

    `forecasts` (M, horizons, 2) and `heights` (M,) px, free of the camera's movement; `features` (M, STEPS,
    FEATURES); `ids` (M,).
    """

    time_s: float
    ids: NDArray[np.int64]
    features: Float64Array
    forecasts: Float64Array
    heights: Float64Array


class _Run:
    """The tracker over one recording, and beside it now and then the copy that sees nothing."""

    def __init__(self, recording: Recording, rng: np.random.Generator) -> None:
        settings = _tracker_settings(recording.header.score_levels)
        self._path, self._rng = recording.path, rng
        self._tap = _FeatureTap()
        self._tracker = Tracker(settings, motion_model=self._tap)
        self._blind = Tracker(settings, motion_model=self._tap)
        self._blind_until_s: float | None = None
        self._next_s = -np.inf
        self._times: list[float] = []
        self._boxes: list[Float64Array] = []  # (M, 6) time, id, left, top, width, height
        self._asked: list[_Asked] = []

    def see(self, frame: RecordedFrame, line: int) -> None:
        """The next frame, from that line of the file."""
        if frame.detections is None:
            problem = "expected detections in the recording, got none"
            raise DataError(str(self._path), problem, "record again with edgetrack-agent run --record")
        time_s = frame.time_s
        if self._times and time_s <= self._times[-1]:
            return
        try:
            tracks = self._tracker.update(frame.detections, time_s, frame.size)
        except DataError as error:
            raise DataError(f"{self._path}:{line} detections", error.problem) from error
        self._times.append(time_s)
        self._keep_boxes(tracks, time_s)
        if self._blind_until_s is not None:
            hidden = self._blind.update(_NOBODY, time_s, frame.size)
            if time_s >= self._blind_until_s:
                self._blind_until_s = None
                self._ask(hidden, time_s)
        elif time_s >= self._next_s and len(tracks):
            self._blind.load_state(self._tracker.state_dict())
            self._blind_until_s = time_s + self._rng.uniform(0.0, _LONGEST_HIDDEN_S)
            self._next_s = time_s + _EVERY_S

    def _keep_boxes(self, tracks: Tracks, time_s: float) -> None:
        seen = tracks[(tracks.states == TrackState.CONFIRMED) & (tracks.since_seen_s == 0)]
        rows = np.empty((len(seen), 6))
        rows[:, 0], rows[:, 1] = time_s, seen.ids
        rows[:, 2:4] = seen.boxes[:, :2] - self._tracker.camera_px
        rows[:, 4:] = seen.boxes[:, 2:] - seen.boxes[:, :2]
        self._boxes.append(rows)

    def _ask(self, hidden: Tracks, time_s: float) -> None:
        """Note features and forecasts of hidden tracks; the tracker gives both in the same order."""
        alive = hidden.states != TrackState.REMOVED
        known = alive & (hidden.states != TrackState.TENTATIVE) & (hidden.age_s >= _MIN_AGE_S)
        if not known.any():
            return
        _, forecasts = self._blind.forecast(HORIZONS_S, corrected=False)
        self._blind.forecast(HORIZONS_S)
        rows = known[alive]
        heights = (hidden.boxes[:, 3] - hidden.boxes[:, 1])[known].astype(np.float64)
        free = forecasts[rows].astype(np.float64) - self._blind.camera_px
        self._asked.append(_Asked(time_s, hidden.ids[known], self._tap.features[rows], free, heights))

    def result(self, path: Path, sha256: str) -> RecordedMotion:
        """Compare with where everything went."""
        truth = _Truth(np.array(self._times), np.concatenate([np.empty((0, 6)), *self._boxes]))
        parts, moments, tracks = [], [], []
        for asked in self._asked:
            went = truth.centres(asked.ids, asked.time_s + np.array(HORIZONS_S))
            corrections = (went - asked.forecasts) / asked.heights[:, None, None]
            kept = np.isfinite(corrections[:, 0, 0])
            parts.append(
                Examples(asked.features[kept].astype(np.float32), corrections[kept].astype(np.float32))
            )
            moments.append(np.full(int(kept.sum()), asked.time_s))
            tracks.append(asked.ids[kept])
        ids = np.concatenate([np.empty(0, np.int64), *tracks])
        kept = _spread(ids)
        return RecordedMotion(
            path,
            sha256,
            len(self._times),
            self._times[0] if self._times else 0.0,
            self._times[-1] if self._times else 0.0,
            joined(parts)[kept],
            np.concatenate([np.empty(0), *moments])[kept],
            ids[kept],
        )


def _tracker_settings(score_levels: tuple[float, ...]) -> TrackerSettings:
    """The agent's defaults, with the levels of the detector where they are known."""
    if not score_levels:
        return TrackerSettings()
    low, high, birth = score_levels
    return TrackerSettings(learn_scores=False, low_score=low, high_score=high, birth_score=birth)


def _spread(tracks: NDArray[np.int64]) -> NDArray[np.intp]:
    """Rows to keep so that each track has at most `_MOST_OF_A_TRACK`, evenly spread."""
    kept = [np.empty(0, np.intp)]
    for track in np.unique(tracks):
        rows = (tracks == track).nonzero()[0]
        kept.append(rows[np.unique(np.linspace(0, len(rows) - 1, _MOST_OF_A_TRACK).astype(np.intp))])
    return np.sort(np.concatenate(kept))


class _Truth:
    """Where tracks were, smoothed, at any time.

    Args:
        times_s: (F,) of the frames.
        boxes: (N, 6) time, id, left, top, width, height; px, free of the camera's movement.
    """

    def __init__(self, times_s: Float64Array, boxes: Float64Array) -> None:
        # The smoother wants equal steps: boxes go to the nearest multiple of the usual one.
        self._step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0
        self._start_s = float(times_s[0]) if len(times_s) else 0.0
        rows = np.zeros((len(boxes), 8))
        rows[:, 0] = np.round((boxes[:, 0] - self._start_s) / self._step_s)
        rows[:, 1:6] = boxes[:, 1:]
        rows = rows[np.unique(rows[:, :2], axis=0, return_index=True)[1]]
        smooth = smooth_rows(rows, 1.0 / self._step_s)
        self._paths = {int(track): _of_track(smooth, track) for track in np.unique(smooth[:, 1])}

    def centres(self, ids: NDArray[np.int64], times_s: Float64Array) -> Float64Array:
        """(M, K, 2) px of M tracks at K times; NaN where one was not in sight."""
        places = (times_s - self._start_s) / self._step_s
        found = np.full((len(ids), len(times_s), 2), np.nan)
        for row, track in enumerate(ids.tolist()):
            if track in self._paths:
                frames, centres = self._paths[track]
                before = np.searchsorted(frames, places, side="right") - 1
                after = np.minimum(before + 1, len(frames) - 1)
                inside = (before >= 0) & ((frames[after] - frames[before] == 1) | (frames[before] == places))
                share = np.where(frames[before] == places, 0.0, places - frames[before])[:, None]
                between = centres[before] * (1 - share) + centres[after] * share
                found[row] = np.where(inside[:, None], between, np.nan)
        return found


def _of_track(rows: Float64Array, track: float) -> tuple[Float64Array, Float64Array]:
    """(F,) frames in ascending order and (F, 2) centres."""
    own = rows[rows[:, 1] == track]
    return own[:, 0], own[:, 2:4] + 0.5 * own[:, 4:6]


def described(recordings: list[RecordedMotion]) -> Iterator[str]:
    """A line about each recording."""
    for one in recordings:
        length = f"{one.frames} frames, {(one.end_s - one.start_s) / 60:.1f} min"
        yield f"{one.path}: {length}, {len(np.unique(one.tracks))} tracks, {len(one.examples)} moments"
