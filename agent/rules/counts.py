"""How many crossed each tripwire and entered each zone, and how many are in each zone now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

from agent.errors import DataError
from agent.records import BoolArray
from agent.rules.crossings import Crossing
from agent.rules.objects import ObjectTable
from agent.rules.presence import Passage, Presence
from agent.rules.reporter import Reporter, Subject

Tally: TypeAlias = dict[str, dict[str, int]]
"""By direction ("a-to-b", "b-to-a" or "entered"), then by class."""

_DAY_S = 86_400.0


class Counts:
    """Counts of believed objects of every class, whatever the rules ask for.

    Those of the day begin anew at local midnight. A wall clock that is set back, as that of a Pi without a
    network is, does not clear them, unless it stays back for a day.

    Args:
        zones, tripwires: names.
        timezone: whose midnight it is.
        table, presence, reporter: of the camera.
    """

    def __init__(
        self,
        zones: Sequence[str],
        tripwires: Sequence[str],
        timezone: str,
        table: ObjectTable,
        presence: Presence,
        reporter: Reporter,
    ) -> None:
        self._zones, self._tripwires = tuple(zones), tuple(tripwires)
        self._timezone = ZoneInfo(timezone)
        self._table, self._presence, self._reporter = table, presence, reporter
        self._day: date | None = None
        self._minute = -1
        self._set_back_s: float | None = None
        self._today: dict[str, Tally] = {}
        self._total: dict[str, Tally] = {}
        self._waiting: list[tuple[int, str, str]] = []

    def update(self, passages: Iterable[Passage], crossings: Iterable[Crossing], wall_s: float) -> None:
        """Count what happened in this frame."""
        self._turn_day(wall_s)
        for passage in passages:
            if passage.entered:
                self._waiting.append((passage.slot, f"zone/{self._zones[passage.zone]}", "entered"))
        for crossing in crossings:
            place = f"tripwire/{self._tripwires[crossing.tripwire]}"
            self._waiting.append((crossing.slot, place, crossing.direction))
        if not self._waiting:
            return
        believed, gone = self._table.believed, self._table.gone
        for slot, place, what in self._waiting:
            if believed[slot]:
                label = self._reporter.label(slot)
                for tallies in (self._today, self._total):
                    tally = tallies.setdefault(place, {}).setdefault(what, {})
                    tally[label] = tally.get(label, 0) + 1
        self._waiting = [event for event in self._waiting if not believed[event[0]] and not gone[event[0]]]

    def _turn_day(self, wall_s: float) -> None:
        minute = int(wall_s // 60)
        if minute == self._minute:
            return
        self._minute = minute
        day = datetime.fromtimestamp(wall_s, self._timezone).date()
        if self._day is None:
            self._day = day
        if day >= self._day:
            self._set_back_s = None
        elif self._set_back_s is None:
            self._set_back_s = self._table.time_s
        lasting = self._set_back_s is not None and self._table.time_s - self._set_back_s >= _DAY_S
        if day > self._day or lasting:
            self._day, self._set_back_s = day, None
            self._today.clear()

    def snapshot(self) -> dict[str, Any]:
        """All counts, JSON types only, every zone and tripwire named.

        Returns:
            `{"day": "2026-05-01", "tripwires": {name: {"today": {direction: {class: n}}, "total": …}},
            "zones": {name: {"now": {class: n}, "today": {"entered": {class: n}}, "total": …}}}`.
        """
        present = self._table.present
        return {
            "day": None if self._day is None else self._day.isoformat(),
            "tripwires": {name: self._of(f"tripwire/{name}") for name in self._tripwires},
            "zones": {
                name: {"now": self._now(present & self._presence.inside[row]), **self._of(f"zone/{name}")}
                for row, name in enumerate(self._zones)
            },
        }

    def _of(self, place: str) -> dict[str, Tally]:
        return {"today": _copy(self._today.get(place, {})), "total": _copy(self._total.get(place, {}))}

    def _now(self, inside: BoolArray) -> dict[str, int]:
        now: dict[str, int] = {}
        for slot in np.flatnonzero(inside).tolist():
            label = self._reporter.label(slot)
            now[label] = now.get(label, 0) + 1
        return dict(sorted(now.items()))

    def of_subject(self, subject: Subject) -> dict[str, int]:
        """Numbers for an alert: today's crossings by direction, or objects in the zone now; all classes."""
        if subject.tripwire is not None:
            today = self._today.get(f"tripwire/{subject.tripwire}", {})
            return {way: sum(today.get(way, {}).values()) for way in ("a-to-b", "b-to-a")}
        if subject.zone is not None:
            inside = self._presence.inside[self._zones.index(subject.zone)]
            return {"inside": int((inside & self._table.present).sum())}
        return {}

    def reset(self, name: str | None = None) -> None:
        """Set the counts of one zone or tripwire to nothing, or all."""
        for tallies in (self._today, self._total):
            for place in list(tallies):
                if name is None or place.partition("/")[2] == name:
                    del tallies[place]

    def export_state(self) -> dict[str, Any]:
        """What a restart must not lose, JSON types only."""
        day = None if self._day is None else self._day.isoformat()
        return {
            "day": day,
            "today": {place: _copy(tally) for place, tally in self._today.items()},
            "total": {place: _copy(tally) for place, tally in self._total.items()},
        }

    def import_state(self, state: Mapping[str, Any]) -> None:
        """Go on from an exported state; places that the configuration no longer has are dropped.

        Raises:
            DataError: it is not such a state.
        """
        known = {f"zone/{name}" for name in self._zones} | {f"tripwire/{name}" for name in self._tripwires}
        try:
            day = None if state["day"] is None else date.fromisoformat(state["day"])
            today = {place: _checked(tally) for place, tally in state["today"].items() if place in known}
            total = {place: _checked(tally) for place, tally in state["total"].items() if place in known}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                "saved counts", f"expected what export_state wrote, got a fault: {error}"
            ) from error
        self._day, self._today, self._total, self._minute = day, today, total, -1


def _copy(tally: Tally) -> Tally:
    return {what: dict(sorted(by_label.items())) for what, by_label in sorted(tally.items())}


def _checked(tally: Mapping[str, Mapping[str, int]]) -> Tally:
    return {str(what): {str(label): int(n) for label, n in labels.items()} for what, labels in tally.items()}
