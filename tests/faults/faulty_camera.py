"""A camera whose pictures are real frames, and which fails as it is told to."""

from __future__ import annotations

import threading
import time

import numpy as np

from agent.errors import SourceError
from agent.records import Frame, ImageArray
from tests.faults.spoil import Spoil


class FaultyCamera:
    """What stands behind every opening of the source: the fault outlives a reopening, as a real one does.

    Args:
        pictures: shown in turn, with noise as every sensor has it.
        period_s: from one to the next.
    """

    def __init__(self, pictures: list[ImageArray], period_s: float, seed: int) -> None:
        self.pictures = pictures
        self.period_s = period_s
        self.spoil: Spoil | None = None
        """What befalls each picture."""
        self.fault: str | None = None
        """`frozen`, `hung`, `ended`, `lost`, `refused`, `other size` or `other format`."""
        self.since_s = 0.0
        self._rng = np.random.default_rng(seed)
        self._number = 0

    def begin(self, fault: str | None, spoil: Spoil | None = None) -> None:
        """From now on; None, None: well again."""
        self.since_s, self.spoil, self.fault = time.monotonic(), spoil, fault

    def open(self) -> OpenCamera:
        """As `open_source`.

        Raises:
            SourceError: it refuses.
        """
        if self.fault in ("lost", "refused"):
            raise SourceError("faulty camera", "expected a camera, got nothing")
        return OpenCamera(self)

    def picture(self) -> ImageArray:
        """The next one."""
        if self.fault != "frozen":
            self._number += 1
            self._rng = np.random.default_rng(self._number)
        image = self.pictures[self._number % len(self.pictures)]
        rng = np.random.default_rng(self._number)
        image = image ^ rng.integers(0, 2, image.shape, np.uint8)  # the lowest bit is noise
        if self.spoil is not None:
            image = self.spoil(image, time.monotonic() - self.since_s, rng)
        if self.fault == "other size":
            return np.ascontiguousarray(image[::2, ::2])
        return image[..., 0] if self.fault == "other format" else image


class OpenCamera:
    """One opening; a Source."""

    live, fps, frame_count = True, None, None

    def __init__(self, camera: FaultyCamera) -> None:
        self._camera = camera
        self._closed = threading.Event()
        self._index = 0

    def read(self) -> Frame | None:
        """The next frame.

        Raises:
            SourceError: the camera is gone.
        """
        camera = self._camera
        self._closed.wait(camera.period_s)
        while camera.fault == "hung" and not self._closed.is_set():
            self._closed.wait(camera.period_s)
        if camera.fault == "lost":
            raise SourceError("faulty camera", "pulled out")
        if camera.fault == "ended":
            return None
        self._index += 1
        return Frame(camera.picture(), time.monotonic(), time.time(), self._index - 1)

    def close(self) -> None:
        """Give it back."""
        self._closed.set()
