"""Reads a source in its own thread, and keeps a live one alive."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Generic, TypeVar, cast

from agent.backoff import Backoff
from agent.capture.connection import Connection
from agent.capture.freshness import Freshness
from agent.capture.handover import Handover
from agent.capture.picture_watch import PictureWatch
from agent.capture.settings import SourceSettings
from agent.capture.shape import PictureShape
from agent.capture.source import Source
from agent.capture.status import SourceState, SourceStatus
from agent.records import Frame

__all__ = ["FrameReader", "SourceState", "SourceStatus"]

T = TypeVar("T")
_log = logging.getLogger("edgetrack.capture")

OPEN_LIMIT_S = 15.0
"""An opening that takes longer is abandoned; the sources' own limits are shorter."""
_FILE_QUEUE = 2
_MAX_HANGING = 3
"""Abandoned connections that may hang in their driver; while there are as many, no further one is opened."""


class FrameReader(Generic[T]):
    """Hands over (frame, prepared) pairs.

    Live sources: the newest pair; older ones that nobody took are dropped and counted. A source that is
    silent for `stale_after_s`, shows exactly the same picture for `frozen_after_s`, delivers noise or another
    size, ends or fails is reported and reopened, with exponential back-off, for ever. Repeats of a frozen
    picture, and noise, are not handed over. A picture that is black, covered, blurred or moved is reported.
    Files and folders: every pair in order; reading waits while the consumer is busy.

    At most four pairs exist at a time: being prepared, waiting (two of a file, one of a live source), and
    with the consumer; so many buffers suffice for `prepare`.

    Args:
        open_source: opens the source afresh.
        settings: `live`, staleness and back-off.
        camera: name for reports.
        prepare: runs in the reading thread on each frame, so that it overlaps with the consumer's work.
        on_status: called with each change of a live source's state, from a thread of the reader.
        on_read: receives the seconds that each read took; for live sources mostly waiting.
        rng: jitter of the back-off.

    Raises:
        SourceError: a file or folder cannot be opened. Live sources are opened later, by `start`.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        settings: SourceSettings,
        *,
        camera: str = "camera",
        prepare: Callable[[Frame], T] | None = None,
        on_status: Callable[[SourceStatus], None] | None = None,
        on_read: Callable[[float], object] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.frames = 0
        """Frames taken from the source, repeats of a frozen picture not counted."""
        self.reconnects = 0
        """Attempts to reopen a live source."""
        self._settings = settings
        self._camera = camera
        self._open_source = open_source
        self._prepare = prepare
        self._on_status = on_status
        self._on_read = on_read or (lambda duration_s: None)
        self._backoff = Backoff(settings.reconnect_min_s, settings.reconnect_max_s, rng)
        self._live = settings.live
        self._freshness = Freshness(settings.stale_after_s, settings.frozen_after_s)
        self._picture = PictureWatch(settings.picture_fault_after_s, settings.picture_faults)
        self._shape = PictureShape(camera)
        self._handover = Handover[tuple[Frame, T]](1 if self._live else _FILE_QUEUE, keep_newest=self._live)
        self._state = SourceState.CONNECTING
        self._changed = threading.Condition()
        """Guards what the threads share, and wakes the supervisor."""
        self._closed = False
        self._supervisor: threading.Thread | None = None
        self._connection: Connection | None = None
        self._hanging: list[Connection] = []
        self._index_offset = self._next_index = 0
        self.frame_count: int | None = None
        """Frames in all, when a file or folder tells."""
        self.fps: float | None = settings.fps
        """Nominal frames per second, when known."""
        if not self._live:
            source = open_source()
            self.frame_count, self.fps = source.frame_count, source.fps
            self._connection = self._connect(source)

    @property
    def dropped(self) -> int:
        """Frames of a live source that were replaced by newer ones before anybody took them."""
        return self._handover.dropped

    @property
    def live(self) -> bool:
        """Whether frames that nobody takes are dropped; those of files wait."""
        return self._live

    @property
    def state(self) -> SourceState:
        """Where a live source is; of files, "online" once started."""
        return self._state

    @property
    def hangs_s(self) -> float:
        """Seconds for which a connection of a lost source has hung in its driver, abandoned; else 0."""
        lost = self._state is SourceState.LOST
        return max((connection.hangs_s for connection in self._hanging), default=0.0) if lost else 0.0

    @property
    def ended(self) -> bool:
        """True when nothing will come any more: a file is through, or the reader closed or failed."""
        return self._handover.ended

    def start(self) -> None:
        """Begin to read; `get` does so by itself. A second call does nothing."""
        with self._changed:
            if self._closed or self._supervisor is not None or self._state is not SourceState.CONNECTING:
                return
            if self._live:
                name = f"capture-{self._camera}-supervisor"
                self._supervisor = threading.Thread(target=self._supervise, name=name, daemon=True)
                self._supervisor.start()
            elif self._connection is not None:
                self._state = SourceState.ONLINE
                self._connection.start()

    def get(self, timeout_s: float = 1.0) -> tuple[Frame, T] | None:
        """The next pair; None when none came within `timeout_s`, or `ended`.

        Raises:
            SourceError: a file breaks off (after all that it held was handed over), or a live source needs
                what this machine has not.
            Exception: what `prepare` raised.
        """
        self.start()
        return self._handover.get(timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Stop reading and give the source back; a driver that hangs is left behind after `timeout_s`."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            connection = self._connection
        self._handover.close()
        if connection is not None:
            connection.abandon()
            if self._state is SourceState.CONNECTING and not self._live:
                connection.start()  # never started: its thread closes the file
        deadline_s = time.monotonic() + timeout_s
        if self._supervisor is not None:
            self._supervisor.join(timeout_s)
        if connection is not None and not connection.join(max(0.0, deadline_s - time.monotonic())):
            _log.warning("camera %s: the driver hangs; it is left behind", self._camera)
        self._state = SourceState.CLOSED

    def __enter__(self) -> FrameReader[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # In the connection's thread.

    def _connect(self, source: Source | None = None) -> Connection:
        def on_frame(frame: Frame) -> bool:
            return self._hand_over(frame, connection)

        def on_change() -> None:
            if self._live:
                with self._changed:
                    if self._connection is connection and not connection.finished:
                        self._freshness.opened(time.monotonic())
                    self._changed.notify_all()
            elif connection.finished:
                self._handover.finish(connection.failure)

        connection = Connection(
            f"capture-{self._camera}",
            self._open_source,
            source=source,
            on_frame=on_frame,
            on_read=self._on_read,
            on_change=on_change,
        )
        return connection

    def _hand_over(self, frame: Frame, connection: Connection) -> bool:
        if self._live:
            with self._changed:
                if self._connection is not connection:
                    return False
                image, now_s = self._shape.fit(frame.image), time.monotonic()
                new = self._freshness.frame(image, now_s)
                if self._picture.look(image, now_s) or not self._state.delivers:
                    self._changed.notify_all()
                if self._state is SourceState.GARBAGE or (not new and self._state is SourceState.FROZEN):
                    return True
            frame = replace(frame, image=image, index=frame.index + self._index_offset)
            self._next_index = frame.index + 1
        self.frames += 1
        prepared = self._prepare(frame) if self._prepare is not None else cast(T, None)
        return self._handover.put((frame, prepared))

    # In the supervisor's thread.

    def _supervise(self) -> None:
        self._report(SourceState.CONNECTING)
        while not self._closed:
            try:
                failure = self._run_connection()
            except (RuntimeError, MemoryError) as error:  # no further thread, or no memory, for the moment
                failure = SourceState.LOST, str(error) or "out of memory"
            except Exception as error:  # noqa: BLE001 - raised by `get`
                failure = error
            if failure is None:
                break
            if isinstance(failure, BaseException):
                self._handover.finish(failure)
                break
            state, reason = failure
            useful = self._freshness.good_for_s >= self._settings.stale_after_s
            if useful and self._state is not SourceState.GARBAGE:
                self._backoff.reset()
            wait_s = self._backoff.next_s()
            self._report(state, reason, wait_s)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, wait_s)
            self.reconnects += 1

    def _run_connection(self) -> tuple[SourceState, str] | BaseException | None:
        """Open and watch until it fails; the state and reason, a failure that no reopening mends, or None."""
        self._hanging = [connection for connection in self._hanging if connection.alive]
        if len(self._hanging) >= _MAX_HANGING:
            return SourceState.LOST, f"{_MAX_HANGING} earlier connections still hang in the driver"
        connection = self._connect()
        with self._changed:
            if self._closed:
                return None
            self._connection, self._index_offset = connection, self._next_index
            self._freshness.opened(time.monotonic())
            self._shape.opened()
        connection.start()
        result = self._watch(connection)
        connection.abandon()
        with self._changed:
            if not self._closed:
                self._connection = None
        self._hanging.append(connection)
        return result

    def _watch(self, connection: Connection) -> tuple[SourceState, str] | BaseException | None:
        started_s = time.monotonic()
        while True:
            with self._changed:
                now_s = time.monotonic()
                if self._closed:
                    return None
                if connection.finished:
                    return connection.loss
                state, reason = self._picture.fault or (SourceState.ONLINE, "")
                if not state.delivers or state is self._state or not self._freshness.delivers:
                    fault, due_s = self._fault(connection, started_s, now_s)
                    if fault is not None:
                        return fault
                    self._changed.wait(max(0.0, due_s - now_s))
                    continue
            self._report(state, reason)

    def _fault(
        self, connection: Connection, started_s: float, now_s: float
    ) -> tuple[tuple[SourceState, str] | None, float]:
        """Why the source must be reopened, or None; and when to look again if nothing happens."""
        if not connection.opened:
            late = now_s - started_s >= OPEN_LIMIT_S
            no_answer = (SourceState.LOST, f"no answer for {now_s - started_s:.0f} s")
            return no_answer if late else None, started_s + OPEN_LIMIT_S
        fault, due_s = self._freshness.fault(now_s), self._freshness.due_s
        if fault is not None and fault[0] is SourceState.FROZEN and self._picture.found is not None:
            fault = (fault[0], f"{fault[1]}: {self._picture.found[1]}")
        if fault is None and self._picture.fault is not None and not self._picture.fault[0].delivers:
            # What was noise before it was reopened has the same time to be well as to be noise.
            noise_s = self._freshness.opened_s + self._settings.picture_fault_after_s
            fault, due_s = self._picture.fault if now_s >= noise_s else None, min(due_s, noise_s)
        return fault, due_s

    def _report(self, state: SourceState, reason: str = "", next_s: float = 0.0) -> None:
        with self._changed:
            self._state = state
        status = SourceStatus(self._camera, state, reason, self._backoff.attempts, next_s)
        _log.log(logging.WARNING if reason else logging.INFO, "%s", status)
        if self._on_status is not None:
            try:
                self._on_status(status)
            except Exception:  # noqa: BLE001 - logged; the camera matters more than the report
                _log.exception("camera %s: reporting its state failed", self._camera)
