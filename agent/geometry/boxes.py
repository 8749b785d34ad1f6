"""Axis-aligned boxes: conversion, clipping, overlap."""

from __future__ import annotations

import numpy as np

from agent.records import FloatArray


def _check_boxes(name: str, boxes: FloatArray) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}: expected shape (N, 4), got {boxes.shape}")


def areas(boxes: FloatArray) -> FloatArray:
    """Area of each box.

    Args:
        boxes: (N, 4), xyxy.

    Returns:
        (N,) in the square of the boxes' unit; 0 where a box is inverted.
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    product: FloatArray = sides[:, 0] * sides[:, 1]
    return product


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of every box in `a` with every box in `b`.

    Args:
        a: (N, 4), xyxy.
        b: (M, 4), xyxy, in the same unit. N or M may be 0.

    Returns:
        (N, M) in 0..1; 0 where a box has no area.

    Raises:
        ValueError: a last axis is not 4.

    >>> iou_matrix(np.float32([[0, 0, 2, 2]]), np.float32([[1, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
    [[0.3330000042915344, 0.0]]
    """
    _check_boxes("a", a)
    _check_boxes("b", b)
    overlap_w = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    overlap_h = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    overlap = np.maximum(overlap_w, 0) * np.maximum(overlap_h, 0)
    union = areas(a)[:, None] + areas(b)[None, :] - overlap
    iou: FloatArray = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return iou


def clip(boxes: FloatArray, width: float, height: float) -> FloatArray:
    """Boxes cut at the picture's edges.

    Args:
        boxes: (N, 4), xyxy in px.
        width, height: of the picture in px.

    Returns:
        (N, 4), a copy.
    """
    limits = np.array([width, height, width, height], dtype=boxes.dtype)
    return np.clip(boxes, 0, limits)


def xyxy_to_cxcywh(boxes: FloatArray) -> FloatArray:
    """Corners to centre and size: (N, 4) to (N, 4)."""
    converted = np.empty_like(boxes)
    converted[:, :2] = (boxes[:, :2] + boxes[:, 2:]) / 2
    converted[:, 2:] = boxes[:, 2:] - boxes[:, :2]
    return converted


def cxcywh_to_xyxy(boxes_cxcywh: FloatArray) -> FloatArray:
    """Centre and size to corners: (N, 4) to (N, 4)."""
    converted = np.empty_like(boxes_cxcywh)
    half = boxes_cxcywh[:, 2:] / 2
    converted[:, :2] = boxes_cxcywh[:, :2] - half
    converted[:, 2:] = boxes_cxcywh[:, :2] + half
    return converted


def xyxy_to_ltwh(boxes: FloatArray) -> FloatArray:
    """Corners to left, top, width, height (MOTChallenge, COCO): (N, 4) to (N, 4)."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def ltwh_to_xyxy(boxes_ltwh: FloatArray) -> FloatArray:
    """Left, top, width, height to corners: (N, 4) to (N, 4)."""
    return np.concatenate([boxes_ltwh[:, :2], boxes_ltwh[:, :2] + boxes_ltwh[:, 2:]], axis=1)
