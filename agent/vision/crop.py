"""Pieces of a picture."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from agent.records import ImageArray


def cut_box(image: ImageArray, box: NDArray[Any]) -> ImageArray | None:
    """The part of a box that lies in the picture, a view; None where there is none.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) xyxy px.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = box.tolist()
    x1, y1 = max(round(left), 0), max(round(top), 0)
    x2, y2 = min(round(right), width), min(round(bottom), height)
    return image[y1:y2, x1:x2] if x2 > x1 and y2 > y1 else None
