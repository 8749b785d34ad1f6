"""How long each stage takes, over the last frames."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

STAGES = ("capture", "letterbox", "invoke", "decode", "track", "actions", "rules", "publish")


class StageTimes:
    """Durations per stage, bounded; every stage is written by one thread only.

    Args:
        capacity: how many of the last durations are kept for each stage.
    """

    def __init__(self, capacity: int = 2048) -> None:
        self._samples: dict[str, deque[float]] = {stage: deque(maxlen=capacity) for stage in STAGES}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to `stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._samples[stage].append(time.perf_counter() - start)

    def add(self, stage: str, duration_s: float) -> None:
        """Add a duration that was measured elsewhere."""
        self._samples[stage].append(duration_s)

    def last_s(self, stages: Iterable[str]) -> float:
        """What the last frame took in these stages together; for the thread that writes them."""
        return sum(self._samples[stage][-1] for stage in stages if self._samples[stage])

    def summary_ms(self) -> dict[str, dict[str, float]]:
        """Median and 95th percentile of each stage that ran, in ms."""
        result: dict[str, dict[str, float]] = {}
        for stage, samples in self._samples.items():
            if samples:
                ordered = sorted(samples)
                p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
                result[stage] = {
                    "median": round(statistics.median(ordered) * 1e3, 3),
                    "p95": round(p95 * 1e3, 3),
                }
        return result
