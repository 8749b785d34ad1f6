"""Detections of generated actors as a detector would give them: with errors, misses and occlusions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.records import BoolArray, Detections, FloatArray
from models.actions.scenes import SceneBoxes
from models.data.scene.truth import LABELS

_PERSON = LABELS.index("person")


@dataclass(frozen=True, slots=True)
class DetectorErrors:
    """How a detector errs; lengths are parts of a box's own sides.

    Args:
        stray: standard deviation of an edge from frame to frame.
        drift: of what is the same for some tenths of a second.
        drift_s: for how long.
        miss: part of the frames in which an object is missed.
        miss_run: how many frames a miss lasts, on average.
    """

    stray: float
    drift: float
    drift_s: float
    miss: float
    miss_run: float


def random_errors(rng: np.random.Generator) -> DetectorErrors:
    """A detector, good or bad."""
    return DetectorErrors(
        stray=float(rng.uniform(0.005, 0.04)),
        drift=float(rng.uniform(0.005, 0.05)),
        drift_s=float(rng.uniform(0.2, 1.0)),
        miss=float(rng.choice([0.0, 0.03, 0.1, 0.2])),
        miss_run=float(rng.uniform(1.0, 3.0)),
    )


def detections(
    truth: SceneBoxes, errors: DetectorErrors, fps: float, rng: np.random.Generator
) -> Iterator[tuple[float, Detections]]:
    """Frame by frame: its time and what the detector finds in it.

    People are found where they are seen: those mostly behind nearer actors, mostly out of the picture, or
    very small are not.
    """
    width, height = truth.size
    limits = np.array([width, height, width, height], np.float32)
    count = truth.boxes.shape[1]
    drift = rng.normal(size=(count, 4))
    missed: BoolArray = np.zeros(count, np.bool_)
    leave = 1.0 / errors.miss_run
    enter = leave * errors.miss / (1.0 - errors.miss)
    stay = np.exp(-1.0 / (fps * errors.drift_s))
    for number in range(int(float(truth.times_s[-1]) * fps)):
        time_s = number / fps
        boxes, depths = boxes_at(truth, time_s)
        drift = stay * drift + np.sqrt(1 - stay**2) * rng.normal(size=drift.shape)
        missed = np.where(missed, rng.random(count) >= leave, rng.random(count) < enter)
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        error = errors.drift * drift + errors.stray * rng.normal(size=drift.shape)
        clipped = np.clip(boxes, 0, limits)
        shown = _area(clipped) / np.maximum(_area(boxes), 1.0)
        with np.errstate(invalid="ignore"):
            found = (truth.labels == _PERSON) & ~missed & (shown > 0.3) & (_hidden(boxes, depths) < 0.6)
            found &= (clipped[:, 3] - clipped[:, 1] > 0.03 * height) & ~np.isnan(boxes[:, 0])
        rows = found.nonzero()[0]
        noisy = np.clip(boxes + error * sides, 0, limits)[rows].astype(np.float32)
        noisy[:, 2:] = np.maximum(noisy[:, 2:], noisy[:, :2] + 1.0)
        yield (
            time_s,
            Detections(noisy, np.full(len(rows), 0.99, np.float32), np.zeros(len(rows), np.int64)),
        )


def boxes_at(truth: SceneBoxes, time_s: float) -> tuple[FloatArray, FloatArray]:
    """(A, 4) boxes and (A,) depths between two moments of the truth."""
    step = float(truth.times_s[1])
    row = min(int(time_s / step), len(truth.times_s) - 2)
    part = np.float32(time_s / step - row)
    boxes = truth.boxes[row] + part * (truth.boxes[row + 1] - truth.boxes[row])
    return boxes, truth.depths_m[row]


def _area(boxes: FloatArray) -> FloatArray:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    area: FloatArray = sides[:, 0] * sides[:, 1]
    return area


def _hidden(boxes: FloatArray, depths: FloatArray) -> FloatArray:
    """(A,) largest part of each box behind a nearer one's."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    sides = np.maximum(high - low, 0)
    covered = sides[..., 0] * sides[..., 1] / np.maximum(_area(boxes), 1.0)[:, None]
    nearer = depths[None, :] < depths[:, None] - 0.2
    hidden: FloatArray = np.where(nearer & np.isfinite(covered), covered, 0.0).max(axis=1, initial=0.0)
    return hidden
