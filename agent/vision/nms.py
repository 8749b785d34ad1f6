"""Greedy non-maximum suppression, one class apart from another."""

from __future__ import annotations

import numpy as np

from agent.geometry.boxes import iou_matrix
from agent.records import BoolArray, Detections, IntArray

MAX_CANDIDATES = 1000
"""Best-scored candidates that NMS looks at; the usual limit before NMS (Lin et al., Focal Loss, 2017)."""

_BLOCK = 128  # candidates compared at once: the matrices stay in the cache, and 100 boxes are one step


def keep_best(detections: Detections, min_iou: float, max_detections: int = 300) -> IntArray:
    """Which detections greedy NMS keeps.

    The best-scored box stands; those of its class that overlap it by more than `min_iou` go; and so on
    with the best that is left. Ties stand in their given order, so the result is the same on every machine.

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
    kept: IntArray = order[:0]
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        if len(kept):
            block = block[~_overlaps(detections, kept, block, min_iou).any(axis=0)]
        kept = np.concatenate(
            [kept, block[settle(np.triu(_overlaps(detections, block, block, min_iou), k=1))]]
        )
        if len(kept) >= max_detections:
            break
    return kept[:max_detections]


def _overlaps(detections: Detections, better: IntArray, worse: IntArray, min_iou: float) -> BoolArray:
    """(B, W) whether a better box would remove a worse one."""
    overlaps: BoolArray = iou_matrix(detections.boxes[better], detections.boxes[worse]) > min_iou
    overlaps &= detections.labels[better][:, None] == detections.labels[worse][None, :]
    return overlaps


def settle(suppresses: BoolArray) -> BoolArray:
    """The greedy answer without a loop over boxes.

    `kept[j] = no kept i < j suppresses j`, applied until nothing changes: row j is right once the rows before
    it are, so this ends at the greedy answer, after as many rounds as the longest chain of boxes that
    suppress each other (mostly two or three).

    Args:
        suppresses: (N, N), [i, j] true where i stands before j and would remove it.

    Returns:
        (N,) those that stay.
    """
    kept: BoolArray = ~suppresses.any(axis=0)
    while True:
        settled: BoolArray = ~suppresses[kept].any(axis=0)
        if np.array_equal(settled, kept):
            return kept
        kept = settled
