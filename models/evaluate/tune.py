"""Tracker settings for a scene of one's own: a search over those that matter, scored by HOTA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.errors import DataError, SourceError
from agent.track.motchallenge import frames_of, read_rows, to_detections
from agent.track.sequences import sequences_in
from agent.track.settings import TrackerSettings
from agent.track.tracker import Tracker
from models.evaluate.tracking import COMBINED, Rows, evaluate_rows

SPACE: dict[str, tuple[float, float]] = {
    "high_score": (0.3, 0.9),
    "birth_score": (0.4, 0.98),
    "min_iou_high": (0.2, 0.6),
    "min_iou_low": (0.2, 0.7),
    "box_buffer": (1.0, 2.2),
    "height_weight": (0.0, 1.5),
    "lost_weight": (0.0, 0.5),
    "tentative_s": (0.05, 0.6),
    "lost_s": (0.5, 4.0),
    "acceleration_noise": (0.05, 1.0),
    "lost_damping_s": (0.2, 5.0),
}
"""What is searched and from where to where; everything else keeps its default."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found.

    Args:
        settings: that differ from the defaults.
        hota: with them, in percent.
        default_hota: with the defaults.
    """

    settings: dict[str, float]
    hota: float
    default_hota: float


def track_rows(
    detections: Rows, length: int, fps: float, size: tuple[int, int], settings: TrackerSettings
) -> Rows:
    """Tracks of one sequence in memory.

    Args:
        detections: (N, 7) MOTChallenge rows, sorted by frame.
        length: number of frames.
        fps: frames per second.
        size: (width, height) in px.
        settings: of the tracker.

    Returns:
        (M, 7) rows of the visible tracks.
    """
    tracker = Tracker(settings)
    parts = [np.zeros((0, 7))]
    for frame, rows in frames_of(detections, length):
        tracks = tracker.update(to_detections(rows), (frame - 1) / fps, size).visible
        boxes = tracks.boxes.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        parts.append(np.column_stack((np.full(len(tracks), frame), tracks.ids, boxes, tracks.scores)))
    return np.concatenate(parts)


def tune_tracker(
    folder: Path, *, trials: int, seed: int = 0, on_progress: Callable[[str], None] | None = None
) -> Tuned:
    """Search by Optuna's tree-structured Parzen estimator, beginning with the defaults.

    Args:
        folder: MOTChallenge sequences with det/det.txt, gt/gt.txt and seqinfo.ini.
        trials: how many settings are tried.
        seed: of the search.
        on_progress: called after every trial with the best HOTA so far.

    Raises:
        SourceError: optuna is not installed, or there is no sequence.
        DataError: a file is not as MOTChallenge has it.
    """
    try:
        import optuna
    except ImportError as error:
        raise SourceError("tune", "expected optuna, got none", "pip install 'edgetrack[bench]'") from error
    sequences = [
        (info, read_rows(path), read_rows(path.parent.parent / "gt" / "gt.txt"))
        for info, path in sequences_in(folder)
    ]
    if not any(len(truth) for _, _, truth in sequences):
        raise DataError(str(folder), "expected truth in gt/gt.txt, got none")
    base = TrackerSettings()

    def hota(settings: TrackerSettings) -> float:
        scored = {
            info.name: (truth, track_rows(found, info.length, info.fps, info.size, settings), info.length)
            for info, found, truth in sequences
        }
        return evaluate_rows(scored)[COMBINED].hota

    def objective(trial: optuna.Trial) -> float:
        values = {name: round(trial.suggest_float(name, *limits), 4) for name, limits in SPACE.items()}
        values["birth_score"] = max(values["birth_score"], values["high_score"])
        values["low_score"] = min(base.low_score, values["high_score"])
        trial.set_user_attr("settings", values)
        return hota(TrackerSettings(**{**base.model_dump(), **values}))

    def report(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        if on_progress is not None:
            on_progress(f"HOTA {study.best_value:.2f}")

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({name: getattr(base, name) for name in SPACE})
    study.optimize(objective, n_trials=trials, callbacks=[report])
    default = study.trials[0].value
    if default is None or study.best_value <= default:
        return Tuned({}, default or 0.0, default or 0.0)
    return Tuned(study.best_trial.user_attrs["settings"], study.best_value, default)
