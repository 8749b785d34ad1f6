"""What a reader reports of its source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SourceState(StrEnum):
    """Where a live source is."""

    CONNECTING = "connecting"
    """Being opened for the first time."""
    ONLINE = "online"
    """Delivering pictures."""
    LOST = "lost"
    """Gone, silent or refused; being reopened."""
    FROZEN = "frozen"
    """Delivering the same picture over and over; being reopened."""
    GARBAGE = "garbage"
    """Delivering noise; being reopened."""
    BLACK = "black"
    """Delivering, and nothing is lit."""
    COVERED = "covered"
    """Delivering, and something hides the view."""
    BLURRED = "blurred"
    """Delivering, out of focus."""
    MOVED = "moved"
    """Delivering another view than before."""
    CLOSED = "closed"
    """Stopped by us; never reported."""

    @property
    def delivers(self) -> bool:
        """Whether pictures come, good or not."""
        return self is SourceState.ONLINE or self in PICTURE_FAULTS


PICTURE_FAULTS = (SourceState.BLACK, SourceState.COVERED, SourceState.BLURRED, SourceState.MOVED)
"""States in which pictures come and are processed as ever, but show less than they should."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One change of a source's state; `str()` gives the line for the log.

    Args:
        camera: name in the configuration.
        state: the new state.
        reason: why, one line without secrets; empty when online.
        attempt: number of the next attempt to reopen it, counted since it was last well for `stale_after_s`;
            when online, of the one that succeeded; 0 for the first opening.
        next_try_s: seconds until that attempt; 0 when none is due.
    """

    camera: str
    state: SourceState
    reason: str = ""
    attempt: int = 0
    next_try_s: float = 0.0

    def __str__(self) -> str:
        if self.state is SourceState.ONLINE:
            return f"camera {self.camera}: online"
        if self.state is SourceState.CONNECTING:
            return f"camera {self.camera}: connecting"
        if self.state in PICTURE_FAULTS:
            return f"camera {self.camera}: {self.reason}"
        retry = f"reconnecting (attempt {self.attempt}, next in {self.next_try_s:.1f} s)"
        return f"camera {self.camera}: {self.reason}; {retry}"
