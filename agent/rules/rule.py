"""What all kinds of rules share: the scene they look at, waiting for belief, and lasting incidents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from agent.geometry.polygons import Float64Array
from agent.records import BoolArray
from agent.rules.conditions import Conditions
from agent.rules.crossings import Crossing, Crossings
from agent.rules.objects import ObjectTable
from agent.rules.presence import Passage, Presence
from agent.rules.reporter import Incident, Reporter, Subject
from agent.rules.rule_settings import RuleBase
from agent.rules.trace import Decision, Trace

Event = TypeVar("Event")


@dataclass(slots=True)
class Scene:
    """The facts of one frame, found once and shared by all rules of a camera."""

    table: ObjectTable
    presence: Presence
    crossings: Crossings
    conditions: Conditions
    reporter: Reporter
    trace: Trace | None
    passages: list[Passage]
    """Enterings and leavings of this frame."""
    crossed: list[Crossing]
    """Crossings of this frame."""


class Rule(ABC):
    """One rule of one camera.

    Args:
        row: of the rule among the camera's.
        name: unique within the camera.
        settings: its section.
        scene: the shared facts, renewed in every frame.
    """

    def __init__(self, row: int, name: str, settings: RuleBase, scene: Scene) -> None:
        self.row = row
        self.name = name
        self.base = settings
        self.scene = scene
        self.on_duty = True
        """Armed and within its schedule, in this frame."""

    @abstractmethod
    def update(self) -> None:
        """Look at the facts of this frame and report."""

    @property
    def meant(self) -> BoolArray:
        """(C,) objects that this rule looks at, whatever their size."""
        meant: BoolArray = self.scene.conditions.meant[self.row]
        return meant

    @property
    def counted(self) -> BoolArray:
        """(C,) objects that this rule looks at, present and of the right size; none while off duty."""
        table = self.scene.table
        if not self.on_duty:
            return np.zeros(table.capacity, np.bool_)
        counted: BoolArray = self.meant & self.scene.conditions.sized[self.row] & table.present
        return counted

    def zone_row(self, name: str) -> int:
        """Row of a zone in the shared facts."""
        return self.scene.presence.names.index(name)

    def inside(self, zone: int | None) -> BoolArray:
        """(C,) objects inside a zone; all for None."""
        if zone is None:
            return np.ones(self.scene.table.capacity, np.bool_)
        inside: BoolArray = self.scene.presence.inside[zone]
        return inside

    def subject(
        self, kind: str, slot: int | None = None, zone: str | None = None, tripwire: str | None = None
    ) -> Subject:
        """What an alert of this rule is about."""
        return Subject(self.name, self.base, kind, slot, zone, tripwire)

    def note(self, step: str, slot: int | None, values: Mapping[str, Any]) -> None:
        """Keep a step of the reasoning, when anyone asked for it."""
        trace, table = self.scene.trace, self.scene.table
        if trace is not None:
            track = None if slot is None else int(table.ids[slot])
            trace.add(Decision(table.time_s, self.name, track, step, dict(values)))

    def tell(self, subject: Subject, evidence: Mapping[str, Any], started_s: float | None = None) -> None:
        """Report what happened at once, and note whether a cooldown silenced it."""
        told = self.scene.reporter.instant(subject, evidence, started_s)
        self.note(
            f"told {subject.kind}" if told else f"silent {subject.kind} (cooldown)", subject.slot, evidence
        )

    def place(self, x: float, y: float) -> list[float]:
        """A place in picture heights as evidence: fractions of the picture's width and height."""
        width, height = self.scene.table.frame_size
        return [round(x * height / width, 4), round(y, 4)]


class Awaited(Generic[Event]):
    """What objects did before a rule may tell of it: they are not confirmed, too young or not sure enough.

    Args:
        rule: whose conditions are waited for.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._events: list[tuple[int, Event]] = []

    def __len__(self) -> int:
        return len(self._events)

    def add(self, slot: int, event: Event, values: Mapping[str, Any]) -> None:
        """Keep an event if the rule is on duty and the object has the right size now."""
        rule = self._rule
        unmet = rule.scene.conditions.unmet(rule.row, slot)
        if not rule.on_duty:
            rule.note("off duty", slot, values)
        elif "area" in unmet:
            rule.note("not told", slot, {**values, **unmet})
        else:
            if unmet:
                rule.note("waits", slot, {**values, **unmet})
            self._events.append((slot, event))

    def due(self) -> list[tuple[int, Event]]:
        """Take out the events whose objects now meet the conditions; drop those whose objects are gone."""
        if not self._events:
            return []
        rule = self._rule
        meant, gone = rule.meant, rule.scene.table.gone
        due = [(slot, event) for slot, event in self._events if meant[slot]]
        for slot, _ in self._events:
            if gone[slot] and not meant[slot]:
                rule.note("never told", slot, rule.scene.conditions.unmet(rule.row, slot))
        self._events = [(slot, event) for slot, event in self._events if not meant[slot] and not gone[slot]]
        return due


class TrackIncidents:
    """The lasting incidents of one rule, at most one for each object.

    Args:
        rule: that reports them.
        kind: of the alerts.
        zone: name, or None.
    """

    def __init__(self, rule: Rule, kind: str, zone: str | None) -> None:
        self._rule = rule
        self._kind = kind
        self._zone = zone
        self._open = rule.scene.table.column(np.bool_, 0)
        self._incidents: dict[int, Incident] = {}

    def __len__(self) -> int:
        return len(self._incidents)

    def update(
        self, holds: BoolArray, started_s: Float64Array, evidence: Callable[[int], Mapping[str, Any]]
    ) -> None:
        """Begin, tell of again and end incidents.

        Args:
            holds: (C,) objects whose incident lasts.
            started_s: (C,) when it began, used where `holds`.
            evidence: what decided, by slot.
        """
        is_open = self._open.data
        if not (holds.any() or self._incidents):
            return
        rule = self._rule
        reporter, now_s = rule.scene.reporter, rule.scene.table.time_s
        for slot in np.flatnonzero(holds & ~is_open).tolist():
            subject = rule.subject(self._kind, slot, self._zone)
            values = evidence(slot)
            incident = reporter.start(subject, float(started_s[slot]), values)
            if incident is not None:
                self._incidents[slot] = incident
                is_open[slot] = True
                rule.note(f"began {self._kind}", slot, values)
        for slot in np.flatnonzero(is_open & ~holds).tolist():
            incident = self._incidents.pop(slot)
            is_open[slot] = False
            values = {"duration_s": round(now_s - incident.started_s, 3), "reason": self._reason(slot)}
            reporter.end(incident, values)
            rule.note(f"ended {self._kind}", slot, values)
        every_s = rule.base.update_every_s
        if every_s is not None:
            for slot, incident in self._incidents.items():
                if now_s - incident.told_s >= every_s:
                    reporter.update(incident, evidence(slot))

    def _reason(self, slot: int) -> str:
        if not self._rule.on_duty:
            return "off duty"
        return "vanished" if self._rule.scene.table.gone[slot] else "over"
