"""Detections of the whole frame and of regions in it, as those of one frame.

An object may be found in several views. Of one class, it is one object when its boxes overlap by IoU. What
the edge of a region cuts through is seen in part there: it yields to any box of another view that holds most
of it (intersection over the smaller area, IoS, as in Akyol et al. 2022, but for cut boxes only, since people
who stand before each other overlap just so), and stands only where no other view shows it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.geometry.boxes import areas, iou_matrix
from agent.records import BoolArray, Detections, FloatArray, IntArray
from agent.vision.nms import settle

MIN_IOU = 0.45
"""Boxes of two views that overlap more are one object. Below the IoU of NMS within a view: small objects lie
less exactly in the whole frame than in a region."""
MIN_IOS = 0.5
"""A cut box of which more than this part lies in a box of another view is dropped."""
_EDGE = 0.02  # of the region's side: boxes that end this close to an edge within the frame are cut


def merge_views(
    whole: Detections, regions: IntArray, found: Sequence[Detections], frame_size: tuple[int, int]
) -> Detections:
    """One set of detections, best score first, cut ones last.

    Args:
        whole: of the whole frame.
        regions: (R, 4) xyxy in px of the frame.
        found: R detections, in px of the frame too; NMS has been done within each.
        frame_size: (width, height) in px.
    """
    if not len(regions):
        return whole
    cut = np.concatenate(
        [np.zeros(len(whole), np.bool_)]
        + [_cut(part.boxes, region, frame_size) for part, region in zip(found, regions, strict=True)]
    )
    parts = (whole, *found)
    views = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    boxes: FloatArray = np.concatenate([part.boxes for part in parts])
    scores: FloatArray = np.concatenate([part.scores for part in parts])
    labels: IntArray = np.concatenate([part.labels for part in parts])
    order = np.lexsort((-scores, cut))
    together = Detections(boxes[order], scores[order], labels[order])
    return together[settle(_suppresses(together, views[order], cut[order]))]


def _cut(boxes: FloatArray, region: IntArray, frame_size: tuple[int, int]) -> BoolArray:
    """(N,) whether a box ends at an edge of its region that is none of the frame."""
    inner = np.array([region[0] > 0, region[1] > 0, region[2] < frame_size[0], region[3] < frame_size[1]])
    near = np.tile((region[2:] - region[:2]) * _EDGE, 2)
    touches: BoolArray = ((np.abs(boxes - region) <= near) & inner).any(axis=1)
    return touches


def _suppresses(ordered: Detections, views: IntArray, cut: BoolArray) -> BoolArray:
    """(N, N) whether i, which stands before j, makes j go."""
    iou = iou_matrix(ordered.boxes, ordered.boxes)
    size = areas(ordered.boxes)
    # intersection = IoU / (1 + IoU) · (sum of both areas)
    shared = iou / (1 + iou) * (size[:, None] + size[None, :])
    part = shared / np.maximum(np.minimum(size[:, None], size[None, :]), 1e-6)
    same: BoolArray = (iou > MIN_IOU) | ((part > MIN_IOS) & cut[None, :])
    same &= (views[:, None] != views[None, :]) & (ordered.labels[:, None] == ordered.labels[None, :])
    return np.triu(same, k=1)
