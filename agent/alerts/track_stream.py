"""Everything in sight, a few times a second: the stream `<camera>/tracks`, where it is switched on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from pydantic import Field

from agent.alerts.clock import clock_synchronised
from agent.alerts.schema import FramePart, Normalised, Number, Part
from agent.records import Tracks, TrackState

SCHEMA_ID = "urn:edgetrack:tracks:1"


class StreamedTrack(Part):
    """One object."""

    id: int
    """Identity within its camera, until the agent restarts; as in alerts."""
    label: str
    """Class name."""
    score: Normalised
    """Score of the last detection."""
    state: Literal["confirmed", "lost"]
    """confirmed: seen in this picture; lost: not, its box is a forecast."""
    box: tuple[Normalised, Normalised, Normalised, Normalised]
    """[left, top, right, bottom] as fractions of the picture, cut at its edges."""
    box_px: tuple[Number, Number, Number, Number]
    """[left, top, right, bottom] in px of the picture."""
    velocity_px_s: tuple[Number, Number]
    """[x, y] of the box centre, px/s; y points down."""
    age_s: Number
    """Since the first detection."""
    since_seen_s: Number
    """Since the last detection; 0 when seen in this picture."""


class TracksPayload(Part):
    """The objects that one picture shows, version 1; fields may be added."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of this payload."""
    device: str
    """Name of the device."""
    camera: str
    """Name of the camera."""
    time: datetime
    """Of the picture: RFC 3339, UTC."""
    clock_synchronised: bool
    """Whether the device's wall clock followed a time server."""
    monotonic_s: Number
    """Of the picture, on the device's monotonic clock (a file's own time, where the source is a file)."""
    frame: FramePart
    """Size of the picture."""
    tracks: list[StreamedTrack]
    """All that are believed; empty once when the last one is gone, and silence until there are some."""

    def to_json(self) -> bytes:
        """As sent: UTF-8."""
        return self.model_dump_json(by_alias=True).encode()


def build_tracks(
    tracks: Tracks,
    labels: Sequence[str],
    *,
    device: str,
    camera: str,
    time_s: float,
    wall_s: float,
    frame_size: tuple[int, int],
    synchronised: bool,
) -> TracksPayload:
    """The payload that tells of the confirmed and lost tracks of one frame.

    Args:
        tracks: of every state.
        labels: class names, by index.
        device, camera: names.
        time_s, wall_s: of the frame: monotonic, and seconds since 1970 (UTC).
        frame_size: (width, height) px.
        synchronised: whether the wall clock followed a time server.
    """
    shown = tracks[(tracks.states == TrackState.CONFIRMED) | (tracks.states == TrackState.LOST)]
    width, height = frame_size
    sides = np.array([width, height, width, height], np.float64)
    boxes_px = np.nan_to_num(shown.boxes.astype(np.float64), posinf=0.0, neginf=0.0)
    rows = zip(
        shown.ids.tolist(),
        shown.labels.tolist(),
        np.clip(np.nan_to_num(shown.scores.astype(np.float64)), 0.0, 1.0).round(4).tolist(),
        (shown.states == TrackState.CONFIRMED).tolist(),
        (np.clip(boxes_px / sides, 0.0, 1.0)).round(4).tolist(),
        boxes_px.round(1).tolist(),
        np.nan_to_num(shown.velocities.astype(np.float64), posinf=0.0, neginf=0.0).round(1).tolist(),
        shown.age_s.astype(np.float64).round(3).tolist(),
        shown.since_seen_s.astype(np.float64).round(3).tolist(),
        strict=True,
    )
    return TracksPayload(
        device=device,
        camera=camera,
        time=datetime.fromtimestamp(round(wall_s, 3), UTC),
        clock_synchronised=synchronised,
        monotonic_s=round(time_s, 3),
        frame=FramePart(width=width, height=height),
        tracks=[
            StreamedTrack(
                id=track,
                label=labels[label] if 0 <= label < len(labels) else str(label),
                score=score,
                state="confirmed" if seen else "lost",
                box=box,
                box_px=box_px,
                velocity_px_s=velocity,
                age_s=age_s,
                since_seen_s=since_seen_s,
            )
            for track, label, score, seen, box, box_px, velocity, age_s, since_seen_s in rows
        ],
    )


class TrackStream:
    """Publishes the tracks of one camera, so many times a second at most.

    Args:
        device, camera: names.
        labels: class names, by index.
        per_s: messages a second, at most; of real time, however fast a file is processed.
        send: publishes a payload; never waits.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        device: str,
        camera: str,
        labels: Sequence[str],
        per_s: float,
        send: Callable[[bytes], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._device, self._camera, self._labels = device, camera, labels
        self._period_s = 1.0 / per_s
        self._send = send
        self._clock = clock
        self._due_s = -np.inf
        self._told_any = False

    def update(self, tracks: Tracks, time_s: float, wall_s: float, frame_size: tuple[int, int]) -> None:
        """Take the tracks of one frame; they are sent when it is time."""
        now_s = self._clock()
        if now_s < self._due_s:
            return
        known = (tracks.states == TrackState.CONFIRMED) | (tracks.states == TrackState.LOST)
        if not (known.any() or self._told_any):
            return
        self._told_any = bool(known.any())
        # Kept to the beat, so that a frame that is a little early does not cost a whole period.
        self._due_s = max(self._due_s + self._period_s, now_s + self._period_s / 2)
        payload = build_tracks(
            tracks,
            self._labels,
            device=self._device,
            camera=self._camera,
            time_s=time_s,
            wall_s=wall_s,
            frame_size=frame_size,
            synchronised=clock_synchronised(),
        )
        self._send(payload.to_json())


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the payload."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **TracksPayload.model_json_schema(by_alias=True, mode="serialization"),
        "title": "Edgetrack tracks, version 1",
    }
