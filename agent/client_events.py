"""What a receiver is told of, and which alerts it wants."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import TypeAlias

from agent.alerts.schema import AlertPayload
from agent.alerts.track_stream import TracksPayload
from agent.errors import ConfigError
from agent.records import Phase


@dataclass(frozen=True, slots=True)
class SequenceGap:
    """Alerts of a device that did not come in time (they may come later): lost, or dropped by a full outbox.

    Args:
        device: its name.
        first, last: sequence numbers of the missing ones.
    """

    device: str
    first: int
    last: int

    def __str__(self) -> str:
        return (
            f"{self.device}: {self.last - self.first + 1} alerts missing, numbers {self.first} to {self.last}"
        )


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A device came or went; told for each at the start too.

    Args:
        device: its name.
        online: whether it has a connection to the broker.
    """

    device: str
    online: bool

    def __str__(self) -> str:
        return f"{self.device}: {'online' if self.online else 'offline'}"


@dataclass(frozen=True, slots=True)
class SnapshotPicture:
    """The picture of a rule's last alert; those that the broker keeps are told at the start too.

    Args:
        device, camera, rule: names.
        jpeg: the picture.
    """

    device: str
    camera: str
    rule: str
    jpeg: bytes

    @property
    def sha256(self) -> str:
        """Hexadecimal; an alert's `snapshot.sha256` names the picture that belongs to it."""
        return hashlib.sha256(self.jpeg).hexdigest()


Event: TypeAlias = AlertPayload | SequenceGap | DeviceStatus | SnapshotPicture | TracksPayload


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts are wanted. What is left empty takes all; names may hold `*` and `?`.

    Args:
        cameras, rules, kinds: names of them.
        phases: start, update, end or instant.
        labels: class names; alerts of no object do not fit.
        min_score: of the object's last detection; alerts of no object fit.

    Raises:
        ConfigError: a phase that there is not.
    """

    cameras: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    min_score: float = 0.0

    def __post_init__(self) -> None:
        known = [phase.value for phase in Phase]
        for phase in self.phases:
            if phase not in known:
                raise ConfigError("phase", f"expected one of {', '.join(known)}, got {phase}")

    def takes(self, alert: AlertPayload) -> bool:
        """Whether an alert is wanted."""
        track = alert.track
        return (
            _fits(alert.camera, self.cameras)
            and _fits(alert.rule, self.rules)
            and _fits(alert.kind, self.kinds)
            and _fits(alert.phase.value, self.phases)
            and (not self.labels or (track is not None and _fits(track.label, self.labels)))
            and (track is None or track.score >= self.min_score)
        )

    def __str__(self) -> str:
        given = [(field.name, getattr(self, field.name)) for field in fields(self)]
        shown = [f"{name} {', '.join(value)}" for name, value in given if isinstance(value, tuple) and value]
        return "; ".join(shown + ([f"min_score {self.min_score:g}"] if self.min_score else []))


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
