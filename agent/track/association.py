"""Which detection belongs to which track: how alike they are, which pairs may be, and the best choice.

Everything works on lists of pairs instead of matrices: of 500 tracks and 500 detections only a few
thousand pairs touch, and most of those compete with no other.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.track.assignment import linear_sum_assignment
from agent.track.kalman import Float64Array

Rows: TypeAlias = NDArray[np.intp]

NO_ROWS: Rows = np.zeros(0, np.intp)
_DENSE_PAIRS = 2500
"""Up to so many pairs it is cheaper to look at all than to sort."""
_FEW_PAIRS = 64
"""Up to so many pairs Python's sets find out sooner than NumPy's calls whether any compete."""
_ZERO, _ONE = np.array(0.0), np.array(1.0)
"""Arrays: NumPy converts a Python number at each use, which costs more than the sum of a few dozen."""
_FORBIDDEN = -1e6
"""Value of a pair that may not be: no exchange of allowed ones gains as much."""

_OWN_SIDES = np.array(
    [
        [-1.0, 0.0, 0.5, 0.0],
        [0.0, -1.0, 0.0, 0.5],
        [0.0, -1.0, 0.0, 0.5],
        [1.0, 0.0, 0.5, 0.0],
        [0.0, 1.0, 0.0, 0.5],
        [0.0, 1.0, 0.0, 0.5],
    ]
)


class Pairs(NamedTuple):
    """Tracks and detections that touch.

    Args:
        rows: (K,) tracks, ascending.
        columns: (K,) detections.
        iou: (K,) buffered IoU in 0..1, by which pairs are gated.
        value: (K,) similarity, by which they are chosen.
    """

    rows: Rows
    columns: Rows
    iou: Float64Array
    value: Float64Array

    def where(self, kept: NDArray[np.bool_]) -> Pairs:
        """The pairs for which `kept` (K,) is true."""
        which = kept.nonzero()[0]
        if len(which) == len(self.rows):
            return self
        # take() costs a third of an index in brackets, here and wherever there are few of a thing.
        return Pairs(
            self.rows.take(which), self.columns.take(which), self.iou.take(which), self.value.take(which)
        )


def side_matrix(buffer: float) -> Float64Array:
    """(6, 4) matrix from (cx, cy, w, h) to (-x1, -y1, -top, x2, y2, bottom).

    The first two sides of each half are those of the box enlarged by `buffer`, the third is that of the
    box itself. Lower sides are negated, so that an intersection is one minimum over all six.
    """
    matrix = _OWN_SIDES.copy()
    matrix[0, 2] = matrix[1, 3] = matrix[3, 2] = matrix[4, 3] = 0.5 * buffer
    return matrix


def gated(tracks: Float64Array, detections: Float64Array, min_iou: float, height_weight: float) -> Pairs:
    """The pairs whose enlarged boxes overlap enough, and how well they fit.

    Buffered IoU: F. Yang et al., Hard to Track Objects with Irregular Motions and Similar Appearances?,
    WACV 2023. Height cue: M. Yang et al., Hybrid-SORT, AAAI 2024.

    Args:
        tracks: (6, N) sides of the predicted boxes, see `side_matrix`.
        detections: (6, M) the same of the detections.
        min_iou: least buffered IoU, above 0.
        height_weight: weight of the vertical extents' IoU.

    Returns:
        The pairs; their value is buffered IoU + height_weight × (IoU of the vertical extents - 1).
    """
    a, b = tracks[:3] + tracks[3:], detections[:3] + detections[3:]  # enlarged width and height, height
    area_a, area_b = a[0] * a[1], b[0] * b[1]
    if len(area_a) * len(area_b) <= _DENSE_PAIRS:
        extent = np.minimum(tracks[:, :, None], detections[:, None])  # (6, N, M)
        extent = np.maximum(extent[:3] + extent[3:], _ZERO)  # (3, N, M)
        overlap = extent[0] * extent[1]
        iou = overlap / (area_a[:, None] + area_b - overlap)
        kept = (iou >= min_iou).ravel().nonzero()[0]
        rows, columns = np.divmod(kept, len(area_b))
        iou, common = iou.ravel().take(kept), extent[2].ravel().take(kept)
    else:
        rows, columns = _overlap_in_x(tracks, detections)
        extent = np.minimum(tracks[:, rows], detections[:, columns])  # (6, K)
        extent = np.maximum(extent[:3] + extent[3:], 0.0)
        overlap = extent[0] * extent[1]
        iou = overlap / (area_a[rows] + area_b[columns] - overlap)
        kept = (iou >= min_iou).nonzero()[0]
        rows, columns, iou, common = rows[kept], columns[kept], iou[kept], extent[2, kept]
    if height_weight == 0.0 or not len(rows):
        return Pairs(rows, columns, iou, iou)
    height_iou = common / (a[2].take(rows) + b[2].take(columns) - common)
    return Pairs(rows, columns, iou, iou + height_weight * (height_iou - _ONE))


def _overlap_in_x(tracks: Float64Array, detections: Float64Array) -> tuple[Rows, Rows]:
    """Candidates among many boxes: by their left sides sorted, those that may overlap in x lie together."""
    left = -detections[0]
    order = left.argsort()
    ordered = left[order]
    widest = (detections[3] - left).max()
    first = np.searchsorted(ordered, -tracks[0] - widest)
    count = np.searchsorted(ordered, tracks[3]) - first
    rows = np.arange(tracks.shape[1]).repeat(count)
    starts = count.cumsum() - count
    return rows, order[np.arange(len(rows)) + (first - starts)[rows]]


def assign(pairs: Pairs) -> tuple[Rows, Rows]:
    """The assignment with the most pairs and, among those, the highest sum of values.

    Args:
        pairs: those that may be chosen, no pair twice; every one of them is admissible.

    Returns:
        (K,) tracks and (K,) detections of the chosen pairs.
    """
    rows, columns, _, value = pairs
    count = len(rows)
    if count <= 1:
        return rows, columns
    if count <= _FEW_PAIRS and len(set(rows.tolist())) == count == len(set(columns.tolist())):
        return rows, columns
    per_row, per_column = np.bincount(rows), np.bincount(columns)
    if per_row.max() == 1 and per_column.max() == 1:
        return rows, columns
    if len(per_row) * len(per_column) <= _DENSE_PAIRS:
        return _solve(rows, columns, value, (len(per_row), len(per_column)))
    # Pairs that compete with no other are settled; only the rest needs the cubic algorithm.
    contested = (per_row[rows] > 1) | (per_column[columns] > 1)
    settled, rest = (~contested).nonzero()[0], contested.nonzero()[0]
    left, i = np.unique(rows[rest], return_inverse=True)
    top, j = np.unique(columns[rest], return_inverse=True)
    i, j = _solve(i, j, value[rest], (len(left), len(top)))
    return np.concatenate((rows[settled], left[i])), np.concatenate((columns[settled], top[j]))


def _solve(rows: Rows, columns: Rows, value: Float64Array, shape: tuple[int, int]) -> tuple[Rows, Rows]:
    matrix = np.full(shape, _FORBIDDEN)
    matrix[rows, columns] = value
    i, j = linear_sum_assignment(matrix, maximize=True)
    kept = matrix[i, j] > _FORBIDDEN
    # SciPy gives 64-bit indices on 32-bit systems too, which take() refuses there.
    return i[kept].astype(np.intp, copy=False), j[kept].astype(np.intp, copy=False)
