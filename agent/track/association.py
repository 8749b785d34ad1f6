"""Which detection belongs to which track: how alike they are, which pairs may be, and the best choice.

Boxes here are (4, N) float64, rows x1, y1, x2, y2, so that every side of all boxes lies in one piece.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from agent.track.kalman import Float64Array

Rows: TypeAlias = NDArray[np.intp]
BoolMatrix: TypeAlias = NDArray[np.bool_]

_NO_ROWS: Rows = np.zeros(0, np.intp)


def sides(z: Float64Array) -> Float64Array:
    """Centre and size to sides: (4, N) cx, cy, w, h to (4, N) x1, y1, x2, y2."""
    half = 0.5 * z[2:]
    return np.concatenate((z[:2] - half, z[:2] + half))


def centres(boxes: Float64Array) -> Float64Array:
    """Sides to centre and size: (4, N) x1, y1, x2, y2 to (4, N) cx, cy, w, h."""
    return np.concatenate((0.5 * (boxes[:2] + boxes[2:]), boxes[2:] - boxes[:2]))


def similarity(
    tracks: Float64Array, detections: Float64Array, buffer: float, height_weight: float
) -> tuple[Float64Array, Float64Array]:
    """How well every track and every detection fit.

    Buffered IoU: F. Yang et al., Hard to Track Objects with Irregular Motions and Similar Appearances?,
    WACV 2023. Height cue: M. Yang et al., Hybrid-SORT, AAAI 2024.

    Args:
        tracks: (4, N) centre and size of the predicted boxes, px.
        detections: (4, M) the same of the detections.
        buffer: factor on width and height before the overlap is taken.
        height_weight: weight of the vertical extents' IoU.

    Returns:
        (N, M) buffered IoU in 0..1, by which pairs are gated, and (N, M) the similarity to maximise:
        buffered IoU + height_weight × (IoU of the vertical extents - 1).
    """
    scale = np.array([1.0, 1.0, buffer, buffer])[:, None]
    a, b = tracks * scale, detections * scale
    a_half, b_half = 0.5 * a[2:], 0.5 * b[2:]
    low = np.maximum((a[:2] - a_half)[:, :, None], (b[:2] - b_half)[:, None])
    high = np.minimum((a[:2] + a_half)[:, :, None], (b[:2] + b_half)[:, None])
    extent = high - low  # (2, N, M): overlap in x and y
    np.maximum(extent, 0.0, out=extent)
    overlap = extent[0] * extent[1]
    union = (a[2] * a[3])[:, None] + b[2] * b[3] - overlap
    gate = overlap / union
    if height_weight == 0.0:
        return gate, gate
    top = np.maximum((tracks[1] - 0.5 * tracks[3])[:, None], detections[1] - 0.5 * detections[3])
    bottom = np.minimum((tracks[1] + 0.5 * tracks[3])[:, None], detections[1] + 0.5 * detections[3])
    common = np.maximum(bottom - top, 0.0)
    height_iou = common / (tracks[3][:, None] + detections[3] - common)
    return gate, gate + height_weight * (height_iou - 1.0)


def assign(value: Float64Array, admissible: BoolMatrix) -> tuple[Rows, Rows]:
    """The assignment of rows to columns with the most pairs and, among those, the highest sum of values.

    Args:
        value: (N, M), any range.
        admissible: (N, M), which pairs may be chosen.

    Returns:
        (K,) rows and (K,) columns of the chosen pairs, rows ascending.
    """
    per_row = admissible.sum(axis=1)
    per_column = admissible.sum(axis=0)
    if not per_row.any():
        return _NO_ROWS, _NO_ROWS
    # Pairs that compete with no other are settled; only the rest needs the cubic algorithm.
    rows = np.flatnonzero(per_row == 1)
    columns = admissible[rows].argmax(axis=1)
    alone = per_column[columns] == 1
    rows, columns = rows[alone], columns[alone]
    if len(rows) == np.count_nonzero(per_row):
        return rows, columns
    open_rows, open_columns = per_row > 0, per_column > 0
    open_rows[rows] = False
    open_columns[columns] = False
    left, top = np.flatnonzero(open_rows), np.flatnonzero(open_columns)
    block = np.ix_(left, top)
    allowed = admissible[block]
    worth = value[block]
    # A forbidden pair costs more than any exchange of allowed ones can gain.
    bound = (np.ptp(worth) + 1.0) * (min(worth.shape) + 1)
    i, j = linear_sum_assignment(np.where(allowed, worth, -bound), maximize=True)
    kept = allowed[i, j]
    rows = np.concatenate((rows, left[i[kept]]))
    columns = np.concatenate((columns, top[j[kept]]))
    order = rows.argsort()
    return rows[order], columns[order]
