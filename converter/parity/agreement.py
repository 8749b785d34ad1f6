"""How far two models agree where nobody says what is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.geometry.boxes import iou_matrix
from agent.records import Detections, FloatArray

UNSURE = 0.05
"""Rounding to 8 bits through some thirty layers moves a score near 0.5 by about 0.03 (YuNet)."""


@dataclass(frozen=True)
class BoxAgreement:
    """Boxes of two models matched one to one, label by label, at IoU 0.5 or more.

    Args:
        float_boxes, int8_boxes: how many each found.
        matched: pairs.
    """

    float_boxes: int
    int8_boxes: int
    matched: int

    @property
    def recall(self) -> float:
        """Share of the float model's boxes that int8 found too; 1 when there are none."""
        return self.matched / self.float_boxes if self.float_boxes else 1.0

    @property
    def precision(self) -> float:
        """Share of the int8 model's boxes that the float model found too; 1 when there are none."""
        return self.matched / self.int8_boxes if self.int8_boxes else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        total = self.float_boxes + self.int8_boxes
        return 2 * self.matched / total if total else 1.0


def box_agreement(
    reference: Sequence[Detections], other: Sequence[Detections], min_iou: float = 0.5
) -> BoxAgreement:
    """Match the boxes of two models, picture by picture, greedily from the largest overlap down."""
    matched = 0
    for first, second in zip(reference, other, strict=True):
        overlaps = iou_matrix(first.boxes, second.boxes)
        overlaps = np.where(first.labels[:, None] == second.labels[None], overlaps, 0.0)
        while overlaps.size and overlaps.max() >= min_iou:
            row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
            overlaps[row], overlaps[:, column] = 0.0, 0.0
            matched += 1
    return BoxAgreement(sum(map(len, reference)), sum(map(len, other)), matched)


def clear_agreement(reference: Sequence[Detections], other: Sequence[Detections], min_score: float) -> float:
    """Agreement (harmonic mean) on boxes that no rounding of a score takes across the line.

    Of either model those `UNSURE` above `min_score` count; the other may find them down to `UNSURE` below.
    """
    sure, known = min_score + UNSURE, max(min_score - UNSURE, 0.0)

    def above(models: Sequence[Detections], score: float) -> list[Detections]:
        return [own[own.scores >= score] for own in models]

    found = box_agreement(above(reference, sure), above(other, known)).recall
    right = box_agreement(above(reference, known), above(other, sure)).precision
    return 2 * found * right / (found + right) if found + right else 0.0


def top1(scores: FloatArray) -> int:
    """The class with the highest score; the only score of a binary model against 0.5."""
    flat = scores.reshape(-1)
    return int(flat[0] >= 0.5) if flat.size == 1 else int(flat.argmax())


def relative_error(reference: FloatArray, other: FloatArray) -> float:
    """Root mean squared error over the reference's own spread; 0 is equal."""
    difference = other.astype(np.float64) - reference
    spread = float(np.sqrt(np.mean(np.square(reference - reference.mean(), dtype=np.float64))))
    return float(np.sqrt(np.mean(np.square(difference)))) / max(spread, 1e-12)
