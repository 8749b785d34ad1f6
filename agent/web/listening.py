"""Servers of ours listen as soon as their address can be had; no camera waits for that."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger("edgetrack.web")
_RETRY_S = 10.0
T = TypeVar("T")


def when_free(listen: Callable[[], T], setting: str, closing: threading.Event) -> T | None:
    """What `listen` returns; while its address is taken, or not there yet, it is tried again.

    Args:
        listen: takes the address; raises OSError where that fails.
        setting: its name and value, for the log.
        closing: set to give up.

    Returns:
        None when it was given up.
    """
    complained = False
    while not closing.is_set():
        try:
            return listen()
        except OSError as error:
            if not complained:
                complained = True
                problem = f"expected an address that is free, got {error.strerror or error}"
                log.error("%s: %s; it is tried again, cameras go on", setting, problem)  # noqa: TRY400
            closing.wait(_RETRY_S)
    return None
