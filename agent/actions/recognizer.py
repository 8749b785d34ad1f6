"""Names what every track does, in one batched call of the action model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.actions.history import FEATURES, STEPS, TICK_S, BoxHistory
from agent.records import Actions, Tracks, TrackState
from agent.sequence_model import Float64Array, Interpreter, SequenceModel

MIN_STEPS = 8
"""A track must be seen at so many moments before anything is said of it."""


class ActionModel:
    """The network: how boxes moved in, what their objects do out.

    Args:
        interpreter: of a model (1, STEPS, B, FEATURES) to (1, 1, B, classes) of logits.
        labels: names of the actions.

    Raises:
        ModelError: the model is of another shape or type.
    """

    def __init__(self, interpreter: Interpreter, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        advice = "train it again with edgetrack-models train action"
        self._model = SequenceModel(interpreter, "action model", STEPS, FEATURES, len(self.labels), advice)

    def __call__(self, features: Float64Array) -> Float64Array:
        """(N, classes) probabilities of (N, STEPS, FEATURES)."""
        logits = self._model(features)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: Float64Array = powers / powers.sum(axis=1, keepdims=True)
        return found


class ActionRecognizer:
    """What the tracks of one camera do.

    A track is judged whenever `TICK_S` has passed, all tracks in one go; in between, and while it is lost,
    the last answer holds. Its state goes with the track.

    Args:
        model: the network.
        classes: indices of the object classes that are looked at; None: all.
        memory_s: over which answers are averaged.
    """

    def __init__(
        self, model: ActionModel, classes: Sequence[int] | None = None, memory_s: float = 0.4
    ) -> None:
        self.labels = model.labels
        """Names of the actions."""
        self._model = model
        self._classes = None if classes is None else np.array(classes, np.int64)
        self._fresh_part = 1.0 - np.exp(-TICK_S / memory_s) if memory_s > 0 else 1.0
        self._history = BoxHistory()
        self._answers: Float64Array = np.zeros((0, len(self.labels)))
        """(N, classes) probabilities; NaN until something is known."""

    @property
    def track_count(self) -> int:
        """How many tracks are remembered."""
        return len(self._history.ids)

    def update(self, tracks: Tracks, time_s: float, frame_size: tuple[int, int]) -> Actions:
        """Take in the tracks of one frame; call it for frames without tracks too.

        Args:
            tracks: of all states.
            time_s: of the frame, monotonic.
            frame_size: (width, height) in px.

        Returns:
            A row for each of `tracks`.
        """
        judged = tracks.states != TrackState.REMOVED
        if self._classes is not None:
            judged &= np.isin(tracks.labels, self._classes)
        rows = judged.nonzero()[0]
        history = self._history
        before = history.follow(tracks.ids[rows])
        if before is not None:
            answers = np.full((len(rows), len(self.labels)), np.nan)
            answers[before >= 0] = self._answers[before[before >= 0]]
            self._answers = answers
        seen = tracks.since_seen_s[rows] <= 0
        if history.observe(seen, tracks.boxes[rows], time_s, frame_size):
            self._judge()
        return self._report(len(tracks), rows)

    def _judge(self) -> None:
        rows = (self._history.seen_steps() >= MIN_STEPS).nonzero()[0]
        if not len(rows):
            return
        fresh, known = self._model(self._history.features(rows)), self._answers[rows]
        mixed = known + self._fresh_part * (fresh - known)
        self._answers[rows] = np.where(np.isnan(known), fresh, mixed)

    def _report(self, count: int, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Actions:
        labels, scores = np.full(count, -1, np.int64), np.zeros(count, np.float32)
        known = ~np.isnan(self._answers[:, 0])
        if known.any():
            answers = self._answers[known]
            labels[rows[known]] = answers.argmax(axis=1)
            scores[rows[known]] = answers.max(axis=1)
        return Actions(labels, scores)
