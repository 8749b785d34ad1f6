"""What all kinds of rules share: the facts that they look at and how they tell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.records import BoolArray
from agent.rules.conditions import Conditions
from agent.rules.crossings import Crossing, Crossings
from agent.rules.motion import Motion
from agent.rules.objects import REST_MOVE, ObjectTable
from agent.rules.presence import Passage, Presence
from agent.rules.reporter import Reporter, Subject
from agent.rules.rest import Rest
from agent.rules.rule_settings import RuleBase
from agent.rules.trace import Decision, Trace


@dataclass(slots=True)
class Scene:
    """The facts of one frame, found once and shared by all rules of a camera."""

    table: ObjectTable
    presence: Presence
    crossings: Crossings
    conditions: Conditions
    reporter: Reporter
    trace: Trace | None
    passages: list[Passage] = field(default_factory=list)
    """Enterings and leavings of this frame."""
    crossed: list[Crossing] = field(default_factory=list)
    """Crossings of this frame."""
    motions: dict[float, Motion] = field(default_factory=dict)
    rests: dict[float, Rest] = field(default_factory=dict)

    def motion(self, window_s: float) -> Motion:
        """Velocities over a window, shared by all rules that ask for the same."""
        if window_s not in self.motions:
            self.motions[window_s] = Motion(self.table, window_s)
        return self.motions[window_s]

    def rest(self, max_move: float) -> Rest:
        """Objects at rest, shared by all rules that ask for the same tolerance."""
        if max_move == REST_MOVE:
            return self.table.rest
        if max_move not in self.rests:
            self.rests[max_move] = Rest(self.table, max_move)
        return self.rests[max_move]


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
        if not self.on_duty:
            return np.zeros(self.scene.table.capacity, np.bool_)
        counted: BoolArray = self.scene.conditions.counted[self.row]
        return counted

    def counted_with(self, is_open: BoolArray) -> BoolArray:
        """(C,) `counted`, and objects with an open incident whose size or action is wrong for a moment only.

        Args:
            is_open: (C,) objects whose incident has begun and not ended.
        """
        conditions = self.scene.conditions
        if not self.on_duty or conditions.lasting is conditions.counted:
            return self.counted
        counted: BoolArray = conditions.counted[self.row] | (conditions.lasting[self.row] & is_open)
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

    @property
    def explaining(self) -> bool:
        """Whether to note also what speaks against an alert: someone asked for the reasoning."""
        return self.scene.trace is not None

    def note_gone(self) -> None:
        """Note which conditions the objects that are gone in this frame did not meet."""
        table = self.scene.table
        for slot in np.flatnonzero(table.gone & table.believed).tolist():
            unmet = self.scene.conditions.unmet(self.row, slot)
            if unmet:
                self.note("conditions not met", slot, unmet)

    def tell(
        self,
        subject: Subject,
        evidence: Mapping[str, Any],
        started_s: float | None = None,
        *,
        at_end: bool = False,
    ) -> None:
        """Report what happened at once, and note what silenced it, if anything; see `Reporter.instant`."""
        reporter = self.scene.reporter
        told = reporter.instant(subject, evidence, started_s, at_end=at_end)
        why = "camera stops" if reporter.ending and not at_end else "cooldown"
        self.note(
            f"told {subject.kind}" if told else f"silent {subject.kind} ({why})", subject.slot, evidence
        )

    def place(self, x: float, y: float) -> list[float]:
        """A place in picture heights as evidence: fractions of the picture's width and height."""
        width, height = self.scene.table.frame_size
        return [round(x * height / width, 4), round(y, 4)]
