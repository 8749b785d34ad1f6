"""One opening of a source, read in a thread of its own until it fails, ends or is abandoned."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from agent.capture.source import Source, SourceSetupError
from agent.capture.status import SourceState
from agent.errors import SourceError
from agent.records import Frame


class Connection:
    """Opens a source and hands over its frames from a daemon thread.

    A driver that blocks for ever holds up nobody but this thread: its owner abandons it, and should the
    driver ever return, the thread closes the source and ends.

    Args:
        name: of the thread.
        open_source: called in the thread, unless `source` is given.
        source: a source that is already open.
        on_frame: called in the thread with each frame; False ends the connection.
        on_read: receives the seconds that each read took.
        on_change: called in the thread after `opened` or `finished` has changed.
    """

    def __init__(
        self,
        name: str,
        open_source: Callable[[], Source],
        *,
        on_frame: Callable[[Frame], bool],
        on_read: Callable[[float], object],
        on_change: Callable[[], object],
        source: Source | None = None,
    ) -> None:
        self.opened = source is not None
        """The source is open."""
        self.finished = False
        """The thread reads no more; `failure` says why."""
        self.failure: BaseException | None = None
        """SourceError: lost; another exception: a fault of ours; None: the end of a file, or abandoned."""
        self._open_source = open_source
        self._source = source
        self._on_frame = on_frame
        self._on_read = on_read
        self._on_change = on_change
        self._abandoned = threading.Event()
        self._abandoned_s = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to open and read."""
        self._thread.start()

    def abandon(self) -> None:
        """Read no more: the thread closes the source as soon as the driver lets it."""
        self._abandoned_s = self._abandoned_s or time.monotonic()
        self._abandoned.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; True when it has ended, or was never started."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """True while the thread has not let go of the source."""
        return self._thread.is_alive()

    @property
    def hangs_s(self) -> float:
        """Seconds since it was abandoned and yet has not let go of the source; 0 when it has."""
        return time.monotonic() - self._abandoned_s if self._abandoned.is_set() and self.alive else 0.0

    @property
    def loss(self) -> tuple[SourceState, str] | BaseException:
        """What its end means for a live source: a state and the reason, or a failure no reopening mends."""
        failure = self.failure
        if failure is None:
            return SourceState.LOST, "the stream ended"
        if isinstance(failure, SourceError) and not isinstance(failure, SourceSetupError):
            return SourceState.LOST, f"{failure.where}: {failure.problem}"
        return failure

    def _run(self) -> None:
        source = self._source
        try:
            if source is None:
                if self._abandoned.is_set():
                    return
                source = self._open_source()
                self.opened = True
                self._on_change()
            while not self._abandoned.is_set():
                started_s = time.perf_counter()
                frame = source.read()
                self._on_read(time.perf_counter() - started_s)
                if self._abandoned.is_set():
                    break
                if frame is None or not self._on_frame(frame):
                    break
        except BaseException as error:  # noqa: BLE001 - handed to the owner, who raises or reports it
            self.failure = error
        finally:
            if source is not None:
                try:
                    source.close()
                except Exception as error:  # noqa: BLE001 - as above
                    self.failure = self.failure or error
            self.finished = True
            self._on_change()
