"""Tracking: detections in, identities over time out, one frame at a time.

`Tracker` is imported when it is first asked for, so that `agent.track.settings` needs no NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.track.tracker import Tracker

__all__ = ["Tracker"]


def __getattr__(name: str) -> Any:
    if name == "Tracker":
        from agent.track.tracker import Tracker

        return Tracker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
