"""All rules of one camera, evaluated in one pass over its tracks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from agent.errors import DataError
from agent.records import Actions, Alert, Tracks
from agent.rules.conditions import Conditions
from agent.rules.counts import Counts
from agent.rules.crossings import Crossings
from agent.rules.doings import Doings
from agent.rules.kinds import make_rule
from agent.rules.objects import ObjectTable
from agent.rules.paths import Paths
from agent.rules.presence import Presence
from agent.rules.reporter import EndReason, Reporter
from agent.rules.rule import Scene
from agent.rules.schedule import Calendar
from agent.rules.settings import RulesSettings, rule_names
from agent.rules.trace import Trace


class RuleEngine:
    """The rules of one camera.

    Tracks go in, alerts come out. Only places where a track was matched with a detection decide; what a
    tentative track does is kept and told once it is confirmed; a lost track stays where it was last seen
    until it is removed. See `ObjectTable`, `Presence` and `Crossings` for the facts, and each kind's module
    for what it does at its edges.

    Args:
        settings: zones, tripwires and rules.
        labels: class names of the model, by index; empty when not known.
        new_id: gives every incident its id.
        trace: where to keep the reasoning; None to keep none.
        actions: names of the actions that are told of the tracks; empty when none are.
        blind_after_s: incidents end when nothing was seen for so long; None: they wait for the next frame.

    Raises:
        ConfigError: a rule names a class or an action that the model does not have.
    """

    def __init__(
        self,
        settings: RulesSettings,
        *,
        labels: tuple[str, ...],
        new_id: Callable[[], str],
        trace: Trace | None = None,
        actions: tuple[str, ...] = (),
        blind_after_s: float | None = None,
    ) -> None:
        self._blind_after_s = math.inf if blind_after_s is None else blind_after_s
        self._sees, self._blind_s = False, -math.inf
        self.names = rule_names(settings.rules)
        """Name of each rule, in the order of the settings."""
        self._table = ObjectTable(settings.rejoin_s)
        self._paths = Paths(self._table)
        self._presence = Presence(settings.zones, self._table)
        self._crossings = Crossings(settings.tripwires, self._table)
        self._doings = Doings(self.names, settings.rules, actions, self._table)
        self._reporter = Reporter(self._table, self._paths, labels, new_id, self._doings)
        self._conditions = Conditions(self.names, settings.rules, labels, self._table, self._doings)
        self._counts = Counts(
            tuple(settings.zones),
            tuple(settings.tripwires),
            settings.timezone,
            self._table,
            self._presence,
            self._reporter,
        )
        self._reporter.counts_of = self._counts.of_subject
        self._scene = Scene(
            self._table, self._presence, self._crossings, self._conditions, self._reporter, trace
        )
        self._rules = [
            make_rule(row, name, rule, self._scene, ground=settings.ground, labels=labels)
            for row, (name, rule) in enumerate(zip(self.names, settings.rules, strict=True))
        ]
        self._calendars = [Calendar(rule.schedule, settings.timezone) for rule in settings.rules]
        self._configured = {name: rule.armed for name, rule in zip(self.names, settings.rules, strict=True)}
        self._armed = dict(self._configured)

    def update(
        self,
        tracks: Tracks,
        time_s: float,
        wall_s: float,
        frame_size: tuple[int, int],
        actions: Actions | None = None,
    ) -> list[Alert]:
        """Evaluate all rules on the tracks of one frame; call it for frames without tracks too.

        Args:
            tracks: all tracks of the camera, of every state.
            time_s: of the frame, monotonic.
            wall_s: of the frame, seconds since 1970 (UTC).
            frame_size: (width, height) in px that the tracks' boxes refer to.
            actions: what the tracks do; None where nobody looks.

        Returns:
            What happened, in the order of the rules.

        Raises:
            ValueError: time runs backwards.
        """
        ends = self.look_for_nothing(time_s)
        time_s = max(time_s, self._blind_s)  # frames may have been on their way
        self._sees = True
        if time_s < self._table.time_s:
            raise ValueError(f"time_s: expected at least {self._table.time_s}, got {time_s}")
        self._table.update(tracks, time_s, frame_size)
        if actions is not None:
            self._doings.observe(tracks, actions)
        return ends + self._evaluate(wall_s)

    def look_for_nothing(self, time_s: float) -> list[Alert]:
        """What is told while no frame comes: the end of all incidents, once, `blind_after_s` after the last.

        A camera that is lost or paused tells nothing of who left or stayed. Objects are forgotten, and so is
        how many are in a zone. Called or not, the next `update` tells the same.

        Args:
            time_s: now, monotonic.
        """
        blind_s = self._table.time_s + self._blind_after_s
        if not self._sees or time_s < blind_s:
            return []
        self._sees, self._blind_s = False, blind_s
        return self._end_all(blind_s, self._reporter.wall_s + self._blind_after_s, "blind")

    def close(self, time_s: float, wall_s: float) -> list[Alert]:
        """End every incident: the camera stops or its rules are replaced.

        That the camera stops does not mean that anyone left, so nothing else is told but crossings that had
        happened and waited for `settle_s`. Objects are forgotten; armed rules and counts are kept. `update`
        may be called again.

        Returns:
            The ends.
        """
        return self._end_all(time_s, wall_s, "stopped")

    def _end_all(self, time_s: float, wall_s: float, reason: EndReason) -> list[Alert]:
        self._table.time_s = max(time_s, self._table.time_s)
        self._table.dismiss_all()
        self._reporter.ending = reason
        ends = self._evaluate(wall_s)
        self._reporter.ending = None
        return ends

    def _evaluate(self, wall_s: float) -> list[Alert]:
        scene = self._scene
        self._reporter.wall_s = wall_s
        self._reporter.forget_expired()
        self._paths.update()
        scene.passages = self._presence.update()
        scene.crossed = self._crossings.update(ending=self._reporter.ending is not None)
        for motion in scene.motions.values():
            motion.update()
        for rest in scene.rests.values():
            rest.update()
        self._conditions.update()
        self._counts.update(scene.passages, scene.crossed, wall_s)
        for rule, calendar in zip(self._rules, self._calendars, strict=True):
            rule.on_duty = self._armed[rule.name] and calendar.on_duty(wall_s)
            rule.update()
            if rule.explaining and np.count_nonzero(self._table.gone):
                rule.note_gone()
        self._table.evict()
        return self._reporter.take()

    @property
    def armed(self) -> Mapping[str, bool]:
        """Whether each rule is armed, by name."""
        return dict(self._armed)

    def set_armed(self, armed: bool, rule: str | None = None) -> None:
        """Arm or disarm one rule, or all; open incidents of a disarmed rule end with the next frame.

        Raises:
            KeyError: there is no such rule.
        """
        if rule is not None and rule not in self._armed:
            raise KeyError(rule)
        for name in self.names if rule is None else (rule,):
            self._armed[name] = armed

    def counts(self) -> dict[str, Any]:
        """Counts per tripwire and zone; see `Counts.snapshot`."""
        return self._counts.snapshot()

    def reset_counts(self, name: str | None = None) -> None:
        """Set the counts of one zone or tripwire to nothing, or all."""
        self._counts.reset(name)

    @property
    def objects(self) -> int:
        """How many objects are remembered."""
        return len(self._table)

    def export_state(self) -> dict[str, Any]:
        """What a restart must not lose, JSON types only: counts, and rules armed otherwise than configured.

        A rule that is armed as its configuration says is left out: the next configuration decides on it.
        """
        switched = {name: armed for name, armed in self._armed.items() if armed != self._configured[name]}
        return {"version": 1, "armed": switched, "counts": self._counts.export_state()}

    def import_state(self, state: Mapping[str, Any]) -> None:
        """Go on from an exported state; what the configuration no longer has is dropped.

        Raises:
            DataError: it is not such a state; nothing is changed then.
        """
        armed = state.get("armed")
        if state.get("version") != 1 or not isinstance(armed, dict):
            raise DataError(
                "saved rule state", "expected version 1 with armed and counts, got something else"
            )
        wrong = [name for name, value in armed.items() if not isinstance(value, bool)]
        if wrong:
            raise DataError(
                f"saved rule state armed.{wrong[0]}", f"expected true or false, got {armed[wrong[0]]!r}"
            )
        self._counts.import_state(state.get("counts") or {})
        self._armed.update({name: value for name, value in armed.items() if name in self._armed})
