"""Where the capturing thread leaves items for the consuming one."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """A bounded queue between one producer and one consumer.

    Args:
        capacity: items that wait at most.
        keep_newest: when full, True drops the oldest item and counts it (live sources), False lets `put`
            wait (files: nothing is lost).
    """

    def __init__(self, capacity: int, *, keep_newest: bool) -> None:
        self.dropped = 0
        """Items that were replaced by newer ones before anybody took them."""
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._keep_newest = keep_newest
        self._changed = threading.Condition()
        self._finished = False
        self._failure: BaseException | None = None

    def put(self, item: T) -> bool:
        """Leave an item; False when nobody will take it any more."""
        with self._changed:
            if self._keep_newest:
                if len(self._items) == self._capacity and not self._finished:
                    self._items.popleft()
                    self.dropped += 1
            else:
                self._changed.wait_for(lambda: len(self._items) < self._capacity or self._finished)
            if self._finished:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float) -> T | None:
        """Take the oldest item; None when none came within `timeout_s` or none will come.

        Raises:
            BaseException: the failure that the producer ended with, once all items before it are taken.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not self._items:
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                left_s = deadline_s - time.monotonic()
                if self._finished or left_s <= 0:
                    return None
                self._changed.wait(left_s)
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def finish(self, failure: BaseException | None = None) -> None:
        """No further item will come; what waits can still be taken, then `failure` is raised."""
        with self._changed:
            if not self._finished:
                self._finished, self._failure = True, failure
                self._changed.notify_all()

    def close(self) -> None:
        """Forget what waits; nobody will take it."""
        with self._changed:
            self._finished = True
            self._failure = None
            self._items.clear()
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """True when every item has been taken, any failure has been raised, and none will come."""
        with self._changed:
            return self._finished and not self._items and self._failure is None
