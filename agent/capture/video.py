"""A video file: every frame, in order, at the times that the file gives."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import cv2

from agent.capture.adjust import adjuster
from agent.capture.container import Container, inspect_container
from agent.capture.opencv_capture import decode_threads, first_line, open_capture
from agent.capture.settings import SourceSettings
from agent.errors import SourceError
from agent.records import Frame, ImageArray

_log = logging.getLogger("edgetrack.capture")

MAX_DAMAGED_PACKETS = 1000
"""Damaged packets in a row that are passed over; OpenCV reports each as it reports the end of the file."""
_MIN_STEP_S = 0.001
DEFAULT_FPS = 25.0
"""Timeline of a file that has neither time stamps nor a rate."""


class VideoSource:
    """A video file.

    Args:
        path: the file.
        settings: `fps` takes the place of the file's time stamps; size, rotation and decode threads.

    Raises:
        SourceError: the file is missing, or holds no video.
    """

    live = False

    def __init__(self, path: Path, settings: SourceSettings) -> None:
        self._where = str(path)
        self._container = inspect_container(path)
        _refuse_others(self._where, self._container)
        self._capture = open_capture(
            self._where,
            str(path.resolve()),
            cv2.CAP_FFMPEG,
            decode_threads(settings.decode_threads),
            problem="expected a video, got a file that FFmpeg cannot open",
            hint="convert it to H.264 in MP4",
        )
        self._adjust = adjuster(settings, resize=True)
        self._forced_fps = settings.fps
        self._file_fps = _rate(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = settings.fps or self._file_fps
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frame_count = int(count) if 0 < count < 1e9 else None
        self._index = 0
        self._period_s = 1.0 / (self.fps or DEFAULT_FPS)
        self._origin_s: float | None = None
        self._has_stamps = False
        self._time_s = -_MIN_STEP_S
        self._started_wall_s = time.time()

    def read(self) -> Frame | None:
        """The next frame; None at the end.

        Raises:
            SourceError: the file breaks off; says where, and how many frames there were.
        """
        image = self._next_image()
        if image is None:
            self._check_end()
            return None
        self._time_s = self._position_s()
        frame = Frame(self._adjust(image), self._time_s, self._started_wall_s + self._time_s, self._index)
        self._index += 1
        return frame

    def _next_image(self) -> ImageArray | None:
        try:
            for _ in range(MAX_DAMAGED_PACKETS):
                done, image = self._capture.read()
                if done:
                    return image  # type: ignore[return-value]
        except cv2.error as error:
            raise SourceError(self._where, f"{self._had()}, then got: {first_line(error)}") from error
        return None

    def _position_s(self) -> float:
        """Time stamp of the frame just read, from 0 and always growing; by the rate where there are none."""
        if self._forced_fps is not None:
            return self._index / self._forced_fps
        position_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        if not math.isfinite(position_s) or abs(position_s) > 1e9:
            position_s = self._origin_s or 0.0
        if self._origin_s is None:
            self._origin_s = position_s
        position_s -= self._origin_s
        self._has_stamps = self._has_stamps or position_s > 0.0
        if not self._has_stamps:
            return self._index * self._period_s
        # Around damage the decoder hands over frames out of order, and some at the end have no time at all.
        return max(position_s, self._time_s + _MIN_STEP_S)

    def _check_end(self) -> None:
        """Tell an end from a break: OpenCV reports both alike."""
        hint = "copy or record it again"
        if self._index == 0:
            raise SourceError(self._where, "expected a video, got a file without one decodable frame", hint)
        if self._container.missing_bytes:
            missing = f"the file is {self._container.missing_bytes:,} bytes shorter than it says"
            raise SourceError(self._where, f"expected {self._expected()}, {self._had()}; {missing}", hint)
        if self.frame_count is None or self._index >= self.frame_count:
            return
        duration_s = self._container.duration_s
        if duration_s is None or self._forced_fps is not None:
            duration_s = self.frame_count / (self.fps or DEFAULT_FPS)
        if duration_s - (self._time_s + self._period_s) > max(1.0, 0.02 * duration_s):
            raise SourceError(self._where, f"expected {self._expected()}, {self._had()}", hint)
        lost = self.frame_count - self._index
        if self._container.kind == "mp4":  # other containers only estimate their count
            _log.warning("%s: %d of %d frames are hidden or damaged", self._where, lost, self.frame_count)

    def _expected(self) -> str:
        return f"{self.frame_count} frames" if self.frame_count else "more frames"

    def _had(self) -> str:
        return f"got {self._index} up to {max(0.0, self._time_s):.1f} s"

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


def _refuse_others(where: str, container: Container) -> None:
    """Turn away what is plainly no video, some of which FFmpeg would take for one."""
    if container.kind == "empty":
        raise SourceError(where, "expected a video, got an empty file", "copy or record it again")
    if container.kind == "picture":
        raise SourceError(where, "expected a video, got a picture", "name a folder of pictures instead")
    if container.kind == "text":
        raise SourceError(where, "expected a video, got a text file", "name a video file")
    if not container.has_video:
        raise SourceError(where, "expected a video, got sound without any", "name a file with pictures")
    if not container.has_index:
        problem = "expected a finished MP4, got one without its index (moov)"
        raise SourceError(where, problem, "the recording or the copy broke off; record or copy it again")


def _rate(fps: float) -> float | None:
    """A believable rate, or None: files without one report 0, NaN or their clock's ticks."""
    return fps if math.isfinite(fps) and 0 < fps <= 1000 else None
