"""What the page remembers: tracks of the last minutes, incidents and figures; kept over reloads."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.alerts.schema import build_payload, new_id
from agent.alerts.snapshot import Picture
from agent.pipeline import Step
from agent.recording import RecordedFrame
from agent.records import Alert, Phase, Tracks

_TRACKS_PER_S = 10.0
"""Frames whose tracks are kept: the rules say nearly the same of them as of all."""
_INCIDENTS = 200
_PICTURES_BYTES = 8_000_000
_FIGURES = 240


class TrackMemory:
    """The tracks of one camera's last seconds; written by the camera's thread, read by the page's.

    Args:
        keep_s: how many.
    """

    def __init__(self, keep_s: float) -> None:
        self.keep_s = keep_s
        self._frames: deque[RecordedFrame] = deque()
        self._lock = threading.Lock()
        self._interrupted = False

    def add(self, step: Step) -> None:
        """Take the tracks of a frame, unless the one before is kept and too near."""
        frame, frames = step.frame, self._frames
        last_s = frames[-1].time_s if frames else -1e9
        if 0 <= frame.time_s - last_s < 1 / _TRACKS_PER_S - 1e-3:
            return
        with self._lock:
            if frame.time_s < last_s:  # a file from its beginning, or another clock
                frames.clear()
            elif self._interrupted and frames:
                frames.append(
                    RecordedFrame(last_s, frame.wall_s, frame.index, frame.size, None, Tracks.empty())
                )
            self._interrupted = False
            frames.append(
                RecordedFrame(frame.time_s, frame.wall_s, frame.index, frame.size, None, step.tracks)
            )
            while frame.time_s - frames[0].time_s > self.keep_s:
                frames.popleft()

    def interrupt(self) -> None:
        """The tracker begins anew: its ids mean others from now on."""
        self._interrupted = True

    def frames(self) -> tuple[RecordedFrame, ...]:
        """Those kept, oldest first."""
        with self._lock:
            return tuple(self._frames)


@dataclass(slots=True)
class SeenIncident:
    """An incident as the page tells of it.

    Args:
        camera: its name.
        alert: the last alert of it.
        number: grows with every alert of any incident.
        open: whether it lasts.
        picture: where one was kept.
    """

    camera: str
    alert: Alert
    number: int
    open: bool
    picture: Picture | None = None

    def as_json(self) -> dict[str, Any]:
        """JSON types: the fields of the published alert, without those of its delivery."""
        payload = build_payload(
            self.alert, id=new_id(), sequence=1, device="", camera=self.camera, clock_synchronised=True
        )
        left_out = {"id", "sequence", "device", "schema_version", "clock_synchronised", "snapshot", "model"}
        content = payload.model_dump(mode="json", exclude=left_out, exclude_none=True)
        return {**content, "open": self.open, "picture": self.picture is not None, "number": self.number}


class IncidentMemory:
    """The last incidents of all cameras; written by the cameras' threads, read by the page's."""

    def __init__(self) -> None:
        self._incidents: OrderedDict[str, SeenIncident] = OrderedDict()
        self._lock = threading.Lock()
        self.number = 0
        """Of the last alert."""

    def add(self, camera: str, alert: Alert, picture: Picture | None) -> None:
        """Take an alert and, where there is one, the picture that belongs to it."""
        is_open = alert.phase in (Phase.START, Phase.UPDATE)
        with self._lock:
            self.number += 1
            known = self._incidents.pop(alert.incident, None)
            picture = picture or (known.picture if known else None)
            self._incidents[alert.incident] = SeenIncident(camera, alert, self.number, is_open, picture)
            while len(self._incidents) > _INCIDENTS:
                self._incidents.popitem(last=False)
            self._drop_pictures()

    def interrupt(self) -> None:
        """The rules begin anew: what was open has ended."""
        with self._lock:
            for incident in self._incidents.values():
                incident.open = False

    def since(self, number: int) -> list[SeenIncident]:
        """Those told of after `number`, oldest first."""
        with self._lock:
            return [incident for incident in self._incidents.values() if incident.number > number]

    def picture_of(self, incident: str) -> Picture | None:
        """The picture of an incident; None where there is none, or no such incident."""
        with self._lock:
            found = self._incidents.get(incident)
        return found.picture if found else None

    def _drop_pictures(self) -> None:
        pictured = [incident for incident in self._incidents.values() if incident.picture is not None]
        size = sum(len(incident.picture.jpeg) for incident in pictured if incident.picture is not None)
        for incident in pictured:
            if size <= _PICTURES_BYTES or incident.picture is None:
                return
            size -= len(incident.picture.jpeg)
            incident.picture = None


@dataclass(slots=True)
class PageMemory:
    """What outlives a reload of the configuration.

    Args:
        path: of the configuration file; None where there is none to save to.
    """

    path: Path | None = None
    incidents: IncidentMemory = field(default_factory=IncidentMemory)
    tracks: dict[str, TrackMemory] = field(default_factory=dict)
    figures: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=_FIGURES))

    def tracks_of(self, camera: str, keep_s: float) -> TrackMemory:
        """The memory of a camera's tracks; one that is there goes on."""
        memory = self.tracks.setdefault(camera, TrackMemory(keep_s))
        memory.keep_s = keep_s
        memory.interrupt()
        return memory
