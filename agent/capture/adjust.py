"""Size and rotation, as the settings ask for them."""

from __future__ import annotations

from collections.abc import Callable

import cv2

from agent.capture.settings import SourceSettings
from agent.records import ImageArray

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def adjuster(settings: SourceSettings, *, resize: bool) -> Callable[[ImageArray], ImageArray]:
    """A function from picture to picture, both (H, W, 3) uint8.

    Args:
        settings: `width` and `height` before rotation, and `rotation`.
        resize: False when the device was asked for the size, and what it delivers is taken.
    """
    rotation = _ROTATIONS.get(settings.rotation)
    width, height = (settings.width, settings.height) if resize else (None, None)

    def adjust(image: ImageArray) -> ImageArray:
        size = target_size(image.shape[1], image.shape[0], width, height)
        if size != (image.shape[1], image.shape[0]):
            shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[assignment]
        return image if rotation is None else cv2.rotate(image, rotation)  # type: ignore[return-value]

    return adjust


def target_size(has_width: int, has_height: int, width: int | None, height: int | None) -> tuple[int, int]:
    """(width, height) in px: what is asked for; to scale when only one of them is."""
    if width is None and height is None:
        return has_width, has_height
    if height is None:
        height = max(1, round(has_height * (width or 0) / has_width))
    return width or max(1, round(has_width * height / has_height)), height
