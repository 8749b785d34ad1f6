"""Make people in a picture unrecognisable, before it leaves the process."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import cv2
import numpy as np

from agent.records import BoolArray, FloatArray, ImageArray, IntArray

PrivacyMethod = Literal["blur", "pixelate", "none"]

_CELLS = 6  # along the shorter side of a box: fewer than any face needs to be told from another


class PeopleFinder:
    """Tells which objects may be people.

    Args:
        labels: class names of the detector.
        people: class names that mean people.
    """

    def __init__(self, labels: Sequence[str], people: Collection[str]) -> None:
        self._people = np.array([label in people for label in labels], dtype=bool)
        # A detector that does not tell people from other things (motion) may be looking at one.
        self._any_may_be = not self._people.any()

    def rows(self, labels: IntArray) -> BoolArray:
        """(N,) True for people and for what the detector has no name for; all, where it tells none.

        Args:
            labels: (N,) int64, index into the class names.
        """
        if self._any_may_be:
            return np.ones(len(labels), dtype=bool)
        known = (labels >= 0) & (labels < len(self._people))
        found: BoolArray = ~known | self._people[np.where(known, labels, 0)]
        return found


def anonymise(
    image: ImageArray, boxes: FloatArray, method: PrivacyMethod = "blur", margin: float = 0.1
) -> ImageArray:
    """A copy of a picture in which what lies in the boxes cannot be recognised.

    Each box is averaged to a few cells, so that no filter brings back what was there: "pixelate" shows the
    cells, "blur" a smooth interpolation between them.

    Args:
        image: (H, W, 3) uint8 BGR; not changed.
        boxes: (N, 4) float32, xyxy in px; parts outside the picture are ignored.
        method: "none" returns a plain copy.
        margin: boxes are enlarged by this fraction of their size on every side.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ValueError: `boxes` is not (N, 4).
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes: expected shape (N, 4), got {boxes.shape}")
    result = image.copy()
    if method == "none":
        return result
    height, width = image.shape[:2]
    extra = margin * (boxes[:, 2:] - boxes[:, :2])
    outward = np.concatenate([np.floor(boxes[:, :2] - extra), np.ceil(boxes[:, 2:] + extra)], axis=1)
    outward = np.nan_to_num(outward, nan=0.0, posinf=1e6, neginf=-1e6)
    limits = np.array([width, height, width, height])
    shape = cv2.INTER_NEAREST if method == "pixelate" else cv2.INTER_LINEAR
    for left, top, right, bottom in np.clip(outward, 0, limits).astype(int):
        region = image[top:bottom, left:right]
        if region.size == 0:
            continue
        rows, columns = region.shape[:2]
        cell = max(1.0, min(rows, columns) / _CELLS)
        cells = (max(1, round(columns / cell)), max(1, round(rows / cell)))
        averaged = cv2.resize(region, cells, interpolation=cv2.INTER_AREA)
        result[top:bottom, left:right] = cv2.resize(averaged, (columns, rows), interpolation=shape)
    return result
