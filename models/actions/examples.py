"""From detections to examples: the agent's tracker, the agent's histories, and the truth's actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from agent.actions.history import FEATURES, STEPS, BoxHistory
from agent.actions.recognizer import MIN_STEPS
from agent.geometry.boxes import iou_matrix
from agent.records import Detections, FloatArray, IntArray, Tracks, TrackState
from agent.sequence_model import Float64Array
from agent.track.settings import TrackerSettings
from agent.track.tracker import Tracker
from models.actions.detections import boxes_at, detections, random_errors
from models.actions.scenes import OPTIONS, SceneBoxes, action_scene, scene_boxes
from models.data.scene.motion import ACTIONS, Action
from models.data.scene.truth import LABELS

ACTION_LABELS = (Action.WALK, Action.RUN, Action.STAND, Action.FALL, Action.LOITER)
"""What the model tells apart, in the order of its outputs."""
ANSWER_AGE_S = 0.4
"""The model says what was done so long ago: what follows is needed to be sure."""
_MIN_IOU = 0.4
_FPS = (25.0, 15.0, 12.0, 10.0, 8.0, 5.0)
_CLASSES = np.array([[*ACTION_LABELS].index(a) if a in ACTION_LABELS else -1 for a in ACTIONS], np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ActionExamples:
    """What an action model is trained and judged on.

    Args:
        features: (N, STEPS, FEATURES) float32, as the agent makes them.
        classes: (N,) int64, index into `ACTION_LABELS`.
        tracks: (N,) int64, a number for each track, unique over all scenes.
    """

    features: FloatArray
    classes: IntArray
    tracks: IntArray

    def __len__(self) -> int:
        return len(self.classes)


def generated_examples(
    scenes: int, seed: int, *, passes: int = 2, every: int = 2, on_scene: Callable[[], None] | None = None
) -> ActionExamples:
    """Examples of scenes that are tracked and not rendered.

    Args:
        scenes: how many.
        seed: of the first; the others follow it.
        passes: how often each is seen, by another detector at another frame rate.
        every: only each n-th moment of a track.
        on_scene: called after each scene.
    """
    parts = []
    for number in range(seed, seed + scenes):
        rng = np.random.default_rng([number, 5])
        truth = scene_boxes(action_scene(number), OPTIONS.duration_s)
        for _ in range(passes):
            fps = float(rng.choice(_FPS))
            parts.append(examples_of(detections(truth, random_errors(rng), fps, rng), truth, every=every))
        if on_scene is not None:
            on_scene()
    return joined(parts)


def joined(parts: Iterable[ActionExamples]) -> ActionExamples:
    """All examples, tracks numbered anew."""
    features, classes, tracks, used = [], [], [], 0
    for part in parts:
        features.append(part.features)
        classes.append(part.classes)
        tracks.append(part.tracks + used)
        used += int(part.tracks.max(initial=-1)) + 1
    return ActionExamples(np.concatenate(features), np.concatenate(classes), np.concatenate(tracks))


def examples_of(
    frames: Iterable[tuple[float, Detections]],
    truth: SceneBoxes,
    *,
    every: int = 1,
    tracker: TrackerSettings | None = None,
) -> ActionExamples:
    """Track detections and take an example of each track at each moment.

    Args:
        frames: time and detections of people, in order.
        truth: what the actors do.
        every: only each n-th moment.
        tracker: None for one that trusts all detections.
    """
    features: list[Float64Array] = []
    classes: list[IntArray] = []
    ids: list[IntArray] = []
    trusting = TrackerSettings(motion="kalman", learn_scores=False)
    moments = _moments(frames, truth, Tracker(tracker or trusting))
    for number, (history, rows, tracks, time_s) in enumerate(moments):
        if number % every:
            continue
        found = _actions(tracks, rows, truth, time_s)
        kept = rows[found >= 0]
        if len(kept):
            features.append(history.features(kept))
            classes.append(found[found >= 0])
            ids.append(tracks.ids[kept])
    empty = np.zeros((0, STEPS, FEATURES))
    return ActionExamples(
        np.concatenate([empty, *features]).astype(np.float32),
        np.concatenate([np.zeros(0, np.int64), *classes]),
        np.concatenate([np.zeros(0, np.int64), *ids]),
    )


def _moments(
    frames: Iterable[tuple[float, Detections]], truth: SceneBoxes, tracker: Tracker
) -> Iterator[tuple[BoxHistory, IntArray, Tracks, float]]:
    """At each moment: histories, rows that can be judged, tracks in the histories' order, the time."""
    history = BoxHistory()
    for time_s, found in frames:
        tracks = tracker.update(found, time_s, truth.size)
        tracks = tracks[tracks.states != TrackState.REMOVED]
        history.follow(tracks.ids)
        if history.observe(tracks.since_seen_s <= 0, tracks.boxes, time_s, truth.size):
            rows = (history.seen_steps() >= MIN_STEPS).nonzero()[0]
            if len(rows):
                yield history, rows, tracks, time_s


def _actions(tracks: Tracks, rows: IntArray, truth: SceneBoxes, time_s: float) -> IntArray:
    """(M,) what the actors under tracks `rows` do; -1 where there is none."""
    width, height = truth.size
    boxes, _ = boxes_at(truth, time_s)
    people = (truth.labels == LABELS.index("person")) & ~np.isnan(boxes[:, 0])
    columns = people.nonzero()[0]
    shown = np.clip(boxes[columns], 0, np.array([width, height, width, height], np.float32))
    iou = iou_matrix(np.clip(tracks.boxes[rows], 0, max(width, height)), shown)
    found = np.full(len(rows), -1, np.int64)
    row = min(int((time_s - ANSWER_AGE_S) / float(truth.times_s[1])), len(truth.times_s) - 1)
    for i, j in zip(*linear_sum_assignment(iou, maximize=True), strict=True):
        action = truth.actions[row, columns[j]]
        if iou[i, j] >= _MIN_IOU and action >= 0:
            found[i] = _CLASSES[action]
    return found
