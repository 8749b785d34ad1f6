"""A clock that stands while the machine lets this process stand."""

from __future__ import annotations

import threading
import time
from typing import Self

_TICK_S = 0.01
_LATE_S = 0.05  # a tick that comes later than that is the machine's, not the timer's


class AwakeClock:
    """Counts the seconds in which this process ran, for bounds on what a product does in them.

    A thread asks for a tick after tick. One that comes late shows that the process, or all its threads, stood
    still: suspended, swapped out, or crowded out by others. That time does not count.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stood_s = 0.0
        self._tick_s = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="awake-clock", daemon=True)
        self._thread.start()

    def now_s(self) -> float:
        """Seconds from some beginning, less those for which the process stood still."""
        with self._lock:
            now_s = time.monotonic()
            return now_s - self._stood_s - self._late_s(now_s)

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join()

    def _late_s(self, now_s: float) -> float:
        late_s = now_s - self._tick_s - _TICK_S
        return late_s if late_s > _LATE_S else 0.0

    def _run(self) -> None:
        while not self._end.wait(_TICK_S):
            with self._lock:
                now_s = time.monotonic()
                self._stood_s += self._late_s(now_s)
                self._tick_s = now_s


class Standing:
    """For how long this process stood still in a block, to be added to bounds on what others measured."""

    seconds = 0.0

    def __enter__(self) -> Self:
        self._clock, self._began_s = AwakeClock(), time.monotonic()
        self._began_awake_s = self._clock.now_s()
        return self

    def __exit__(self, *_: object) -> None:
        awake_s = self._clock.now_s() - self._began_awake_s
        self.seconds = time.monotonic() - self._began_s - awake_s
        self._clock.close()
