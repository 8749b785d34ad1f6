"""The agent under systemd: readiness, status, watchdog, and what its log lines begin with.

What the watchdog is for: a process that hangs. It is fed only while every camera's loop turns, and while a
camera that counts as online brings frames, and while no lost camera is held by a driver that hangs. A camera
that is unplugged, or a broker that is away, is no hang: both are reported and tried again within the process,
and a restart would mend neither.

Source: sd_notify(3), sd_watchdog_enabled(3), sd-daemon(3), systemd.exec(5) on JOURNAL_STREAM.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from agent.capture.status import SourceState

if TYPE_CHECKING:
    from agent.alerts.stats import PublisherStats
    from agent.config import CameraSettings
    from agent.pipeline import CameraPipeline

log = logging.getLogger("edgetrack.service")

_SYSLOG_LEVELS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_STATUS_EVERY_S = 5.0
_FEEDS_PER_PERIOD = 4
"""sd_watchdog_enabled(3) asks for two at least."""
_SILENCE_MARGIN_S = 5.0
"""What a reader's supervisor may take beyond the camera's own limits to report it lost."""

_HANG_S = 300.0
"""For which a driver may hang that holds a lost camera. To look up a host without a network takes two minutes
at worst; where it happens twice in one connection that is no hang yet."""


class Notifier:
    """Tells the service manager how the service is; says nothing where there is none.

    Args:
        environment: holds NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID as systemd sets them.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._complained = False
        self.watchdog_s = _watchdog_s(environment) if self.listening else None
        """The process is killed when this many seconds pass without `WATCHDOG=1`; None: never."""

    @property
    def listening(self) -> bool:
        """Whether a service manager waits for word."""
        return self._address[:1] in ("/", "\0")

    def send(self, *assignments: str) -> None:
        """Send `NAME=value` lines in one datagram; a failure is logged once and ends nothing."""
        if not self.listening:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.connect(self._address)
                channel.sendall("\n".join(assignments).encode())
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("NOTIFY_SOCKET: expected systemd to listen, got: %s", error.strerror or error)

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def ready(self, status: str) -> None:
        """The service does its work, at the start and after a reload."""
        self.send("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """The service has begun to stop."""
        self.send("STOPPING=1", f"STATUS={status}")


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    period_us = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not period_us.isdecimal() or int(period_us) == 0 or pid != str(os.getpid()):
        return None
    return int(period_us) / 1e6


@dataclass(slots=True)
class CameraProgress:
    """Whether one camera's work goes on.

    Args:
        pipeline: it.
        thread: the thread that runs it.
        settings: its section, for how long an online camera may be silent.
    """

    pipeline: CameraPipeline
    thread: threading.Thread
    settings: CameraSettings
    fps: float = 0.0
    """Frames per second since the last status."""
    _turns: int = -1
    _frames: int = 0
    _frame_s: float = field(default_factory=time.monotonic)
    _shown_frames: int = 0
    _shown_s: float = field(default_factory=time.monotonic)

    def fault(self, now_s: float) -> str | None:
        """What stands still since the last call that found nothing; None when all goes on."""
        pipeline = self.pipeline
        if not self.thread.is_alive():
            return None  # its file is through, or its failure is stopping the process
        turns, frames = pipeline.turns, pipeline.summary.frames + pipeline.unseen
        state = pipeline.reader.state
        if frames != self._frames or not state.delivers or pipeline.paused:
            self._frames, self._frame_s = frames, now_s
        if turns == self._turns:
            return f"camera {pipeline.summary.camera}: its loop stands still"
        silent_s = now_s - self._frame_s
        limit_s = max(self.settings.stale_after_s, self.settings.frozen_after_s) + _SILENCE_MARGIN_S
        if silent_s > limit_s:
            return f"camera {pipeline.summary.camera}: online, yet without a frame for {silent_s:.0f} s"
        if (hangs_s := pipeline.reader.hangs_s) > _HANG_S:
            return f"camera {pipeline.summary.camera}: lost, and its driver hangs for {hangs_s:.0f} s"
        self._turns = turns
        return None

    @property
    def started(self) -> bool:
        """Whether its loop has begun to turn, or has ended already."""
        return self.pipeline.turns > 0 or not self.thread.is_alive()

    def measure(self, now_s: float) -> None:
        """Set `fps` to the rate since the last call."""
        frames = self.pipeline.summary.frames
        if now_s > self._shown_s:
            self.fps = (frames - self._shown_frames) / (now_s - self._shown_s)
        self._shown_frames, self._shown_s = frames, now_s

    def __str__(self) -> str:
        name, state = self.pipeline.summary.camera, self.pipeline.reader.state
        if not self.thread.is_alive():
            return f"{name} ended"
        if state is SourceState.ONLINE:
            return f"{name} {self.fps:.1f} frames/s"
        return f"{name} {state}, {self.fps:.1f} frames/s" if state.delivers else f"{name} {state}"


class ServiceWatch:
    """Tells systemd that the cameras run, how they do, and, by its silence, when one hangs.

    Args:
        notifier: where to tell.
        cameras: all of them.
        stats: the publisher's figures of now.
    """

    def __init__(
        self,
        notifier: Notifier,
        cameras: Sequence[CameraProgress],
        stats: Callable[[], PublisherStats],
    ) -> None:
        self._notifier = notifier
        self._cameras = cameras
        self._stats = stats
        self._ended = threading.Event()
        self._reported: str | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch within the block. Does nothing without a service manager."""
        if not self._notifier.listening:
            yield
            return
        thread = threading.Thread(target=self._run, name="service-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def status(self) -> str:
        """One line for `systemctl status`."""
        now_s, stats = time.monotonic(), self._stats()
        for camera in self._cameras:
            camera.measure(now_s)
        broker = "broker connected" if stats.connected else "broker away"
        return ", ".join([*map(str, self._cameras), broker, f"{stats.queued} alerts queued"])

    def feed(self) -> bool:
        """Feed the watchdog if every camera's work went on since the last time; True if so."""
        now_s = time.monotonic()
        faults = [fault for camera in self._cameras if (fault := camera.fault(now_s))]
        if faults:
            if faults[0] != self._reported:
                self._reported = faults[0]
                log.error("%s; the watchdog is not fed", faults[0])
            return False
        self._reported = None
        self._notifier.send("WATCHDOG=1")
        return True

    def _run(self) -> None:
        while not all(camera.started for camera in self._cameras):
            if self._ended.wait(0.02):
                return
        self._notifier.ready(self.status())
        period_s = self._notifier.watchdog_s
        pause_s = min(_STATUS_EVERY_S, period_s / _FEEDS_PER_PERIOD if period_s else _STATUS_EVERY_S)
        status_s = time.monotonic()
        while not self._ended.wait(pause_s):
            if period_s:
                self.feed()
            if time.monotonic() - status_s >= _STATUS_EVERY_S:
                status_s = time.monotonic()
                self._notifier.send(f"STATUS={self.status()}")


def in_journal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written to `stream` goes straight to systemd's journal."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def journal_lines(text: str, level: int) -> str:
    """Put the prefix by which the journal knows a level before every line.

    Args:
        text: one or more lines.
        level: of `logging`.
    """
    number = next((syslog for least, syslog in _SYSLOG_LEVELS if level >= least), 7)
    return "\n".join(f"<{number}>{line}" for line in text.splitlines())


class _JournalFormatter(logging.Formatter):
    """The journal keeps time and process itself; it wants the level."""

    def format(self, record: logging.LogRecord) -> str:
        return journal_lines(super().format(record), record.levelno)


class _TimedFormatter(logging.Formatter):
    """Local time with its offset from UTC, to the second, before the level: ISO 8601."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's
        return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds")


def configure_logging(stream: TextIO | None = None) -> None:
    """Log to `stream`, standard error when None: with levels for the journal, else with the time of day."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JournalFormatter() if in_journal(stream) else _TimedFormatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
