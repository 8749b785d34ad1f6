"""Sources that do what a test tells them, and a camera's web server."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import SourceError
from agent.records import Frame, ImageArray
from tests.awake import AwakeClock

WaitUntil = Callable[..., None]


@pytest.fixture
def wait_until() -> WaitUntil:
    """Poll a condition until it holds, a minute at most."""

    def wait(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        tick = threading.Event()
        while not condition():
            assert time.monotonic() < deadline_s, f"did not hold within {timeout_s} s"
            tick.wait(0.005)

    return wait


@pytest.fixture
def awake() -> Iterator[AwakeClock]:
    """A clock for upper bounds, which a machine that stands still does not break."""
    clock = AwakeClock()
    yield clock
    clock.close()


class SetClock:
    """Stands where the reader has `time`, and goes on only when told to."""

    def __init__(self) -> None:
        self._now_s = 1000.0

    def monotonic(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """The reader's clock: its sources are stale or frozen when the test says so, and at no other time."""
    clock = SetClock()
    monkeypatch.setattr("agent.capture.reader.time", clock)
    return clock


def numbered(number: int, size: tuple[int, int] = (64, 48)) -> ImageArray:
    """A picture that `number_of` can read back after lossy coding: eight vertical bars, one bit each."""
    width, height = size
    bits = [(number >> bit) & 1 for bit in range(8)]
    row = np.repeat(np.array(bits, np.uint8) * 255, width // 8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, len(row), 3)))


def number_of(image: ImageArray) -> int:
    """The number in a picture that `numbered` made."""
    height, width = image.shape[:2]
    row = image[height // 2, width // 16 :: width // 8].mean(axis=1)
    return sum(1 << bit for bit, level in enumerate(row[:8]) if level > 127)


@pytest.fixture
def read_number() -> Callable[[ImageArray], int]:
    return number_of


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Write a video of numbered pictures."""

    def make(name: str = "video.mp4", frames: int = 50, fps: float = 10.0) -> Path:
        path = tmp_path / name
        codec = "MJPG" if path.suffix == ".avi" else "mp4v"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
        assert writer.isOpened()
        for number in range(frames):
            writer.write(numbered(number))
        writer.release()
        return path

    return make


class ScriptedSource:
    """A source that delivers numbered pictures until told otherwise.

    Args:
        live: as of a Source.
        count: frames until it ends; None for no end.
        period_s: time that a read takes.
    """

    def __init__(self, *, live: bool, count: int | None = None, period_s: float = 0.0) -> None:
        self.live = live
        self.fps = None
        self.frame_count = count
        self.period_s = period_s
        self.index = 0
        self.closed = threading.Event()
        self.frozen = False
        self.lost = False
        self.ended = False
        self.blocked = threading.Event()
        """Set: reads block until `release` is set, whatever else happens."""
        self.hanging = threading.Event()
        """Set by the first read that blocks so."""
        self.release = threading.Event()
        self._tick = threading.Event()

    def read(self) -> Frame | None:
        assert not self.closed.is_set(), "read after close"
        if self.period_s:
            self._tick.wait(self.period_s)
        if self.blocked.is_set():
            self.hanging.set()
            self.release.wait()
        if self.lost:
            raise SourceError("scripted", "pulled out")
        if self.ended or self.index == self.frame_count:
            return None
        now_s = time.monotonic()
        frame = Frame(numbered(0 if self.frozen else self.index % 256), now_s, time.time(), self.index)
        self.index += 1
        return frame

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedSource]]:
    made: list[ScriptedSource] = []

    def make(**options: object) -> ScriptedSource:
        made.append(ScriptedSource(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for source in made:
        source.release.set()


class MjpegCamera:
    """An IP camera: Motion JPEG over HTTP on a free loopback port, with the faults of real ones."""

    def __init__(self) -> None:
        self.frozen = threading.Event()
        """Set: the same picture again and again."""
        self.silent = threading.Event()
        """Set: connections stay open, nothing more is sent."""
        self.away = threading.Event()
        """Set: connections are closed and new ones refused with 503."""
        self.connections = 0
        self.requests: list[str] = []
        self._stop = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.requests.append(self.path)
                if camera.away.is_set():
                    self.send_error(503)
                    return
                camera.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    camera.send(self.wfile)
                except OSError:
                    return

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def send(self, out: object) -> None:
        number, tick = 0, threading.Event()
        while not self._stop.is_set() and not self.away.is_set():
            tick.wait(0.02)
            if self.silent.is_set():
                continue
            if not self.frozen.is_set():
                number = (number + 1) % 256
            jpeg = cv2.imencode(".jpg", numbered(number, (320, 240)))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            out.write(head.encode() + jpeg + b"\r\n")  # type: ignore[attr-defined]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/video"

    def close(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)


@pytest.fixture
def mjpeg_camera() -> Iterator[MjpegCamera]:
    camera = MjpegCamera()
    yield camera
    camera.close()


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    binary = shutil.which("ffmpeg")
    if binary is None:
        pytest.skip("needs ffmpeg (apt-get install ffmpeg)")
    return binary
