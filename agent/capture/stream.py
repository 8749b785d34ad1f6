"""Network streams: RTSP, Motion JPEG over HTTP, RTMP, MPEG-TS, through OpenCV's FFmpeg."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import cv2

from agent.capture.adjust import adjuster
from agent.capture.opencv_capture import decode_threads, first_line, open_capture
from agent.capture.rate_limit import RateLimit
from agent.capture.settings import SourceSettings
from agent.errors import SourceError
from agent.records import Frame

OPEN_TIMEOUT_S = 10.0
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}
_ESCAPE = "escape special characters of user and password (%2F for /, %3F for ?, %23 for #, %40 for @)"
_MAX_DAMAGED_PACKETS = 30
"""Damaged packets in a row that are passed over before the stream counts as ended."""


class StreamSource:
    """A network stream; RTSP runs over TCP.

    Frames are stamped when they have been received. Nothing that this class says shows the user, password or
    query of the URL.

    Args:
        settings: `source` is the URL; a read is given up after `stale_after_s`.

    Raises:
        SourceError: no answer, or an answer that holds no video.
    """

    live = True
    frame_count = None

    def __init__(self, settings: SourceSettings) -> None:
        self._where = settings.shown_source
        properties = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: round(OPEN_TIMEOUT_S * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: max(1, round(settings.stale_after_s * 1000)),
            **decode_threads(settings.decode_threads),
        }
        try:
            self._capture = open_capture(
                self._where,
                settings.source,
                cv2.CAP_FFMPEG,
                properties,
                problem="expected a video stream, got a refusal or no video",
                hint="check path, user and password",
            )
        except SourceError:
            _explain_refusal(self._where, settings.source)
            raise
        self._read_timeout_s = settings.stale_after_s
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else None
        self._adjust = adjuster(settings, resize=True)
        self._rate = RateLimit(settings.fps)
        self._index = 0

    def read(self) -> Frame | None:
        """The next frame.

        Raises:
            SourceError: the stream ended, or nothing came for `stale_after_s`.
        """
        failures = 0
        try:
            while True:
                started_s = time.monotonic()
                grabbed = self._capture.grab()
                time_s = time.monotonic()
                if grabbed:
                    if not self._rate.keeps(time_s):
                        continue
                    done, image = self._capture.retrieve()
                    if done:
                        break
                failures += 1
                if time_s - started_s >= 0.9 * self._read_timeout_s:
                    raise SourceError(self._where, f"no frame for {time_s - started_s:.1f} s")
                if failures > _MAX_DAMAGED_PACKETS:
                    raise SourceError(self._where, "the stream ended")
        except cv2.error as error:
            raise SourceError(self._where, f"expected a frame, got: {first_line(error)}") from error
        frame = Frame(self._adjust(image), time_s, time.time(), self._index)  # type: ignore[arg-type]
        self._index += 1
        return frame

    def close(self) -> None:
        """Close the connection."""
        self._capture.release()


def _explain_refusal(where: str, url: str) -> None:
    """Tell an unreachable host from a refusal; FFmpeg's reason does not reach us.

    Raises:
        SourceError: the host is unknown, or nothing listens on its port.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        raise SourceError(where, "expected a URL, got one that cannot be read", _ESCAPE) from None
    if port is None or not parts.hostname:
        return
    try:
        socket.create_connection((parts.hostname, port), timeout=2.0).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: of a name that no host can have
        problem = getattr(error, "strerror", None) or str(error)
        if "@" in url and "@" not in parts.netloc:  # what was read as a host may be user and password
            raise SourceError(where, f"cannot reach the host: {problem}", _ESCAPE) from None
        raise SourceError(
            where, f"cannot reach port {port}: {problem}", "check address and network"
        ) from None
