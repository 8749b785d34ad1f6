"""What the broker or a receiver does not do as it should."""

from __future__ import annotations

import logging

_log = logging.getLogger("edgetrack.broker")
_MAX_COMPLAINTS = 200


class Complaints:
    """Each fault of a topic is told once in the life of the process."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def add(self, topic: str, problem: str) -> None:
        """Log it, unless it was told."""
        line = f"{topic}: {problem}"
        if line not in self._told and len(self._told) < _MAX_COMPLAINTS:
            self._told.add(line)
            _log.error("%s", line)
