"""What a detector reports of the device that its model runs on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from agent.errors import ModelError

_log = logging.getLogger("edgetrack.detect")


class DeviceState(StrEnum):
    """Where the device is."""

    ONLINE = "online"
    """Answering."""
    FALLBACK = "fallback"
    """Lost; the CPU answers in its place while it is tried again."""
    LOST = "lost"
    """Lost, and there is no CPU model to go on with; it is tried again."""


class DeviceError(ModelError):
    """A device, or the process of a model, failed and nothing stands in for it; it is tried again."""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One change of a device's state; `str()` gives the line for the log.

    Args:
        device: as configured: `usb:0`, `edgetpu` …
        state: the new state.
        model: name of the file that answers now; empty when none does.
        reason: why, one line; empty when online.
        attempt: number of the next attempt to return to the device, counted since it last answered for a
            while; when online, of the one that succeeded; 0 for the first start.
        next_try_s: seconds until that attempt; 0 when none is due.
        faults: how often the device was lost since the start.
    """

    device: str
    state: DeviceState
    model: str
    reason: str = ""
    attempt: int = 0
    next_try_s: float = 0.0
    faults: int = 0

    def __str__(self) -> str:
        if self.state is DeviceState.ONLINE:
            again = f" again (attempt {self.attempt})" if self.attempt else ""
            return f"device {self.device}: online{again}, it runs {self.model}"
        retry = f"next try in {self.next_try_s:.1f} s (attempt {self.attempt})"
        if self.state is DeviceState.LOST:
            return f"{self.reason}; nothing stands in for it, {retry}"
        return f"{self.reason}; the CPU runs {self.model} meanwhile, {retry}"


OnDevice: TypeAlias = Callable[[DeviceStatus], None]
"""Told of each change; called from the detector's thread or from one of the device's own."""


def log_status(status: DeviceStatus) -> None:
    """Log a change: a warning when something is wrong."""
    _log.log(logging.WARNING if status.reason else logging.INFO, "%s", status)
