"""A file as a source without an end, for benchmarks that last."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from agent.capture.settings import SourceSettings
from agent.capture.source import open_source
from agent.errors import SourceError
from agent.records import Frame


class LoopedSource:
    """A file that begins again when it ends, its time going on; a live source is passed on as it is.

    Args:
        settings: whose source it is.
        paced: whether frames come at the file's own rate.
    """

    frame_count = None

    def __init__(self, settings: SourceSettings, *, paced: bool) -> None:
        self._settings = settings
        self._source = open_source(settings)
        self.live = self._source.live
        self.fps = self._source.fps
        self._period_s = 1.0 / (self.fps or 25.0)
        self._paced = paced and not self.live
        self._offset_s = self._last_s = 0.0
        self._next_index = 0
        self._due_s: float | None = None
        self._closed = threading.Event()

    def read(self) -> Frame | None:
        """The next frame, of the next round when the file has ended; None once closed.

        Raises:
            SourceError: as the source itself, or the file holds no frame.
        """
        if self.live:
            return self._source.read()
        frame = self._source.read()
        if frame is None:
            if self._closed.is_set():
                return None
            self._source.close()
            self._source = open_source(self._settings)
            self._offset_s = self._last_s + self._period_s
            frame = self._source.read()
            if frame is None:
                raise SourceError(self._settings.shown_source, "expected frames, got none")
        self._last_s = frame.time_s + self._offset_s
        frame = replace(frame, time_s=self._last_s, index=self._next_index)
        self._next_index += 1
        if self._paced:
            now_s = time.monotonic()
            self._due_s = now_s if self._due_s is None else self._due_s + self._period_s
            self._closed.wait(max(self._due_s - now_s, 0.0))
        return frame

    def close(self) -> None:
        """Give the source back."""
        self._closed.set()
        self._source.close()
