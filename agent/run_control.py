"""What signals ask of a run: to stop, or to take the configuration anew."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Generic, TypeVar

from agent.errors import ConfigError, EdgetrackError
from agent.service import Notifier

log = logging.getLogger("edgetrack")
T = TypeVar("T")

_PATIENCE_S = 1.0
"""A second signal to stop within this belongs to the first: `timeout` and Ctrl-C under a supervisor send the
process one, and its group another."""


class RunControl(Generic[T]):
    """Stops a run on SIGINT and SIGTERM; on SIGHUP checks the configuration and stops it for the new one.

    A new configuration with faults is refused whole: they are logged, and the run goes on. At a terminal
    SIGHUP means that the terminal is gone, and stops.

    Args:
        check: reads and checks the configuration; raises an EdgetrackError for a bad one.
        notifier: is told of reloads and of the stop.
    """

    def __init__(self, check: Callable[[], T], notifier: Notifier) -> None:
        self.stop = threading.Event()
        """Set when the run has to end, for good or for a new configuration."""
        self.ending = False
        """Whether it ends for good."""
        self._check = check
        self._notifier = notifier
        self._new: T | None = None
        self._lock = threading.Lock()
        """Guards `_new` together with `stop`; never taken in a signal's handler."""
        self._hangup = threading.Event()
        self._asked_s: float | None = None
        """When the first signal to stop came, monotonic; None: not yet."""

    def take_new(self) -> T | None:
        """The new configuration, if the run was stopped for one; the next run may then begin."""
        with self._lock:
            new, self._new = self._new, None
            if new is not None:
                self.stop.clear()
                if self.ending:  # a signal may come at any point of this
                    self.stop.set()
        return None if self.ending else new

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to signals within the block; one to stop that comes a second or more after the first ends
        the process at once."""
        stopping = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if _at_terminal() else [])]
        before = {number: signal.signal(number, self._handle_stop) for number in stopping}
        if signal.SIGHUP not in before:
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._handle_hangup)
        threading.Thread(target=self._serve_hangups, name="reload", daemon=True).start()
        try:
            yield
        finally:
            self.ending = True
            self._hangup.set()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle_stop(self, number: int, _frame: FrameType | None) -> None:
        if self._asked_s is not None:
            if time.monotonic() - self._asked_s >= _PATIENCE_S:
                raise KeyboardInterrupt
            return
        self._asked_s = time.monotonic()
        self.ending = True
        name = signal.Signals(number).name
        log.info("%s: stopping", name)
        self._notifier.stopping(f"stopping on {name}")
        self.stop.set()

    def _handle_hangup(self, _number: int, _frame: FrameType | None) -> None:
        self._hangup.set()

    def _serve_hangups(self) -> None:
        """Check in a thread of its own: it takes as long as opening the models does."""
        while True:
            self._hangup.wait()
            self._hangup.clear()
            if self.ending:
                return
            self._reload()

    def reload(self) -> None:
        """Take the configuration anew, as asked for by something that waits for the answer.

        Raises:
            EdgetrackError: the new one has faults; the run goes on with the old one.
        """
        new = self._check()
        with self._lock:
            self._new = new
            self.stop.set()

    def _reload(self) -> None:
        self._notifier.reloading()
        log.info("SIGHUP: checking the configuration")
        try:
            new = self._check()
        except EdgetrackError as error:
            self._refuse(error.faults if isinstance(error, ConfigError) else (str(error),))
        except Exception as error:  # a fault of ours in checking must not end the run
            log.exception("checking the configuration failed")
            self._refuse((f"{type(error).__name__}: {error}",))
        else:
            with self._lock:
                self._new = new
                self.stop.set()

    def _refuse(self, faults: Sequence[str]) -> None:
        for fault in faults:
            log.error("%s", fault)
        log.error("the new configuration is refused, the old one goes on")
        self._notifier.ready("the new configuration is refused, the old one goes on")


def _at_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
