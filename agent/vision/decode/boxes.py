"""How each family of detectors writes a box, as functions of the rows that passed the score."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from agent.geometry.boxes import cxcywh_to_xyxy
from agent.records import FloatArray

BoxFormula: TypeAlias = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]
"""From raw (N, 4), cells (N, 2) as column and row, strides (N, 1) in px and scale (2,) to (N, 4) xyxy in px
of the input."""

_MAX_EXPONENT = 12.0  # e^12 strides is more than any picture; beyond it float32 would end in inf


def scaled_centres(raw: FloatArray, cells: FloatArray, strides: FloatArray, scale: FloatArray) -> FloatArray:
    """Centre, width and height that only need the scale (YOLOv5, v8, v11 as exported)."""
    return cxcywh_to_xyxy(raw * np.concatenate([scale, scale]))


def cell_offsets(raw: FloatArray, cells: FloatArray, strides: FloatArray, scale: FloatArray) -> FloatArray:
    """Offset from the cell's corner and log size, in strides.

    Source: Ge et al., YOLOX, 2021, 2.1; the same in YuNet (Wu et al., 2023).
    """
    sizes = np.exp(np.minimum(raw[:, 2:], _MAX_EXPONENT))
    return cxcywh_to_xyxy(np.concatenate([raw[:, :2] + cells, sizes], axis=1) * strides)


def bounded_offsets(raw: FloatArray, cells: FloatArray, strides: FloatArray, scale: FloatArray) -> FloatArray:
    """tanh offset from the cell's corner in strides, sigmoid size as part of the input (FastestDet)."""
    centres = (np.tanh(raw[:, :2]) + cells) * strides
    return cxcywh_to_xyxy(np.concatenate([centres, sigmoid(raw[:, 2:]) * scale], axis=1))


def side_distances(raw: FloatArray, cells: FloatArray, strides: FloatArray, scale: FloatArray) -> FloatArray:
    """Distances from the cell's centre to the left, top, right and bottom side, in strides.

    Source: Tian et al., FCOS, ICCV 2019, eq. 1.
    """
    centres = cells + 0.5
    return np.concatenate([centres - raw[:, :2], centres + raw[:, 2:]], axis=1) * strides


def sigmoid(logits: FloatArray) -> FloatArray:
    """1 / (1 + e^-x), without overflow."""
    bounded: FloatArray = 1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))
    return bounded
