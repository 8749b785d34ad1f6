"""Events that wait until a rule may tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from agent.rules.rule import Rule

Event = TypeVar("Event")


_PATIENCE_S = 10.0


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
        self._events: list[tuple[int, float, Event]] = []  # slot, given up at, event

    def __len__(self) -> int:
        return len(self._events)

    def add(self, slot: int, event: Event, values: Mapping[str, Any]) -> None:
        """Keep an event if the rule is on duty and the object has the right size and action now."""
        rule = self._rule
        unmet = rule.scene.conditions.unmet(rule.row, slot)
        if not rule.on_duty:
            rule.note("off duty", slot, values)
        elif "area" in unmet or "action" in unmet:
            rule.note("not told", slot, {**values, **unmet})
        else:
            if unmet:
                rule.note("waits", slot, {**values, **unmet})
            self._events.append((slot, rule.scene.table.time_s + self._patience_s, event))

    def due(self) -> list[tuple[int, Event]]:
        """Take out the events whose objects now meet the conditions; drop those that waited in vain.

        Off duty, all are dropped.
        """
        if not self._events:
            return []
        rule = self._rule
        if not rule.on_duty:
            for slot, _, _ in self._events:
                rule.note("off duty", slot, rule.scene.conditions.unmet(rule.row, slot))
            self._events = []
            return []
        meant, gone, now_s = rule.meant, rule.scene.table.gone, rule.scene.table.time_s
        due: list[tuple[int, Event]] = []
        waiting: list[tuple[int, float, Event]] = []
        for slot, until_s, event in self._events:
            if meant[slot]:
                due.append((slot, event))
            elif gone[slot] or now_s > until_s:
                rule.note("never told", slot, rule.scene.conditions.unmet(rule.row, slot))
            else:
                waiting.append((slot, until_s, event))
        self._events = waiting
        return due
