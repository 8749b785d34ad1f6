"""Events that wait until a rule may tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from agent.rules.rule import Rule

Event = TypeVar("Event")


_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Event]):
    slot: int
    until_s: float
    kind: str
    event: Event
    values: Mapping[str, Any]


class Awaited(Generic[Event]):
    """What objects did before a rule may tell of it: they are not confirmed, too young or not sure enough.

    An event waits until its object meets the conditions, for ten seconds or the rule's `min_age_s` longer:
    what is older is no news, and an object of another class that trembles on a line must not fill the memory.
    When the rule goes off duty, what waits is dropped.

    Args:
        rule: whose conditions are waited for.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._patience_s = _PATIENCE_S + rule.base.min_age_s
        self._events: list[_Waiting[Event]] = []

    def __len__(self) -> int:
        return len(self._events)

    def add(self, slot: int, kind: str, event: Event, values: Mapping[str, Any]) -> None:
        """Keep an event if the rule is on duty and the object has the right size and action now.

        Args:
            slot: of the object.
            kind: of the alert that it would be.
            event: what `due` gives back.
            values: what to note of it.
        """
        rule = self._rule
        unmet = rule.scene.conditions.unmet(rule.row, slot)
        if not rule.on_duty:
            rule.note("off duty", slot, values)
        elif "area" in unmet or "action" in unmet:
            rule.note("not told", slot, {**values, **unmet})
        else:
            if unmet:
                rule.note("waits", slot, {**values, **unmet})
            until_s = rule.scene.table.time_s + self._patience_s
            self._events.append(_Waiting(slot, until_s, kind, event, values))

    def due(self) -> list[tuple[int, Event]]:
        """Take out the events whose objects now meet the conditions; drop those that waited in vain.

        Off duty, all are dropped.
        """
        if not self._events:
            return []
        rule = self._rule
        if not rule.on_duty:
            for waiting in self._events:
                self._note("off duty", waiting)
            self._events = []
            return []
        meant, gone, now_s = rule.meant, rule.scene.table.gone, rule.scene.table.time_s
        due: list[tuple[int, Event]] = []
        kept: list[_Waiting[Event]] = []
        for waiting in self._events:
            if meant[waiting.slot]:
                due.append((waiting.slot, waiting.event))
            elif gone[waiting.slot] or now_s > waiting.until_s:
                self._note(f"never told {waiting.kind}", waiting)
            else:
                kept.append(waiting)
        self._events = kept
        return due

    def _note(self, step: str, waiting: _Waiting[Event]) -> None:
        unmet = self._rule.scene.conditions.unmet(self._rule.row, waiting.slot)
        self._rule.note(step, waiting.slot, {**waiting.values, **unmet})
