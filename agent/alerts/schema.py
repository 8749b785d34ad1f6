"""The alert as it travels: payload v1, and the JSON Schema published from the same model.

Within v1 fields may be added, never removed or given another meaning: receivers ignore what they do not know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from ulid import ULID

from agent.records import Alert, Phase, TrackSnapshot

SCHEMA_ID = "urn:edgetrack:alert:1"

Ulid = Annotated[str, Field(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
"""https://github.com/ulid/spec: 26 characters that sort by time."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Normalised = Annotated[float, Field(ge=0.0, le=1.0)]


class Part(BaseModel):
    """Base of all that is sent: fields a receiver does not know are ignored."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, use_attribute_docstrings=True)


class TrackPart(Part):
    """The object that the alert is about."""

    id: int
    """Identity within its camera, until the agent restarts."""
    label: str
    """Class name."""
    score: Normalised
    """Score of the last detection."""
    box: tuple[Normalised, Normalised, Normalised, Normalised]
    """[left, top, right, bottom] as fractions of the picture, cut at its edges."""
    box_px: tuple[Number, Number, Number, Number]
    """[left, top, right, bottom] in px of the picture."""
    first_seen_s: Number
    """Monotonic seconds."""
    last_seen_s: Number
    """Monotonic seconds."""
    age_s: Number
    """From first to last sight."""
    velocity_px_s: tuple[Number, Number]
    """[x, y] of the box centre, px/s; y points down."""
    path: list[tuple[Normalised, Normalised]] = []
    """[x, y] of the object's anchor as fractions of the picture, oldest first, simplified."""
    action: str | None = None
    """What it does: walk, run, stand, fall, loiter …; left out where nothing is known."""
    action_score: Normalised | None = None
    """Of the action; left out with it."""


class FramePart(Part):
    """The picture that boxes in px refer to."""

    width: Annotated[int, Field(ge=1)]
    """px"""
    height: Annotated[int, Field(ge=1)]
    """px"""


class ModelPart(Part):
    """The model that saw it."""

    name: str
    """As in the model's spec."""
    version: str = "0"
    """As in the model's spec."""


class SnapshotPart(Part):
    """The picture that belongs to the alert."""

    topic: str
    """Where the JPEG is retained."""
    sha256: str
    """Of the JPEG: the topic may hold a later alert's picture by now."""
    width: Annotated[int, Field(ge=1)]
    """px"""
    height: Annotated[int, Field(ge=1)]
    """px"""


class AlertPayload(Part):
    """One alert, version 1."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of this payload."""
    id: Ulid
    """Of this message: a redelivery carries the same."""
    incident: Ulid
    """Shared by start, updates and end of one incident."""
    sequence: Annotated[int, Field(ge=1)]
    """Counts the device's alerts. Cameras may overtake each other: a number that never comes is a loss, one
    that is not above the last of its own camera a device that lost its outbox."""
    device: str
    """Name of the device."""
    camera: str
    """Name of the camera; `agent` for alerts of the device itself."""
    rule: str
    """Name of the rule; `agent` for what no rule found."""
    kind: str
    """What happened: enter, leave, cross, dwell …"""
    phase: Phase
    """start, update, end; or instant, which is the whole incident."""
    time: datetime
    """When it happened: RFC 3339, UTC."""
    clock_synchronised: bool
    """Whether the device's wall clock followed a time server; if not, `time` may be far off."""
    monotonic_s: Number
    """When it happened, on the device's monotonic clock (a file's own time, where the source is a file)."""
    started_s: Number
    """When the incident began, on the same clock."""
    duration_s: Number
    """From the incident's begin to this alert."""
    frame: FramePart | None = None
    """Size of the picture; left out for alerts of the device itself."""
    track: TrackPart | None = None
    """Left out for incidents of a whole zone or camera."""
    zone: str | None = None
    """Name of the zone."""
    tripwire: str | None = None
    """Name of the tripwire."""
    counts: dict[str, int] = {}
    """Counts that belong to the rule, such as crossings by direction or objects in the zone."""
    evidence: dict[str, Any] = {}
    """The conditions and values that decided."""
    snapshot: SnapshotPart | None = None
    """Left out where the rule takes no picture."""
    model: ModelPart | None = None
    """Left out for detectors without a model."""

    def to_json(self) -> bytes:
        """As sent: UTF-8, without the parts that are left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


def new_id() -> str:
    """A ULID of now."""
    return str(ULID())


def build_payload(
    alert: Alert,
    *,
    id: str,  # noqa: A002 - the field's name
    sequence: int,
    device: str,
    camera: str,
    clock_synchronised: bool,
    model: ModelPart | None = None,
    snapshot: SnapshotPart | None = None,
) -> AlertPayload:
    """The payload that tells of `alert`; a pure function.

    Values that JSON does not have (NaN, infinity, NumPy scalars) become null or their plain counterpart.

    Raises:
        pydantic.ValidationError: the alert breaks the contract: an incident that is no ULID, for instance.
    """
    width, height = alert.frame_size
    return AlertPayload(
        id=id,
        incident=alert.incident,
        sequence=sequence,
        device=device,
        camera=camera,
        rule=alert.rule,
        kind=alert.kind,
        phase=alert.phase,
        time=datetime.fromtimestamp(round(alert.wall_s, 3), UTC),
        clock_synchronised=clock_synchronised,
        monotonic_s=round(alert.time_s, 3),
        started_s=round(alert.started_s, 3),
        duration_s=round(max(alert.time_s - alert.started_s, 0.0), 3),
        frame=FramePart(width=width, height=height) if width and height else None,
        track=_track(alert.track, width, height) if alert.track is not None else None,
        zone=alert.zone,
        tripwire=alert.tripwire,
        counts={str(name): int(count) for name, count in alert.counts.items()},
        evidence={str(name): _plain(value) for name, value in alert.evidence.items()},
        snapshot=snapshot,
        model=model,
    )


def _track(track: TrackSnapshot, width: int, height: int) -> TrackPart:
    left, top, right, bottom = (_finite(value) for value in track.box)
    return TrackPart(
        id=int(track.id),
        label=track.label,
        score=_fraction(track.score, 1.0),
        box=(
            _fraction(left, width),
            _fraction(top, height),
            _fraction(right, width),
            _fraction(bottom, height),
        ),
        box_px=(round(left, 1), round(top, 1), round(right, 1), round(bottom, 1)),
        first_seen_s=round(float(track.first_seen_s), 3),
        last_seen_s=round(float(track.last_seen_s), 3),
        age_s=round(float(track.age_s), 3),
        velocity_px_s=(round(_finite(track.velocity[0]), 1), round(_finite(track.velocity[1]), 1)),
        path=[(_fraction(x, width), _fraction(y, height)) for x, y in track.path],
        action=track.action,
        action_score=None if track.action_score is None else _fraction(track.action_score, 1.0),
    )


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0


def _fraction(value: float, whole: float) -> float:
    return round(min(max(_finite(value) / whole, 0.0), 1.0), 4)


def _plain(value: Any) -> Any:
    """`value` in JSON's own types."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the payload."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **AlertPayload.model_json_schema(by_alias=True, mode="serialization"),
        "title": "Edgetrack alert, version 1",
    }
