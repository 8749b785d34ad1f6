"""Events in the shape of Frigate's, for automations that were written for its `frigate/events`.

An event is an incident, not an object: what one object does by three rules is three events. They are a live
stream beside the alerts: what happens while the broker is away is not sent later. Left out of Frigate's
fields: snapshot_time, region, motionless_count, position_changes, path_data. There is none of its other
topics, and none of its HTTP API.

Source: https://docs.frigate.video/integrations/mqtt/#frigateevents
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Literal

from pydantic import ConfigDict

from agent.alerts.messages import Message
from agent.alerts.schema import AlertPayload, Part
from agent.alerts.settings import FrigateSettings
from agent.records import Phase

_MAX_OPEN = 1000
_STATIONARY_PX_S = 2.0
EventType = Literal["new", "update", "end"]
_TYPES: dict[Phase, tuple[EventType, ...]] = {
    Phase.START: ("new",),
    Phase.UPDATE: ("update",),
    Phase.END: ("end",),
    Phase.INSTANT: ("new", "end"),
}


class FrigateObject(Part):
    """The object of an incident, as Frigate describes one."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str
    """Of the incident, in the form of Frigate's."""
    camera: str
    """Name of the camera."""
    frame_time: float
    """When it was seen like this; seconds since 1970, as all times here."""
    label: str
    """Class name."""
    sub_label: None = None
    """Always null."""
    score: float
    """Of the newest detection."""
    top_score: float
    """The best so far."""
    false_positive: bool = False
    """Always false."""
    start_time: float
    """When the incident began."""
    end_time: float | None
    """When it ended; null while it lasts."""
    box: tuple[int, int, int, int]
    """Left, top, right, bottom in px of the picture."""
    area: int
    """Of the box in px²."""
    ratio: float
    """The box's width to its height."""
    stationary: bool
    """Whether it stands still at this moment."""
    active: bool
    """The opposite."""
    current_zones: tuple[str, ...]
    """The rule's zone, while the object is inside; no others."""
    entered_zones: tuple[str, ...]
    """The rule's zone."""
    has_clip: bool = False
    """Always false: nothing is recorded."""
    has_snapshot: bool
    """Whether a picture was published, under Edgetrack's own topic."""
    attributes: dict[str, float] = {}
    """Always empty."""
    current_attributes: tuple[str, ...] = ()
    """Always empty."""


class FrigateEvent(Part):
    """What became of an incident, in the shape of an event of Frigate's."""

    type: EventType
    """new, update or end; an instant alert is new and end in one moment."""
    before: FrigateObject
    """As in the event before; in the first one as in `after`."""
    after: FrigateObject
    """Now."""


def events_topic(prefix: str = FrigateSettings().topic_prefix) -> str:
    """Where events are published."""
    return f"{prefix}/events"


class FrigateEvents:
    """Turns the alerts of incidents into events; remembers an incident from its start to its end.

    Args:
        prefix: first level of the topic.
    """

    def __init__(self, prefix: str = FrigateSettings().topic_prefix) -> None:
        self._topic = events_topic(prefix)
        self._open: OrderedDict[str, FrigateObject] = OrderedDict()
        self._lock = threading.Lock()  # every camera has its thread

    def __len__(self) -> int:
        """How many incidents are open."""
        return len(self._open)

    def messages(self, alert: AlertPayload) -> list[Message]:
        """What to publish for an alert; nothing for one without a track."""
        if alert.track is None:
            return []
        with self._lock:
            return [self._message(kind, alert) for kind in _TYPES[alert.phase]]

    def _message(self, kind: EventType, alert: AlertPayload) -> Message:
        before = self._open.get(alert.incident)
        after = _state(alert, before, ended=kind == "end")
        if kind == "end":
            self._open.pop(alert.incident, None)
        else:
            self._open[alert.incident] = after
            if len(self._open) > _MAX_OPEN:  # an end that never came
                self._open.popitem(last=False)
        event = FrigateEvent(type=kind, before=before or after, after=after)
        return Message(self._topic, event.model_dump_json().encode(), qos=0)


def _state(alert: AlertPayload, before: FrigateObject | None, *, ended: bool) -> FrigateObject:
    """The object as Frigate describes it."""
    track = alert.track
    if track is None:
        raise ValueError(f"alert {alert.id}: expected a track, got none")
    now_s = alert.time.timestamp()
    left, top, right, bottom = (round(value) for value in track.box_px)
    width, height = max(right - left, 0), max(bottom - top, 0)
    zones = () if alert.zone is None else (alert.zone,)
    vx, vy = track.velocity_px_s
    stationary = vx * vx + vy * vy < _STATIONARY_PX_S**2
    start_s = before.start_time if before else round(now_s - alert.duration_s, 3)
    return FrigateObject(
        id=before.id if before else f"{start_s:.6f}-{alert.incident[-6:].lower()}",
        camera=alert.camera,
        frame_time=now_s,
        label=track.label,
        score=track.score,
        top_score=max(track.score, before.top_score if before else 0.0),
        start_time=start_s,
        end_time=now_s if ended else None,
        box=(left, top, right, bottom),
        area=width * height,
        ratio=round(width / height, 2) if height else 0.0,
        stationary=stationary,
        active=not stationary,
        current_zones=() if alert.kind == "leave" or ended else zones,
        entered_zones=tuple(dict.fromkeys((*(before.entered_zones if before else ()), *zones))),
        has_snapshot=alert.snapshot is not None,
    )
