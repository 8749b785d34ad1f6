"""How long to wait before the next attempt."""

import random


def backoff_s(attempt: int, min_s: float, max_s: float, rng: random.Random) -> float:
    """Seconds to wait before attempt 1, 2, 3 …: doubling from `min_s` to `max_s`, the upper half at random.

    The random half keeps many cameras behind one switch from returning all at once; the fixed half keeps a
    wait from being no wait.

    Returns:
        min(max_s, min_s * 2^(attempt-1)) * u, u uniform in 0.5..1.

    Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015 ("equal jitter").
    """
    whole = min(max_s, min_s * 2.0 ** min(attempt - 1, 60))
    return whole * rng.uniform(0.5, 1.0)
