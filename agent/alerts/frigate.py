"""Events in the shape of Frigate's, for automations that were written for them.

`<prefix>/events`: type new, update or end, with the object before and after. They are a live stream beside
the alerts: what happens while the broker is away is not sent later. Filled: id, camera, label, score,
top_score, box, area, ratio, start_time, end_time, frame_time, current_zones, entered_zones, stationary,
active, has_snapshot, false_positive and has_clip (always false). There and empty: sub_label, attributes,
current_attributes. Left out: snapshot_time, region, motionless_count, position_changes, path_data.

Source: https://docs.frigate.video/integrations/mqtt/#frigateevents
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Any

from agent.alerts.messages import Message
from agent.alerts.schema import AlertPayload
from agent.records import Phase

_MAX_OPEN = 1000
_STATIONARY_PX_S = 2.0
_TYPES = {
    Phase.START: ("new",),
    Phase.UPDATE: ("update",),
    Phase.END: ("end",),
    Phase.INSTANT: ("new", "end"),
}

Event = dict[str, Any]


class FrigateEvents:
    """Turns the alerts of incidents into events; remembers an incident from its start to its end.

    Args:
        prefix: first level of the topic.
    """

    def __init__(self, prefix: str = "frigate") -> None:
        self._topic = f"{prefix}/events"
        self._open: OrderedDict[str, Event] = OrderedDict()
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

    def _message(self, kind: str, alert: AlertPayload) -> Message:
        before = self._open.get(alert.incident)
        after = _state(alert, before, ended=kind == "end")
        if kind == "end":
            self._open.pop(alert.incident, None)
        else:
            self._open[alert.incident] = after
            if len(self._open) > _MAX_OPEN:  # an end that never came
                self._open.popitem(last=False)
        content = {"type": kind, "before": before or after, "after": after}
        return Message(self._topic, json.dumps(content, separators=(",", ":")).encode(), qos=0)


def _state(alert: AlertPayload, before: Event | None, *, ended: bool) -> Event:
    """The object as Frigate describes it; times in seconds since 1970."""
    track = alert.track
    if track is None:
        raise ValueError(f"alert {alert.id}: expected a track, got none")
    now_s = alert.time.timestamp()
    left, top, right, bottom = (round(value) for value in track.box_px)
    width, height = max(right - left, 0), max(bottom - top, 0)
    here = [alert.zone] if alert.zone is not None and alert.kind != "leave" and not ended else []
    entered = list(before["entered_zones"]) if before else []
    if alert.zone is not None and alert.zone not in entered:
        entered.append(alert.zone)
    vx, vy = track.velocity_px_s
    stationary = vx * vx + vy * vy < _STATIONARY_PX_S**2
    start_s = before["start_time"] if before else round(now_s - alert.duration_s, 3)
    return {
        "id": before["id"] if before else f"{start_s:.6f}-{alert.incident[-6:].lower()}",
        "camera": alert.camera,
        "frame_time": now_s,
        "label": track.label,
        "sub_label": None,
        "score": track.score,
        "top_score": max(track.score, before["top_score"] if before else 0.0),
        "false_positive": False,
        "start_time": start_s,
        "end_time": now_s if ended else None,
        "box": [left, top, right, bottom],
        "area": width * height,
        "ratio": round(width / height, 2) if height else 0.0,
        "stationary": stationary,
        "active": not stationary,
        "current_zones": here,
        "entered_zones": entered,
        "has_clip": False,
        "has_snapshot": alert.snapshot is not None,
        "attributes": {},
        "current_attributes": [],
    }
