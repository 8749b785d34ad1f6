"""What is true of a generated frame, and which events that makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agent.records import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class FrameTruth:
    """The actors of one frame, one row each, in the order of their ids.

    Args:
        time_s: of the scene.
        ids: (N,) int64.
        labels: (N,) int64, index into `LABELS`.
        boxes: (N, 4) float32 xyxy px round the whole actor, also where it is hidden or out of the picture.
        visibility: (N,) float32, part of the actor's pixels that can be seen, 0..1.
        actions: (N,) int64, index into `motion.ACTIONS`.
        feet: (N, 2) float32, where the actor stands in the picture, px.
        places: (N, 2) float32, x and z on the ground in metres.
        speeds_m_s: (N,) float32 on the ground.
    """

    time_s: float
    ids: IntArray
    labels: IntArray
    boxes: FloatArray
    visibility: FloatArray
    actions: IntArray
    feet: FloatArray
    places: FloatArray
    speeds_m_s: FloatArray

    def clipped_boxes(self, size: tuple[int, int]) -> FloatArray:
        """(N, 4) boxes cut at the picture's edge."""
        width, height = size
        limits = np.array([width, height, width, height], np.float32)
        boxes: FloatArray = np.clip(self.boxes, 0, limits)
        return boxes


LABELS = ("person", "car")
"""Class names of the generated scenes; COCO's words."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that an alert should tell of.

    Args:
        kind: what happened.
        where: name of the tripwire or zone.
        actor: its id.
        label: its class name.
        time_s: when it happened.
        direction: "a-to-b" or "b-to-a" for crossings; A is at the left hand of one who walks along the wire.
    """

    kind: Literal["cross", "enter", "leave"]
    where: str
    actor: int
    label: str
    time_s: float
    direction: str = ""


def anchors(truth: FrameTruth, size: tuple[int, int]) -> FloatArray:
    """(N, 2) bottom middle of each box that is cut at the picture's edge, fractions of the picture."""
    boxes = truth.clipped_boxes(size)
    points = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1)
    fractions: FloatArray = points / np.array(size, np.float32)
    return fractions


def crossings(
    frames: list[FrameTruth],
    size: tuple[int, int],
    name: str,
    wire: tuple[tuple[float, float], tuple[float, float]],
) -> list[Event]:
    """Every time an actor's path cuts a tripwire.

    Args:
        frames: in the order of time.
        size: (width, height) px.
        name: of the tripwire.
        wire: two points as fractions of the picture.
    """
    start, end = np.array(wire[0]), np.array(wire[1])
    events = []
    previous: dict[int, FloatArray] = {}
    for truth in frames:
        current = dict(zip(truth.ids.tolist(), anchors(truth, size), strict=True))
        for actor, label in zip(truth.ids.tolist(), truth.labels.tolist(), strict=True):
            if actor not in previous:
                continue
            before, now = previous[actor], current[actor]
            side_before, side_now = _side(start, end, before), _side(start, end, now)
            if side_before * side_now < 0 and _side(before, now, start) * _side(before, now, end) < 0:
                # Seen on the screen (y down), a negative turn is at the left hand of the wire.
                direction = "a-to-b" if side_before < 0 else "b-to-a"
                events.append(Event("cross", name, actor, LABELS[label], truth.time_s, direction))
        previous = current
    return events


def zone_changes(
    frames: list[FrameTruth], size: tuple[int, int], name: str, zone: tuple[tuple[float, float], ...]
) -> list[Event]:
    """Every time an actor comes into a zone or leaves it, also by leaving the picture.

    Args:
        frames: in the order of time.
        size: (width, height) px.
        name: of the zone.
        zone: corners as fractions of the picture.
    """
    corners = np.array(zone)
    inside: dict[int, int] = {}
    events = []
    for truth in frames:
        points = anchors(truth, size)
        now = {
            actor: label
            for actor, label, point in zip(truth.ids.tolist(), truth.labels.tolist(), points, strict=True)
            if _inside(corners, point)
        }
        events += [
            Event("leave", name, actor, LABELS[label], truth.time_s)
            for actor, label in inside.items()
            if actor not in now
        ]
        events += [
            Event("enter", name, actor, LABELS[label], truth.time_s)
            for actor, label in now.items()
            if actor not in inside
        ]
        inside = now
    return events


def _side(start: FloatArray, end: FloatArray, point: FloatArray) -> float:
    """Twice the signed area of the triangle."""
    return float((end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0]))


def _inside(corners: FloatArray, point: FloatArray) -> bool:
    """Even-odd rule (Shimrat, Algorithm 112, 1962)."""
    x, y = float(point[0]), float(point[1])
    crossed = False
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            crossed = not crossed
    return crossed
