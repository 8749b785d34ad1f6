"""Box arithmetic against plain loops."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geometry import boxes as module
from agent.geometry.boxes import (
    areas,
    clip,
    cxcywh_to_xyxy,
    iou_matrix,
    ltwh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_ltwh,
)


def random_boxes(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corners = rng.random((count, 2)) * 100
    sides = rng.random((count, 2)) * 60 - 5  # some inverted
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32).reshape(-1, 4)


def iou(a, b):
    def area(box):
        return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)

    overlap = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = area(a) + area(b) - overlap
    return overlap / union if union > 0 else 0.0


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 12), m=st.integers(0, 12))
def test_iou_matrix_is_the_iou_of_every_pair(seed, n, m):
    a, b = random_boxes(seed, n), random_boxes(seed + 1, m)
    for part in (a, b):
        part[:, 2:] = np.maximum(part[:, 2:], part[:, :2])
    matrix = iou_matrix(a, b)
    assert matrix.shape == (n, m)
    assert matrix.dtype == np.float32
    wanted = [[iou(x, y) for y in b.astype(float)] for x in a.astype(float)]
    np.testing.assert_allclose(matrix, np.array(wanted).reshape(n, m), atol=1e-5)


def test_boxes_without_area_overlap_nothing():
    empty = np.float32([[5, 5, 5, 5], [9, 9, 3, 3]])
    assert areas(empty).tolist() == [0, 0]
    assert iou_matrix(empty, np.float32([[0, 0, 10, 10], [5, 5, 5, 5]])).tolist() == [[0, 0], [0, 0]]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 12))
def test_conversions_come_back(seed, n):
    boxes = random_boxes(seed, n)
    np.testing.assert_allclose(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes, atol=1e-4)
    np.testing.assert_allclose(ltwh_to_xyxy(xyxy_to_ltwh(boxes)), boxes, atol=1e-4)


def test_clip_keeps_boxes_in_the_picture_and_leaves_its_input():
    boxes = np.float32([[-5, 2, 50, 90], [60, 60, 70, 70]])
    before = boxes.copy()
    assert clip(boxes, 40, 30).tolist() == [[0, 2, 40, 30], [40, 30, 40, 30]]
    np.testing.assert_array_equal(boxes, before)


@pytest.mark.parametrize("shape", [(4,), (2, 5)])
def test_arrays_that_are_no_boxes_are_refused(shape):
    with pytest.raises(ValueError, match=r"b: expected shape \(N, 4\)"):
        iou_matrix(np.zeros((1, 4), np.float32), np.zeros(shape, np.float32))


def test_examples_in_docstrings_hold():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
