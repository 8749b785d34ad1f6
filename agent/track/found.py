"""Detections of one frame, checked, in the filter's form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.errors import DataError
from agent.records import Detections, IntArray
from agent.track.kalman import Float64Array, W
from agent.track.score_scale import ScoreScale

_MIN, _MAX = np.minimum.reduce, np.maximum.reduce
_TO_CENTRES = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [-1, 0, 1, 0], [0, -1, 0, 1]])


@dataclass(frozen=True, slots=True)
class Found:
    """Checked detections of one frame.

    Args:
        z: (4, N) centre x, centre y, width, height in px.
        raw_scores: (N,) float64, as the detector gave them.
        scores: (N,) float64, on the scale of the settings' levels.
        labels: (N,).
    """

    z: Float64Array
    raw_scores: Float64Array
    scores: Float64Array
    labels: IntArray


def read_detections(detections: Detections, scale: ScoreScale | None) -> Found:
    """Check detections and bring their scores to one scale.

    Args:
        detections: of one frame; none is a frame too.
        scale: learns from these scores; None leaves them as they are.

    Raises:
        DataError: a box is not finite or has no area, or a score is not in 0..1; the first is named.
    """
    boxes = detections.boxes.astype(np.float64)
    raw = detections.scores.astype(np.float64)
    if not len(raw):
        return Found(boxes.T, raw, raw, detections.labels)
    # NaN fails every comparison.
    sides = boxes.ravel()
    fine = sides.dot(sides) < math.inf  # of float32: too small to overflow
    z = _TO_CENTRES @ boxes.T if fine else boxes.T
    if not (fine and _MIN(z[W:], None) > 0 and _MIN(raw) >= 0 and _MAX(raw) <= 1):
        _name_the_first_fault(boxes, raw)
    return Found(z, raw, raw if scale is None else scale(raw), detections.labels)


def _name_the_first_fault(boxes: Float64Array, scores: Float64Array) -> None:
    fine = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    fine &= (scores >= 0) & (scores <= 1)
    row = int(np.argmin(fine))
    raise DataError(
        f"tracker: detection {row}",
        "expected x1 < x2, y1 < y2, all finite, and a score in 0..1, got "
        f"box {boxes[row].tolist()}, score {float(scores[row]):g}",
    )
