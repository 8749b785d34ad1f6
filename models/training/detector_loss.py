"""What a detector learns from: task-aligned assignment of cells to objects, and the loss on them.

An object's cells are those whose centre lies in its box and whose score and overlap together are highest,
t = s^α · u^β. They learn a score as high as their overlap; all other cells learn 0. Where a network has heads
at stride 4, small objects are theirs alone: they would never win them from the coarser ones, whose overlaps
are better at first.

Sources: Feng et al., TOOD, ICCV 2021 (eq. 1–4, alignment metric and normalised targets); Zhang et al.,
VarifocalNet, CVPR 2021 (weighting of negatives); Rezatofighi et al., Generalized IoU, CVPR 2019; Tian et
al., FCOS, ICCV 2019 (3.2, sizes of objects by stride).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.records import FloatArray

_EPSILON = 1e-7
_FINE = 4
"""The stride whose heads have the small objects for themselves."""
_FINE_SIDE_PX = (24.0, 48.0)
"""Objects whose longer side is under the first are learnt at stride 4 only, over the second never."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How the parts of the loss count.

    Args:
        scores, boxes: factors of the two parts.
        alpha, beta: exponents of score and overlap in the alignment metric.
        cells: that learn one object; more where several fit equally well.
    """

    scores: float = 1.0
    boxes: float = 2.0
    alpha: float = 0.5
    beta: float = 4.0
    cells: int = 9


def cell_grid(
    width: int, height: int, strides_px: tuple[int, ...] = (8, 16, 32)
) -> tuple[FloatArray, FloatArray]:
    """Centres (K, 2) in px and strides (K, 1) of all cells, in the order of the flattened outputs."""
    centres, strides = [], []
    for stride in strides_px:
        x, y = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
        centres.append((np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


def flatten_outputs(outputs: list[Any], centres: FloatArray, strides: FloatArray) -> tuple[Any, Any]:
    """The output tensors as (B, K, C) scores and (B, K, 4) boxes, xyxy in px of the input."""
    import tensorflow as tf

    scores = tf.concat(
        [tf.reshape(out, (tf.shape(out)[0], -1, out.shape[-1])) for out in outputs[0::2]], axis=1
    )
    sides = tf.concat([tf.reshape(out, (tf.shape(out)[0], -1, 4)) for out in outputs[1::2]], axis=1) * strides
    return scores, tf.concat([centres - sides[..., :2], centres + sides[..., 2:]], axis=-1)


def pairwise_iou(a: Any, b: Any) -> Any:
    """(B, N, M) IoU of (B, N, 4) and (B, M, 4) boxes; inverted boxes have no area."""
    import tensorflow as tf

    low = tf.maximum(a[:, :, None, :2], b[:, None, :, :2])
    high = tf.minimum(a[:, :, None, 2:], b[:, None, :, 2:])
    shared = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)  # (B, N, M)
    area_a = tf.reduce_prod(tf.maximum(a[..., 2:] - a[..., :2], 0.0), axis=-1)
    area_b = tf.reduce_prod(tf.maximum(b[..., 2:] - b[..., :2], 0.0), axis=-1)
    return shared / (area_a[:, :, None] + area_b[:, None, :] - shared + _EPSILON)


def assign(
    scores: Any, boxes: Any, true_boxes: Any, true_labels: Any, valid: Any, centres: FloatArray,
    strides: FloatArray, weights: LossWeights,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Give cells to objects.

    Args:
        scores: (B, K, C) in 0..1.
        boxes: (B, K, 4) xyxy px.
        true_boxes: (B, G, 4) xyxy px, padded.
        true_labels: (B, G) int32.
        valid: (B, G) float32, 1 for objects that count, 0 for padding and ignored ones.

    Returns:
        (B, K) index of the object that each cell learns, (B, K) 1 where there is one, and (B, K) the score
        that it should have.
    """
    import tensorflow as tf

    label = tf.one_hot(true_labels, scores.shape[-1], dtype=tf.float32)  # (B, G, C)
    class_score = tf.einsum("bkc,bgc->bgk", scores, label)
    overlap = pairwise_iou(true_boxes, boxes)  # (B, G, K)
    metric = class_score**weights.alpha * overlap**weights.beta
    # A cell may learn an object when its centre lies in the box; objects smaller than a cell have a box of
    # 1.2 strides round their middle instead.
    middle = (true_boxes[..., :2] + true_boxes[..., 2:]) / 2
    half = (true_boxes[..., 2:] - true_boxes[..., :2]) / 2
    reach = tf.maximum(half[:, :, None, :], 0.6 * strides[None, None])  # (B, G, K, 2)
    inside = tf.reduce_all(tf.abs(centres[None, None] - middle[:, :, None, :]) < reach, axis=-1)
    candidate = tf.cast(inside, tf.float32) * valid[:, :, None]
    if (strides == _FINE).any():
        candidate *= _of_size(2.0 * tf.reduce_max(half, axis=-1), strides)
    # 1e-6 of closeness to the middle breaks ties while all overlaps are still 0.
    distance = tf.norm((centres[None, None] - middle[:, :, None, :]) / strides[None, None], axis=-1)
    metric = (metric + 1e-6 / (1.0 + distance)) * candidate
    least = tf.math.top_k(metric, k=weights.cells, sorted=True).values[..., -1:]
    chosen = tf.cast((metric >= least) & (metric > 0), tf.float32)  # (B, G, K)
    # A cell that several objects chose learns the one it overlaps most.
    rivals = tf.where(chosen > 0, overlap + 1e-3 * metric, -1.0)
    owner = tf.argmax(rivals, axis=1, output_type=tf.int32)  # (B, K)
    chosen = chosen * tf.one_hot(owner, tf.shape(true_boxes)[1], axis=1, dtype=tf.float32)
    metric = metric * chosen
    best_metric = tf.reduce_max(metric, axis=-1, keepdims=True)
    best_overlap = tf.reduce_max(overlap * chosen, axis=-1, keepdims=True)
    target = tf.reduce_max(metric / (best_metric + _EPSILON) * best_overlap, axis=1)  # (B, K)
    taken = tf.reduce_max(chosen, axis=1)
    return owner, taken, target


def _of_size(sides: Any, strides: FloatArray) -> Any:
    """(B, G, K) 1 where an object of longer side `sides` (B, G) px may be learnt at a cell's stride."""
    import tensorflow as tf

    low, high = _FINE_SIDE_PX
    fine = tf.constant(strides[:, 0] == _FINE)[None, None]
    return tf.cast(tf.where(fine, sides[..., None] <= high, sides[..., None] >= low), tf.float32)


def detector_loss(
    outputs: list[Any], true_boxes: Any, true_labels: Any, kind: Any, grid: tuple[FloatArray, FloatArray],
    weights: LossWeights,
) -> tuple[Any, Any]:  # fmt: skip
    """Loss of a batch.

    Args:
        outputs: the model's tensors.
        true_boxes: (B, G, 4) float32 xyxy px.
        true_labels: (B, G) int32.
        kind: (B, G) float32: 1 an object, 0 padding, -1 an ignored object.
        grid: of `cell_grid`.

    Returns:
        The score loss and the box loss, scalars, not yet weighted.
    """
    import tensorflow as tf

    centres, strides = grid
    scores, boxes = flatten_outputs(outputs, centres, strides)
    valid = tf.cast(kind > 0, tf.float32)
    owner, taken, target = (
        tf.stop_gradient(part)
        for part in assign(scores, boxes, true_boxes, true_labels, valid, centres, strides, weights)
    )
    label = tf.gather(true_labels, owner, batch_dims=1)
    wanted = tf.one_hot(label, scores.shape[-1], dtype=tf.float32) * (target * taken)[..., None]  # (B, K, C)
    scores = tf.clip_by_value(scores, _EPSILON, 1.0 - _EPSILON)
    entropy = -(wanted * tf.math.log(scores) + (1.0 - wanted) * tf.math.log(1.0 - scores))
    # Varifocal weighting: positives by their target, negatives by how wrong they are.
    weight = tf.where(wanted > 0, wanted, 0.75 * scores**2)
    # Cells inside an ignored object that learn nothing else are left alone.
    ignored = tf.cast(kind < 0, tf.float32)
    in_box = tf.reduce_all(
        (centres[None, None] > true_boxes[:, :, None, :2])
        & (centres[None, None] < true_boxes[:, :, None, 2:]),
        axis=-1,
    )
    hidden = tf.reduce_max(tf.cast(in_box, tf.float32) * ignored[..., None], axis=1) * (1.0 - taken)
    weight = tf.stop_gradient(weight) * (1.0 - hidden[..., None])
    norm = tf.maximum(tf.reduce_sum(target * taken), 1.0)
    score_loss = tf.reduce_sum(entropy * weight) / norm
    aim = tf.gather(true_boxes, owner, batch_dims=1)
    box_loss = tf.reduce_sum((1.0 - generalized_iou(boxes, aim)) * target * taken) / norm
    return score_loss, box_loss


def generalized_iou(a: Any, b: Any) -> Any:
    """(B, K) GIoU of boxes row by row, in -1..1."""
    import tensorflow as tf

    low, high = tf.maximum(a[..., :2], b[..., :2]), tf.minimum(a[..., 2:], b[..., 2:])
    shared = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
    area_a = tf.reduce_prod(tf.maximum(a[..., 2:] - a[..., :2], 0.0), axis=-1)
    area_b = tf.reduce_prod(tf.maximum(b[..., 2:] - b[..., :2], 0.0), axis=-1)
    union = area_a + area_b - shared + _EPSILON
    around = tf.reduce_prod(tf.maximum(a[..., 2:], b[..., 2:]) - tf.minimum(a[..., :2], b[..., :2]), axis=-1)
    return shared / union - (around - union) / (around + _EPSILON)
