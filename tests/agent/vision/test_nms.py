"""NMS against the textbook loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geometry.boxes import iou_matrix
from agent.records import Detections
from agent.vision.nms import MAX_CANDIDATES, keep_best


def textbook(detections: Detections, min_iou: float) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-detections.scores, kind="stable").tolist():
        rivals = [j for j in kept if detections.labels[i] == detections.labels[j]]
        ious = iou_matrix(detections.boxes[[i]], detections.boxes[rivals]) if rivals else np.zeros((1, 0))
        if not (ious > min_iou).any():
            kept.append(i)
    return kept


def crowd(seed: int, count: int) -> Detections:
    rng = np.random.default_rng(seed)
    corners = rng.random((count, 2)) * 200
    boxes = np.concatenate([corners, corners + rng.random((count, 2)) * 80 + 5], axis=1).astype(np.float32)
    scores = rng.random(count).round(1).astype(np.float32)  # many ties
    return Detections(boxes.reshape(-1, 4), scores, rng.integers(0, 3, count))


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 60), min_iou=st.floats(0.05, 0.95))
def test_keeps_what_the_textbook_loop_keeps(seed, count, min_iou):
    detections = crowd(seed, count)
    assert keep_best(detections, min_iou).tolist() == textbook(detections, min_iou)


def test_keeps_what_the_textbook_loop_keeps_across_blocks():
    detections = crowd(1, 500)
    assert keep_best(detections, 0.4, 1000).tolist() == textbook(detections, 0.4)


def test_chains_of_overlapping_boxes_keep_every_other():
    boxes = np.float32([[4 * n, 0, 4 * n + 10, 10] for n in range(9)])  # each overlaps the next by 0.43
    scores = np.linspace(0.9, 0.1, 9, dtype=np.float32)
    kept = keep_best(Detections(boxes, scores, np.zeros(9, np.int64)), 0.4)
    assert kept.tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_an_overlap_of_one_keeps_all_in_order_of_score(count):
    detections = Detections(
        np.tile(np.float32([0, 0, 9, 9]), (count, 1)),
        np.arange(count, dtype=np.float32) / 10,
        np.zeros(count, np.int64),
    )
    assert keep_best(detections, 1.0).tolist() == list(range(count))[::-1]


def test_no_more_than_asked_for_are_kept():
    assert len(keep_best(crowd(2, 300), 0.9, max_detections=7)) == 7
    assert len(keep_best(crowd(3, MAX_CANDIDATES + 500), 1.0, max_detections=5000)) == MAX_CANDIDATES
