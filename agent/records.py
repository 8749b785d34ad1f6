"""The words that every stage speaks: frames, detections, tracks and alerts.

Detections and tracks are structures of arrays: one array per property, one row per object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
ImageArray: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and when it was taken.

    Args:
        image: (H, W, 3) uint8, BGR.
        time_s: capture time on the monotonic clock; for files the position in the recording, so that
            durations are right however fast the file is processed.
        wall_s: capture time, seconds since 1970 (UTC).
        index: 0, 1, 2 … within the source; dropped frames leave gaps.
    """

    image: ImageArray
    time_s: float
    wall_s: float
    index: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        return self.image.shape[1], self.image.shape[0]


_FLOAT, _INT = np.dtype(np.float32), np.dtype(np.int64)
_DETECTIONS = (("boxes", (4,), _FLOAT), ("scores", (), _FLOAT), ("labels", (), _INT))
_TRACKS = (
    ("ids", (), _INT),
    ("boxes", (4,), _FLOAT),
    ("velocities", (2,), _FLOAT),
    ("scores", (), _FLOAT),
    ("labels", (), _INT),
    ("states", (), _INT),
    ("age_s", (), _FLOAT),
    ("since_seen_s", (), _FLOAT),
)


def _check(owner: object, layout: tuple[tuple[str, tuple[int, ...], np.dtype[Any]], ...]) -> None:
    """Check every array of a record against its shape after the first axis and its dtype."""
    rows = len(getattr(owner, layout[0][0]))
    for name, tail, dtype in layout:
        value = getattr(owner, name)
        if not isinstance(value, np.ndarray) or value.shape != (rows, *tail) or value.dtype != dtype:
            got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise ValueError(
                f"{type(owner).__name__}.{name}: expected {dtype.name} {(rows, *tail)}, got {got}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector found in one frame.

    Args:
        boxes: (N, 4) float32, xyxy in px of the source frame.
        scores: (N,) float32 in 0..1.
        labels: (N,) int64, index into the model's label list.

    Raises:
        ValueError: a shape or dtype is not as above.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray

    def __post_init__(self) -> None:
        _check(self, _DETECTIONS)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: BoolArray | IntArray | slice) -> Detections:
        return Detections(self.boxes[rows], self.scores[rows], self.labels[rows])

    @classmethod
    def empty(cls) -> Detections:
        """No detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


class TrackState(IntEnum):
    """Where a track is in its life."""

    TENTATIVE = 0
    """Seen, not yet often enough to be believed."""
    CONFIRMED = 1
    """Believed, and matched with a detection in this frame."""
    LOST = 2
    """Believed, and not matched in this frame: its box is a prediction."""
    REMOVED = 3
    """Given up: reported in this one frame so that others can drop their state, then gone."""


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """All tracks of one tracker after one frame.

    Args:
        ids: (N,) int64, never reused within a tracker.
        boxes: (N, 4) float32, xyxy in px of the source frame.
        velocities: (N, 2) float32, of the box centre, px/s.
        scores: (N,) float32 in 0..1: of the last matched detection.
        labels: (N,) int64, index into the model's label list.
        states: (N,) int64, of `TrackState`.
        age_s: (N,) float32, since the first detection.
        since_seen_s: (N,) float32, since the last matched detection; 0 when matched in this frame.

    Raises:
        ValueError: a shape or dtype is not as above.
    """

    ids: IntArray
    boxes: FloatArray
    velocities: FloatArray
    scores: FloatArray
    labels: IntArray
    states: IntArray
    age_s: FloatArray
    since_seen_s: FloatArray

    def __post_init__(self) -> None:
        _check(self, _TRACKS)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: BoolArray | IntArray | slice) -> Tracks:
        return Tracks(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def empty(cls) -> Tracks:
        """No tracks."""
        number, whole = np.zeros(0, np.float32), np.zeros(0, np.int64)
        return cls(whole, number.reshape(0, 4), number.reshape(0, 2), number, whole, whole, number, number)

    @property
    def visible(self) -> Tracks:
        """The confirmed tracks that were matched in this frame."""
        return self[self.states == TrackState.CONFIRMED]


_ACTIONS = (("labels", (), _INT), ("scores", (), _FLOAT))


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """What tracks do, one row for each row of a `Tracks`.

    Args:
        labels: (N,) int64, index into the action model's labels; -1 where nothing is known.
        scores: (N,) float32 in 0..1; 0 where nothing is known.

    Raises:
        ValueError: a shape or dtype is not as above.
    """

    labels: IntArray
    scores: FloatArray

    def __post_init__(self) -> None:
        _check(self, _ACTIONS)

    def __len__(self) -> int:
        return len(self.labels)


class Phase(StrEnum):
    """Where an incident is when an alert speaks of it."""

    START = "start"
    UPDATE = "update"
    END = "end"
    INSTANT = "instant"
    """The whole incident: a tripwire crossed, a zone entered."""


@dataclass(frozen=True, slots=True)
class TrackSnapshot:
    """One track as an alert tells of it.

    Args:
        id: the track's id within its camera's tracker.
        label: class name.
        score: 0..1.
        box: xyxy in px of the source frame.
        first_seen_s, last_seen_s: monotonic.
        velocity: px/s of the box centre.
        path: ((x, y), …) anchor points in px, oldest first, simplified.
        action: what it does; None where nothing is known.
        action_score: 0..1.
    """

    id: int
    label: str
    score: float
    box: tuple[float, float, float, float]
    first_seen_s: float
    last_seen_s: float
    velocity: tuple[float, float]
    path: tuple[tuple[float, float], ...] = ()
    action: str | None = None
    action_score: float | None = None

    @property
    def age_s(self) -> float:
        """Seconds between first and last sight."""
        return self.last_seen_s - self.first_seen_s


@dataclass(frozen=True, slots=True)
class Alert:
    """What a rule found, before it has an address.

    Args:
        rule: the rule's name in the configuration.
        kind: what happened: "enter", "leave", "cross", "dwell" …
        phase: start, update and end share one `incident`.
        incident: ULID of the incident.
        time_s, wall_s: when it happened: monotonic, and seconds since 1970 (UTC).
        frame_size: (width, height) in px that boxes and paths refer to.
        started_s: monotonic time at which the incident began.
        track: the track that it is about; None for those of a whole zone or camera.
        zone, tripwire: names in the configuration, or None.
        evidence: the conditions and values that decided, JSON types only.
        counts: numbers that the rule keeps, such as crossings by direction or objects in the zone.
    """

    rule: str
    kind: str
    phase: Phase
    incident: str
    time_s: float
    wall_s: float
    frame_size: tuple[int, int]
    started_s: float
    track: TrackSnapshot | None = None
    zone: str | None = None
    tripwire: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
