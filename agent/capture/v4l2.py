"""USB and other Video4Linux cameras, through OpenCV."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2

from agent.capture.adjust import adjuster
from agent.capture.opencv_capture import first_line, open_capture
from agent.capture.rate_limit import RateLimit
from agent.capture.settings import SourceSettings
from agent.errors import SourceError
from agent.records import Frame

_UNCOMPRESSED_PIXELS = 640 * 480
"""Above this USB 2 has no room for 30 uncompressed frames per second, so Motion JPEG is asked for."""
_MAX_DELAY_S = 2.0
"""A driver's time stamp that is further back than this is on another clock."""


class V4l2Source:
    """A Video4Linux camera.

    Args:
        settings: `source` is a number or a device below /dev; the camera is asked for `width`, `height` and
            `fps`, and takes the nearest that it has.

    Raises:
        SourceError: there is no such device, it may not be opened, or it is no camera or in use.
    """

    live = True
    frame_count = None

    def __init__(self, settings: SourceSettings) -> None:
        text = settings.source
        self._where = f"/dev/video{int(text)}" if text.isdecimal() else text
        _check_device(Path(self._where))
        # Links such as /dev/v4l/by-id/… stay the same camera's over a restart; OpenCV wants the node itself.
        self._capture = open_capture(
            self._where,
            str(Path(self._where).resolve()),
            cv2.CAP_V4L2,
            {},
            problem="expected a camera, got a device that is in use or captures no video",
            hint="stop what uses it (fuser shows it), or try the next number: cameras often have several",
        )
        self._ask_for(settings)
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or None
        self._adjust = adjuster(settings, resize=False)
        self._rate = RateLimit(settings.fps)
        self._index = 0

    def _ask_for(self, settings: SourceSettings) -> None:
        width, height = settings.width, settings.height
        if width and not height:
            height = round(width * 3 / 4)
        elif height and not width:
            width = round(height * 4 / 3)
        if width and height:
            if width * height > _UNCOMPRESSED_PIXELS:
                self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        if settings.fps:
            self._capture.set(cv2.CAP_PROP_FPS, settings.fps)

    def read(self) -> Frame | None:
        """The next frame, at the time that the driver says.

        Raises:
            SourceError: the camera is gone, or has been silent for ten seconds (OpenCV's limit).
        """
        try:
            while True:
                if not self._capture.grab():
                    raise SourceError(
                        self._where, "expected a frame, got none: unplugged, or in use elsewhere"
                    )
                time_s = self._capture_time_s()
                if not self._rate.keeps(time_s):
                    continue
                done, image = self._capture.retrieve()
                if done:  # else a damaged Motion JPEG frame: take the next
                    break
        except cv2.error as error:
            raise SourceError(self._where, f"expected a frame, got: {first_line(error)}") from error
        wall_s = time.time() - (time.monotonic() - time_s)
        frame = Frame(self._adjust(image), time_s, wall_s, self._index)  # type: ignore[arg-type]
        self._index += 1
        return frame

    def _capture_time_s(self) -> float:
        """The buffer's time stamp, which is of the monotonic clock with nearly all drivers; else now."""
        now_s = time.monotonic()
        stamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        return stamp_s if 0.0 <= now_s - stamp_s < _MAX_DELAY_S else now_s

    def close(self) -> None:
        """Give the device back."""
        self._capture.release()


def _check_device(device: Path) -> None:
    """Say what OpenCV does not: that a device is missing or may not be opened."""
    if not device.exists():
        found = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "no /dev/video*"
        raise SourceError(
            str(device), f"expected a camera, got no such device; there is {found}", "plug it in"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        hint = "add the user to the group video"
        raise SourceError(str(device), "expected a camera that may be opened, got: permission denied", hint)
