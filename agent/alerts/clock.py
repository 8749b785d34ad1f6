"""Whether the wall clock can be believed: a Pi has no clock battery and wakes in the past."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

_TIMESYNC_MARK = Path("/run/systemd/timesync/synchronized")
_STA_UNSYNC = 0x40  # linux/timex.h
_TIME_ERROR = 5
_BUILT_S = 1_700_000_000.0  # November 2023: no alert is older than the project


class _Timex(ctypes.Structure):
    """`struct timex` of linux/timex.h up to `status`; the rest is room for the kernel to write in."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def clock_synchronised() -> bool:
    """True when the kernel or systemd-timesyncd says that the clock follows a time server.

    False as well where nobody can say so.
    """
    if time.time() < _BUILT_S:
        return False
    if _TIMESYNC_MARK.exists():
        return True
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return False
    state = _Timex(modes=0)
    code = adjtimex(ctypes.byref(state))
    return 0 <= code < _TIME_ERROR and not state.status & _STA_UNSYNC
