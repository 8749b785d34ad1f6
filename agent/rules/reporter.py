"""From what a rule found to alerts: incidents, cooldowns, and what is told of a track."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agent.records import Alert, Phase, TrackSnapshot
from agent.rules.doings import Doings
from agent.rules.objects import ObjectTable
from agent.rules.paths import Paths
from agent.rules.rule_settings import RuleBase

EndReason = Literal["stopped", "blind"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alert is about.

    Args:
        rule: name.
        settings: of the rule.
        kind: what happened.
        slot: of the object; None for a whole zone or camera.
        zone, tripwire: names, or None.
    """

    rule: str
    settings: RuleBase
    kind: str
    slot: int | None = None
    zone: str | None = None
    tripwire: str | None = None


@dataclass(slots=True)
class Incident:
    """An incident that has begun and not ended."""

    id: str
    subject: Subject
    started_s: float
    told_s: float


class Reporter:
    """Makes the alerts of one camera, in the order in which they are found.

    Args:
        table: the objects.
        paths: where they went.
        labels: class names of the model.
        new_id: gives every incident its id.
        doings: what the objects do.
    """

    def __init__(
        self,
        table: ObjectTable,
        paths: Paths,
        labels: tuple[str, ...],
        new_id: Callable[[], str],
        doings: Doings,
    ) -> None:
        self._table = table
        self._paths = paths
        self._labels = labels
        self._new_id = new_id
        self._doings = doings
        self._quiet_until_s: dict[tuple[str, ...], float] = {}
        self._found: list[Alert] = []
        self.wall_s = 0.0
        self.counts_of: Callable[[Subject], Mapping[str, int]] = lambda _: {}
        """Numbers kept of a subject's place."""
        self.ending: EndReason | None = None
        """Why incidents end, and nothing new happens, while the camera stops or sees nothing any more."""

    def label(self, slot: int) -> str:
        """Class name of an object."""
        index = int(self._table.labels[slot])
        return self._labels[index] if 0 <= index < len(self._labels) else str(index)

    def instant(
        self,
        subject: Subject,
        evidence: Mapping[str, Any],
        started_s: float | None = None,
        *,
        at_end: bool = False,
    ) -> bool:
        """Tell of something that happened at once; False when its cooldown silences it.

        Args:
            subject, evidence: what happened, and what decided.
            started_s: when; None for now.
            at_end: tell of it while the camera stops too: it happened before.
        """
        if (self.ending and not at_end) or self._silent(subject):
            return False
        now_s = self._table.time_s
        self._tell(
            subject, Phase.INSTANT, self._new_id(), now_s if started_s is None else started_s, evidence
        )
        return True

    def start(
        self,
        subject: Subject,
        started_s: float,
        evidence: Mapping[str, Any],
        counts: Mapping[str, int] | None = None,
    ) -> Incident | None:
        """Begin an incident; None when its cooldown silences it."""
        if self.ending or self._silent(subject):
            return None
        incident = Incident(self._new_id(), subject, started_s, self._table.time_s)
        self._tell(subject, Phase.START, incident.id, started_s, evidence, counts)
        return incident

    def update(
        self, incident: Incident, evidence: Mapping[str, Any], counts: Mapping[str, int] | None = None
    ) -> None:
        """Tell of a lasting incident again."""
        incident.told_s = self._table.time_s
        self._tell(incident.subject, Phase.UPDATE, incident.id, incident.started_s, evidence, counts)

    def end(
        self, incident: Incident, evidence: Mapping[str, Any], counts: Mapping[str, int] | None = None
    ) -> None:
        """End an incident."""
        self._tell(incident.subject, Phase.END, incident.id, incident.started_s, evidence, counts)

    def take(self) -> list[Alert]:
        """The alerts since the last call."""
        found, self._found = self._found, []
        return found

    def forget_expired(self) -> None:
        """Drop cooldowns that are over."""
        now_s = self._table.time_s
        if self._quiet_until_s and min(self._quiet_until_s.values()) <= now_s:
            self._quiet_until_s = {key: until for key, until in self._quiet_until_s.items() if until > now_s}

    @property
    def cooldowns(self) -> int:
        """How many cooldowns run."""
        return len(self._quiet_until_s)

    def _silent(self, subject: Subject) -> bool:
        """Whether a cooldown forbids a new incident; if not, its cooldown begins."""
        settings = subject.settings
        if settings.cooldown_s <= 0:
            return False
        if settings.cooldown_per == "zone":
            place = subject.zone or subject.tripwire or ""
            key: tuple[str, ...] = ("zone", place, subject.kind)
        elif settings.cooldown_per == "track" and subject.slot is not None:
            key = ("track", subject.rule, subject.kind, str(int(self._table.ids[subject.slot])))
        else:
            key = ("rule", subject.rule, subject.kind)
        now_s = self._table.time_s
        if self._quiet_until_s.get(key, now_s) > now_s:
            return True
        self._quiet_until_s[key] = now_s + settings.cooldown_s
        return False

    def _tell(
        self,
        subject: Subject,
        phase: Phase,
        incident: str,
        started_s: float,
        evidence: Mapping[str, Any],
        counts: Mapping[str, int] | None = None,
    ) -> None:
        table = self._table
        self._found.append(
            Alert(
                rule=subject.rule,
                kind=subject.kind,
                phase=phase,
                incident=incident,
                time_s=table.time_s,
                wall_s=self.wall_s,
                frame_size=table.frame_size,
                started_s=started_s,
                track=None if subject.slot is None else self._snapshot(subject.slot),
                zone=subject.zone,
                tripwire=subject.tripwire,
                evidence=evidence,
                counts=self.counts_of(subject) if counts is None else counts,
            )
        )

    def _snapshot(self, slot: int) -> TrackSnapshot:
        table = self._table
        height = table.frame_size[1]
        left, top, right, bottom = (table.boxes[:, slot] * height).tolist()
        vx, vy = table.velocities[:, slot].tolist()
        action, action_score = self._doings.of(slot) or (None, None)
        return TrackSnapshot(
            id=int(table.ids[slot]),
            label=self.label(slot),
            score=float(table.scores[slot]),
            box=(left, top, right, bottom),
            first_seen_s=float(table.first_s[slot]),
            last_seen_s=float(table.last_s[slot]),
            velocity=(vx, vy),
            path=tuple((x * height, y * height) for x, y in self._paths.simplified(slot)),
            action=action,
            action_score=action_score,
        )
