"""Pictures of one shape and size, whatever a live source comes to deliver."""

from __future__ import annotations

import logging

import cv2
import numpy as np

from agent.errors import SourceError
from agent.records import ImageArray

_log = logging.getLogger("edgetrack.capture")


class PictureShape:
    """Holds a source to the size of its first picture, in whose pixels tracks are kept.

    A source that changes its size is reopened. Should it keep to the new size, its pictures are scaled.

    Args:
        camera: name for the log.
    """

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._first: tuple[int, int] | None = None
        self._now: tuple[int, int] | None = None

    def opened(self) -> None:
        """The source was opened: its next picture may be of another size."""
        self._now = None

    def fit(self, image: ImageArray) -> ImageArray:
        """A picture in the size of the first.

        Args:
            image: as the source delivers it.

        Returns:
            (H, W, 3) uint8.

        Raises:
            SourceError: it is no such picture, or of another size than the one before.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise SourceError("picture", f"expected (H, W, 3) uint8, got {image.shape} {image.dtype}")
        size = (image.shape[1], image.shape[0])
        if size == self._now == self._first:
            return image
        if self._now is not None and size != self._now:
            raise SourceError("picture", f"expected {_text(self._now)} as before, got {_text(size)}")
        if self._first is None:
            self._first = size
        elif self._now is None and size != self._first:
            _log.warning(
                "camera %s: expected %s as at the start, got %s; pictures are scaled",
                self._camera,
                _text(self._first),
                _text(size),
            )
        self._now = size
        if size == self._first:
            return image
        shrinks = size[0] * size[1] > self._first[0] * self._first[1]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(image, self._first, interpolation=method)  # type: ignore[return-value]


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]} px"
