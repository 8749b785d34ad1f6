"""Forecasts over gaps against truth: where would a track be if it had been hidden from now on?

The tracker runs over real detections. At many moments each visible track is matched with the truth and its
forecast for the next frames is compared with where that object truly went. The camera's movement during the
gap is the one that the tracker estimated from the other tracks, as it would have been.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from agent.detect.interpreter import Interpreter
from agent.errors import SourceError
from agent.records import Tracks
from agent.track.kalman import Float64Array
from agent.track.motchallenge import SequenceInfo, frames_of, read_rows, to_detections
from agent.track.motion_lstm import MotionModel
from agent.track.sequences import sequences_in
from agent.track.settings import TrackerSettings
from agent.track.tracker import Tracker
from models.evaluate.tracking import Rows, iou_ltwh

_EVERY_S = 0.3
_MIN_AGE_S = 0.5


@dataclass(frozen=True, slots=True)
class ForecastError:
    """Mean error of forecasts in one sequence, or over all gaps.

    Args:
        sequence: its name.
        gaps: how many forecasts were compared.
        ade: average over the frames of a gap, box heights, in the order of `names`: constant
            velocity, the damped filter, the model.
        fde: at the last frame of a gap.
    """

    sequence: str
    gaps: int
    ade: tuple[float, ...]
    fde: tuple[float, ...]
    names: tuple[str, ...] = ("CV", "Kalman", "model")


def evaluate_forecasts(
    folder: Path,
    model: Path,
    *,
    gap_frames: int = 30,
    on_progress: Callable[[str], None] | None = None,
) -> list[ForecastError]:
    """Compare forecasts with truth, per sequence and, last, over all gaps.

    Args:
        folder: MOTChallenge sequences with det/det.txt and gt/gt.txt.
        model: the motion model.
        gap_frames: how long tracks are imagined to be hidden.
        on_progress: called after each sequence with its name.

    Raises:
        EdgetrackError: a sequence, or the model, is not as expected.
    """
    motion = MotionModel(Interpreter(model, threads=1))
    errors, everything = [], []
    for info, detections in sequences_in(folder):
        found = _sequence_errors(info, detections, motion, gap_frames)
        if len(found):
            errors.append(_mean(info.name, found))
            everything.append(found)
        if on_progress is not None:
            on_progress(info.name)
    if not everything:
        raise SourceError(str(folder), f"expected objects visible for {gap_frames} frames, got none")
    return [*errors, _mean("all gaps", np.concatenate(everything))]


def _mean(name: str, errors: Float64Array) -> ForecastError:
    ade, fde = errors.mean(axis=(0, 2)), errors[:, :, -1].mean(axis=0)
    return ForecastError(name, len(errors), tuple(map(float, ade)), tuple(map(float, fde)))


def _sequence_errors(
    info: SequenceInfo, detections: Path, motion: MotionModel, gap_frames: int
) -> Float64Array:
    """(gaps, 3 forecasts, gap_frames) distances in box heights."""
    truth = read_rows(detections.parent.parent / "gt" / "gt.txt")
    truth = truth[truth[:, 6] != 0]
    centres = {(int(row[0]), int(row[1])): row[2:4] + 0.5 * row[4:6] for row in truth}
    after_s = np.arange(gap_frames + 1) / info.fps
    tracker = Tracker(TrackerSettings(motion="lstm"), motion_model=motion)
    moments, camera, last_s = [], [], -np.inf
    for (frame, rows), (_, true_rows) in zip(
        frames_of(read_rows(detections), info.length), frames_of(truth, info.length), strict=True
    ):
        time_s = (frame - 1) / info.fps
        tracks = tracker.update(to_detections(rows), time_s, info.size).visible
        camera.append(tracker.camera_px)
        tracks = tracks[tracks.age_s >= _MIN_AGE_S]
        if time_s < last_s + _EVERY_S or not len(tracks) or not len(true_rows):
            continue
        last_s = time_s
        forecasts = _forecasts(tracker, tracks, after_s)  # (3, N, gap_frames + 1, 2)
        heights = tracks.boxes[:, 3] - tracks.boxes[:, 1]
        for row, true_row in zip(*_same(tracks, true_rows), strict=True):
            moments.append((frame, int(true_rows[true_row, 1]), forecasts[:, row], heights[row]))
    way = np.array(camera)
    errors = []
    for frame, truth_id, forecast, height in moments:
        path = [centres.get((frame + n, truth_id)) for n in range(1, gap_frames + 1)]
        if any(centre is None for centre in path):
            continue
        moved = way[frame : frame + gap_frames] - way[frame - 1]
        errors.append(np.linalg.norm(np.array(path) - moved - forecast[:, 1:], axis=2) / height)
    return np.array(errors).reshape(-1, 3, gap_frames)


def _forecasts(tracker: Tracker, tracks: Tracks, after_s: Float64Array) -> Float64Array:
    """(3, N, K, 2) px: at constant velocity, as the filter has it, and as the model corrects it."""
    ids, damped = tracker.forecast(after_s.tolist(), corrected=False)
    _, corrected = tracker.forecast(after_s.tolist())
    rows = [int((ids == id_).argmax()) for id_ in tracks.ids]
    straight = damped[rows, :1] + after_s[:, None] * tracks.velocities[:, None]
    return np.stack((straight, damped[rows], corrected[rows]))


def _same(tracks: Tracks, true_rows: Rows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Tracks and truths that belong together: IoU of 0.5 or more, assigned."""
    boxes = tracks.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    iou = iou_ltwh(boxes, true_rows[:, 2:6])
    i, j = linear_sum_assignment(iou, maximize=True)
    kept = iou[i, j] >= 0.5
    return i[kept], j[kept]
