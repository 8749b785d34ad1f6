"""How long to wait before the next attempt, so that a fleet does not come back all at once."""

from __future__ import annotations

import random


class Backoff:
    """Decorrelated jitter: each wait lies between `shortest_s` and three times the one before.

    Args:
        shortest_s, longest_s: bounds of a wait.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        self._shortest_s = min(shortest_s, longest_s)
        self._longest_s = longest_s
        self._wait_s = self._shortest_s

    def next_s(self) -> float:
        """The next wait."""
        self._wait_s = min(self._longest_s, random.uniform(self._shortest_s, 3 * self._wait_s))
        return self._wait_s

    def reset(self) -> None:
        """An attempt succeeded: the next wait is a short one."""
        self._wait_s = self._shortest_s
