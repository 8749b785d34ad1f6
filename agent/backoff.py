"""How long to wait before the next attempt at what failed."""

from __future__ import annotations

import random


class Backoff:
    """Waits that double from one attempt to the next, the upper half of each at random.

    The random half keeps a fleet behind one switch or broker from coming back all at once; the fixed half
    keeps a wait from being no wait.

    Args:
        min_s: the first wait, before its random part is taken off.
        max_s: the longest.
        rng: where the random part comes from.

    Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015 ("equal jitter").
    """

    def __init__(self, min_s: float, max_s: float, rng: random.Random | None = None) -> None:
        self.attempts = 0
        """Waits since the last success."""
        self._min_s = min_s
        self._max_s = max_s
        self._rng = rng or random.Random()

    def next_s(self) -> float:
        """The next wait: min(max_s, min_s * 2^attempts) * u, u uniform in 0.5..1."""
        whole_s = min(self._max_s, self._min_s * 2.0 ** min(self.attempts, 60))
        self.attempts += 1
        return whole_s * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """An attempt succeeded: the next wait is a short one."""
        self.attempts = 0
