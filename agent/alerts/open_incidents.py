"""Incidents that have begun and not ended, kept on the disk: a killed process cannot end them itself."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agent.records import Alert, Phase

_log = logging.getLogger("edgetrack")
_ALERT = TypeAdapter(Alert)


class OpenIncidents:
    """The incidents of one device that receivers were told the start of and not the end.

    An incident is on the disk before its start is, and until its end is: whenever the process dies, the next
    one ends what it left open. An end may come twice then, never not at all.

    Args:
        path: JSON file, made when the first incident begins.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # every camera has its thread
        self._complained = False
        self._open = self._read()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._open)

    @contextmanager
    def telling(self, camera: str, alert: Alert) -> Iterator[None]:
        """Keep count of an alert; to be stored where alerts are within the block."""
        if alert.phase is Phase.START:
            with self._lock:
                self._open[alert.incident] = (camera, replace(alert, evidence={}, counts={}))
                self._write()
        yield
        if alert.phase is Phase.END:
            with self._lock:
                if self._open.pop(alert.incident, None) is not None:
                    self._write()

    def interrupted(self, time_s: float, wall_s: float) -> list[tuple[str, Alert]]:
        """Camera and end of every incident that the process before left open, to be told before cameras run.

        How long they lasted in fact nobody knows: they end now, for the reason `interrupted`. Durations are
        those of the wall clock, since a monotonic clock begins anew at every boot.

        Args:
            time_s, wall_s: now, monotonic and in seconds since 1970 (UTC).
        """
        ends = []
        for camera, start in self._open.values():
            began_s = start.wall_s - (start.time_s - start.started_s)
            duration_s = round(max(wall_s - began_s, 0.0), 3)
            evidence = {"duration_s": duration_s, "reason": "interrupted"}
            end = replace(start, phase=Phase.END, time_s=time_s, wall_s=wall_s, evidence=evidence)
            ends.append((camera, replace(end, started_s=time_s - duration_s)))
        return ends

    def _read(self) -> dict[str, tuple[str, Alert]]:
        try:
            saved = json.loads(self._path.read_bytes())
            return {
                str(incident): (str(entry["camera"]), _ALERT.validate_python(entry["start"]))
                for incident, entry in saved["open"].items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            _log.warning(
                "%s: expected the incidents that were open, got %s; those have no end",
                self._path,
                type(error).__name__,
            )
            return {}

    def _write(self) -> None:
        """Whole or not at all, and safe from a power cut, as the alerts themselves are."""
        content: dict[str, Any] = {
            "version": 1,
            "open": {
                incident: {"camera": camera, "start": asdict(start)}
                for incident, (camera, start) in self._open.items()
            },
        }
        unfinished = self._path.with_suffix(".partial")
        try:
            with unfinished.open("w", encoding="utf-8") as file:
                json.dump(content, file, separators=(",", ":"))
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("%s: expected to keep open incidents, got %s", self._path, error.strerror)
