"""Fewer frames than a live source delivers, evenly spaced."""


class RateLimit:
    """Decides frame by frame which ones a rate leaves.

    Args:
        fps: frames per second to keep on average; None keeps all.
    """

    def __init__(self, fps: float | None) -> None:
        self._period_s = 1.0 / fps if fps else 0.0
        self._due_s = self._last_s = float("-inf")

    def keeps(self, time_s: float) -> bool:
        """True when the frame captured at `time_s` is due.

        A frame may come a quarter of a period early, so that the jitter of a source that already delivers
        the rate costs no frame; what was missed is not made up for. No two frames are of the same time, nor
        does time go back, whatever a driver stamps on them: that much every stage after this one relies on.
        """
        if time_s <= self._last_s or time_s < self._due_s - 0.25 * self._period_s:
            return False
        self._last_s = time_s
        self._due_s = max(self._due_s + self._period_s, time_s + 0.5 * self._period_s)
        return True
