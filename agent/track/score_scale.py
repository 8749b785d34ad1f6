"""What a detector's scores mean: one scale for all detectors, so that the tracker's levels fit each of them.

A Faster R-CNN is sure at 0.99, a small YOLO at 0.85. The tracker's levels are meant for the first; scores of
others are sharpened, s' = 1 - (1 - s)^κ, so that the score which a detector gives when it is sure becomes
0.99. The sure score is the 90 % quantile of the detections, each weighted by its score, so that it hardly
matters how many weak ones the detector lets through.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.track.kalman import Float64Array

SURE = 0.99
"""The sure score of the scale that the tracker's levels are meant for."""
_SURE_QUANTILE = 0.9
_MAX_SHARPENING = 3.0
"""However weak its scores: a detection of 0.61 or less never reaches the level 0.94."""
_WEAKEST = 0.3
"""Detections below this say nothing about how sure a detector can be."""
_KEPT = 512
_ONE = np.array(1.0)
"""An array: NumPy converts a Python number at each use."""
_PRIOR = 16
"""So many sure detections are assumed to have been seen before the first one."""


class ScoreScale:
    """Brings scores to the tracker's scale.

    Args:
        quantiles: of the detector's scores, evenly spaced from 0 to 1, as its ModelSpec has them. Then the
            scale is fixed; without them it is learnt from the detections themselves.
    """

    def __init__(self, quantiles: Sequence[float] = ()) -> None:
        self._fixed = len(quantiles) > 0
        self._recent = np.zeros(_KEPT)
        self._count = 0
        self._pending: list[Float64Array] = []
        self._waiting = 0
        self.sharpening = 1.0
        """κ: 1 leaves scores as they are."""
        if self._fixed:
            self.sharpening = _sharpening(_sure_score(np.asarray(quantiles, np.float64)))

    def clear(self) -> None:
        """Forget what was learnt."""
        if not self._fixed:
            self._count = self._waiting = 0
            self._pending = []
            self.sharpening = 1.0

    def __call__(self, scores: Float64Array) -> Float64Array:
        """Scores (N,) on the tracker's scale; learns from them unless the scale is fixed."""
        if not self._fixed:
            self._learn(scores)
        if self.sharpening == 1.0:
            return scores
        sharpened: Float64Array = _ONE - (_ONE - scores) ** self.sharpening
        return sharpened

    def _learn(self, scores: Float64Array) -> None:
        # While little is known every frame counts; later a look now and then is enough.
        self._pending.append(scores)
        self._waiting += len(scores)
        if self._waiting <= min(self._count, _KEPT) // 16:
            return
        found = np.concatenate(self._pending)
        strong = found[found >= _WEAKEST][-_KEPT:]
        start = self._count % _KEPT
        end = start + len(strong)
        if end <= _KEPT:
            self._recent[start:end] = strong
        else:
            self._recent[start:] = strong[: _KEPT - start]
            self._recent[: end - _KEPT] = strong[_KEPT - start :]
        self._count += len(strong)
        self._pending, self._waiting = [], 0
        known = min(self._count, _KEPT)
        if known:
            sure = _sure_score(self._recent[:known])
            self.sharpening = _sharpening((known * sure + _PRIOR * SURE) / (known + _PRIOR))

    def state(self) -> dict[str, Any]:
        """What was learnt, in JSON types."""
        return {
            "count": self._count,
            "recent": self._recent[: self._count].tolist(),
            "pending": [score for scores in self._pending for score in scores.tolist()],
            "sharpening": self.sharpening,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state()` gave.

        Raises:
            KeyError, TypeError, ValueError: it is not of that form.
        """
        count, sharpening = int(state["count"]), float(state["sharpening"])
        recent = np.asarray(state["recent"], np.float64)
        pending = np.asarray(state["pending"], np.float64)
        if recent.shape != (min(count, _KEPT),):
            raise ValueError(f"expected {min(count, _KEPT)} recent scores, got shape {recent.shape}")
        if not 1.0 <= sharpening <= _MAX_SHARPENING:
            raise ValueError(f"expected a sharpening of 1 to {_MAX_SHARPENING:g}, got {sharpening}")
        self._recent[: len(recent)] = recent
        self._count, self._pending, self._waiting = count, [pending], len(pending)
        self.sharpening = sharpening


def _sure_score(scores: Float64Array) -> float:
    ordered = scores.copy()
    ordered.sort()
    weight = ordered.cumsum()
    return float(ordered[weight.searchsorted(_SURE_QUANTILE * weight[-1])])


def _sharpening(sure: float) -> float:
    """κ with 1 - (1 - sure)^κ = SURE, within 1 … `_MAX_SHARPENING`."""
    if sure >= SURE:
        return 1.0
    if sure <= 0.0:
        return _MAX_SHARPENING
    return min(math.log(1.0 - SURE) / math.log(1.0 - sure), _MAX_SHARPENING)
