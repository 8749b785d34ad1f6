from __future__ import annotations

import numpy as np
import pytest

from agent.geometry.boxes import iou_matrix
from agent.vision.decode.boxes import side_distances
from models.training.detector_loss import (
    LossWeights,
    assign,
    cell_grid,
    detector_loss,
    flatten_outputs,
    generalized_iou,
    pairwise_iou,
)

WIDTH, HEIGHT = 96, 64
CELLS = 12 * 8 + 6 * 4 + 3 * 2


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 50, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(4, 40, (count, 2))], axis=1).astype(np.float32)


def _outputs(rng: np.random.Generator, classes: int = 2) -> list[np.ndarray]:
    shapes = [(1, 8, 12), (1, 4, 6), (1, 2, 3)]
    return [
        part
        for shape in shapes
        for part in (
            rng.uniform(0.01, 0.9, (*shape, classes)).astype(np.float32),
            rng.uniform(0.5, 3.0, (*shape, 4)).astype(np.float32),
        )
    ]


def test_pairwise_iou_equals_the_agents() -> None:
    rng = np.random.default_rng(0)
    a, b = _boxes(rng, 30), _boxes(rng, 20)
    np.testing.assert_allclose(pairwise_iou(a[None], b[None]).numpy()[0], iou_matrix(a, b), atol=1e-5)


def test_generalized_iou_is_iou_less_the_empty_part_of_the_hull() -> None:
    rng = np.random.default_rng(1)
    a, b = _boxes(rng, 40), _boxes(rng, 40)
    found = generalized_iou(a[None], b[None]).numpy()[0]
    for row, (one, two) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        hull = (max(one[2], two[2]) - min(one[0], two[0])) * (max(one[3], two[3]) - min(one[1], two[1]))
        iou = float(iou_matrix(a[row : row + 1], b[row : row + 1])[0, 0])
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
        union = sum(areas) / (1 + iou)
        assert found[row] == pytest.approx(iou - (hull - union) / hull, abs=1e-4)


def test_flatten_outputs_gives_the_boxes_of_the_agents_decoder() -> None:
    outputs = _outputs(np.random.default_rng(2))
    centres, strides = cell_grid(WIDTH, HEIGHT)
    scores, boxes = flatten_outputs(outputs, centres, strides)
    assert scores.shape == (1, CELLS, 2)
    raw = np.concatenate([part.reshape(-1, 4) for part in outputs[1::2]])
    decoded = side_distances(raw, centres / strides - 0.5, strides, np.ones(2, np.float32))
    np.testing.assert_allclose(boxes.numpy()[0], decoded, atol=1e-4)


def test_assign_gives_every_object_cells_inside_it_and_no_cell_twice() -> None:
    rng = np.random.default_rng(3)
    centres, strides = cell_grid(WIDTH, HEIGHT)
    scores, boxes = flatten_outputs(_outputs(rng), centres, strides)
    true_boxes = np.array([[[8, 8, 40, 56], [50, 10, 90, 40], [60, 44, 64, 48], [0, 0, 0, 0]]], np.float32)
    labels, valid = np.array([[0, 1, 0, 0]]), np.array([[1, 1, 1, 0]], np.float32)
    weights = LossWeights(cells=5)
    owner, taken, target = (
        part.numpy()[0]
        for part in assign(scores, boxes, true_boxes, labels, valid, centres, strides, weights)
    )
    for index, (left, top, right, bottom) in enumerate(true_boxes[0, :3]):
        rows = np.flatnonzero((owner == index) & (taken > 0))
        assert 1 <= len(rows) <= 5
        reach = 0.6 * strides[rows, 0]
        assert (np.abs(centres[rows, 0] - (left + right) / 2) <= np.maximum((right - left) / 2, reach)).all()
        assert (np.abs(centres[rows, 1] - (top + bottom) / 2) <= np.maximum((bottom - top) / 2, reach)).all()
    assert taken.sum() == sum(((owner == index) & (taken > 0)).sum() for index in range(3))
    assert (target >= 0).all()
    assert (target <= 1).all()
    assert (target[taken == 0] == 0).all()


def test_small_objects_are_learnt_at_stride_four_alone_and_large_ones_never() -> None:
    centres, strides = cell_grid(WIDTH, HEIGHT, (4, 8, 16, 32))
    assert len(centres) == 24 * 16 + CELLS
    true_boxes = np.array([[[20, 10, 28, 30], [40, 4, 60, 36], [2, 2, 50, 60]]], np.float32)
    labels, valid = np.zeros((1, 3), np.int32), np.ones((1, 3), np.float32)
    # Coarse cells find everything, those of stride 4 find nothing yet.
    fine = strides[:, 0] == 4
    whose = np.argmin(
        np.abs(centres[:, None] - (true_boxes[0, :, :2] + true_boxes[0, :, 2:]) / 2).sum(2), axis=1
    )
    boxes = np.where(fine[:, None], np.array([0, 0, 1, 1], np.float32), true_boxes[0, whose])[None]
    scores = np.where(fine, 0.01, 0.9)[None, :, None].astype(np.float32)
    owner, taken, _ = (
        part.numpy()[0]
        for part in assign(scores, boxes, true_boxes, labels, valid, centres, strides, LossWeights())
    )
    learnt = [set(strides[(owner == index) & (taken > 0), 0].tolist()) for index in range(3)]
    assert learnt[0] == {4.0}
    assert 8.0 in learnt[1]
    assert learnt[2]
    assert 4.0 not in learnt[2]


def _losses(
    outputs: list[np.ndarray], boxes: np.ndarray, labels: np.ndarray, kind: np.ndarray
) -> tuple[float, float]:
    score, box = detector_loss(outputs, boxes, labels, kind, cell_grid(WIDTH, HEIGHT), LossWeights())
    return float(score), float(box)


def test_loss_is_lower_for_the_truth_than_for_anything_else() -> None:
    box = np.array([[16, 8, 56, 56]], np.float32)
    boxes, labels, kind = (
        np.zeros((1, 4, 4), np.float32),
        np.zeros((1, 4), np.int32),
        np.zeros((1, 4), np.float32),
    )
    boxes[0, 0], kind[0, 0] = box[0], 1.0
    centres, strides = cell_grid(WIDTH, HEIGHT)
    sides = np.concatenate([centres - box[:, :2], box[:, 2:] - centres], axis=1) / strides
    inside = np.where((sides > 0).all(axis=1), 0.999, 1e-4)
    first_guess = np.stack([inside, np.full(CELLS, 1e-4)], axis=1).astype(np.float32)
    found = np.concatenate([centres - sides[:, :2] * strides, centres + sides[:, 2:] * strides], axis=1)
    _, taken, _ = assign(first_guess[None], found[None], boxes, labels, kind, centres, strides, LossWeights())
    scores = np.stack([np.where(taken.numpy()[0] > 0, 0.999, 1e-4), np.full(CELLS, 1e-4)], axis=1)

    def arrange(table: np.ndarray) -> list[np.ndarray]:
        parts = np.split(table.astype(np.float32), [96, 120])
        return [
            part.reshape(1, *grid, -1) for part, grid in zip(parts, [(8, 12), (4, 6), (2, 3)], strict=True)
        ]

    def outputs(score: np.ndarray, side: np.ndarray) -> list[np.ndarray]:
        return [part for pair in zip(arrange(score), arrange(side), strict=True) for part in pair]

    right = _losses(outputs(scores, sides), boxes, labels, kind)
    wrong_class = _losses(outputs(scores[:, ::-1], sides), boxes, labels, kind)
    shifted = _losses(outputs(scores, sides + 0.5), boxes, labels, kind)
    silent = _losses(outputs(np.full_like(scores, 1e-4), sides), boxes, labels, kind)
    assert right[1] == pytest.approx(0.0, abs=1e-4)
    assert wrong_class[0] > right[0] + 0.5
    assert silent[0] > right[0] + 0.5
    assert shifted[1] > 0.1


def test_ignored_object_is_neither_learnt_nor_held_against_the_network() -> None:
    """Scores inside an ignored box cost nothing; the same scores elsewhere do."""
    outputs = _outputs(np.random.default_rng(5))
    boxes, labels = np.zeros((1, 4, 4), np.float32), np.zeros((1, 4), np.int32)
    kind = np.zeros((1, 4), np.float32)
    without = _losses(outputs, boxes, labels, kind)
    boxes[0, 0], kind[0, 0] = [-1, -1, WIDTH + 1, HEIGHT + 1], -1.0
    ignored = _losses(outputs, boxes, labels, kind)
    assert without[0] > 1.0
    assert ignored == (pytest.approx(0.0, abs=1e-6), pytest.approx(0.0, abs=1e-6))
