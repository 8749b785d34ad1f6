"""Whether a live source still shows the world: frames come, and they differ."""

from __future__ import annotations

import numpy as np

from agent.capture.status import SourceState
from agent.records import ImageArray

_STEP = 8
"""Every eighth pixel of both axes decides whether two pictures can be the same at all."""


class Freshness:
    """Remembers when a source last delivered, and last delivered something new, also across reopenings.

    A source that was frozen is well again only with a picture that differs from the one it froze on.
    Pure bookkeeping: the caller brings the clock and the lock.

    Args:
        stale_after_s: longest time without a frame.
        frozen_after_s: longest time with exactly the same picture; 0 for no limit.
    """

    def __init__(self, stale_after_s: float, frozen_after_s: float) -> None:
        self._stale_after_s = stale_after_s
        self._frozen_after_s = frozen_after_s
        self._last: ImageArray | None = None
        self.opened_s = 0.0
        """When the source was last opened."""
        self._frame_s = self._change_s = 0.0
        self._changed = False

    def opened(self, now_s: float) -> None:
        """The source was opened at `now_s`; the time for its first frame runs."""
        self.opened_s = self._frame_s = self._change_s = now_s
        self._changed = False

    def frame(self, image: ImageArray, now_s: float) -> bool:
        """Take note of a frame; True when it differs from the one before."""
        new = self._frozen_after_s == 0 or self._last is None or not _same(image, self._last)
        self._frame_s = now_s
        if new:
            self._last, self._change_s, self._changed = image, now_s, True
        return new

    def fault(self, now_s: float) -> tuple[SourceState, str] | None:
        """What is wrong at `now_s`: the state it makes and the reason; None when all is well."""
        if now_s - self._frame_s >= self._stale_after_s:
            return SourceState.LOST, f"no frame for {now_s - self._frame_s:.1f} s"
        if self._frozen_after_s and now_s - self._change_s >= self._frozen_after_s:
            return SourceState.FROZEN, f"the same picture for {now_s - self._change_s:.1f} s"
        return None

    @property
    def delivers(self) -> bool:
        """True when something new has come since the source was opened."""
        return self._changed

    @property
    def due_s(self) -> float:
        """When `fault` can first have something to say, if no further frame comes."""
        stale_s = self._frame_s + self._stale_after_s
        return min(stale_s, self._change_s + self._frozen_after_s) if self._frozen_after_s else stale_s

    @property
    def good_for_s(self) -> float:
        """Seconds from the opening to the last new picture: how long this connection was of use."""
        return self._change_s - self.opened_s if self._changed else 0.0


def _same(a: ImageArray, b: ImageArray) -> bool:
    """True when two pictures are equal in every pixel; unequal ones cost a 64th of the comparison."""
    return bool(np.array_equal(a[::_STEP, ::_STEP], b[::_STEP, ::_STEP]) and np.array_equal(a, b))
