"""Greedy non-maximum suppression, one class apart from another."""

from __future__ import annotations

import numpy as np

from agent.geometry.boxes import iou_matrix
from agent.records import Detections, IntArray

MAX_CANDIDATES = 1000
"""Best-scored candidates that NMS looks at; the usual limit before NMS (Lin et al., Focal Loss, 2017)."""


def keep_best(detections: Detections, min_iou: float, max_detections: int = 300) -> IntArray:
    """Which detections greedy NMS keeps.

    The best-scored box stands; those of its class that overlap it by more than `min_iou` go; and so on
    with the best that is left. Ties stand in their given order, so the result is the same on every machine.

    The greedy answer is found without a loop over boxes: `kept[j] = no kept i < j overlaps j`, applied
    until nothing changes. Row j is right once the rows before it are, so this ends at the greedy answer,
    after as many rounds as the longest chain of boxes that suppress each other (mostly two or three).

    Args:
        detections: N candidates in any order; beyond the best `MAX_CANDIDATES` they are not looked at.
        min_iou: overlap in 0..1 above which two boxes of one class are one object; 1 switches NMS off.
        max_detections: at most this many are kept.

    Returns:
        (M,) indices of `detections`, best score first.
    """
    order: IntArray = np.argsort(-detections.scores, kind="stable")[:MAX_CANDIDATES]
    if min_iou >= 1.0 or len(order) < 2:
        return order[:max_detections]
    boxes, labels = detections.boxes[order], detections.labels[order]
    overlaps = iou_matrix(boxes, boxes) > min_iou
    overlaps &= labels[:, None] == labels[None, :]
    suppresses = np.triu(overlaps, k=1)  # [i, j]: i is better than j and would remove it
    kept = ~suppresses.any(axis=0)
    while True:
        settled = ~suppresses[kept].any(axis=0)
        if np.array_equal(settled, kept):
            survivors: IntArray = order[kept]
            return survivors[:max_detections]
        kept = settled
