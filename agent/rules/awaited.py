"""Events that wait until a rule may tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from agent.rules.rule import Rule

Event = TypeVar("Event")


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
