"""Incidents that last: begun, told of again, and ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from agent.geometry.polygons import Float64Array
from agent.records import BoolArray
from agent.rules.lasting import Lasting, single
from agent.rules.reporter import Incident
from agent.rules.rule import Rule


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

    @property
    def open(self) -> BoolArray:
        """(C,) objects whose incident has begun and not ended."""
        is_open: BoolArray = self._open.data
        return is_open

    def update(
        self, holds: BoolArray, started_s: Float64Array, evidence: Callable[[int], Mapping[str, Any]]
    ) -> None:
        """Begin, tell of again and end incidents; they begin only when their object is seen.

        Args:
            holds: (C,) objects whose incident lasts.
            started_s: (C,) when it began, used where `holds`.
            evidence: what decided, by slot.
        """
        rule = self._rule
        reporter, now_s = rule.scene.reporter, rule.scene.table.time_s
        if np.count_nonzero(holds != self._open.data):
            self._begin_and_end(holds, started_s, evidence)
        every_s = rule.base.update_every_s
        if every_s is not None:
            for slot, incident in self._incidents.items():
                if now_s - incident.told_s >= every_s - 1e-9:
                    reporter.update(incident, evidence(slot))

    def _begin_and_end(
        self, holds: BoolArray, started_s: Float64Array, evidence: Callable[[int], Mapping[str, Any]]
    ) -> None:
        is_open, rule = self._open.data, self._rule
        reporter, now_s = rule.scene.reporter, rule.scene.table.time_s
        for slot in np.flatnonzero(holds & ~is_open & rule.scene.table.observed).tolist():
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

    def _reason(self, slot: int) -> str:
        if self._rule.scene.reporter.ending is not None:
            return self._rule.scene.reporter.ending
        if not self._rule.on_duty:
            return "off duty"
        return "vanished" if self._rule.scene.table.gone[slot] else "over"


class CameraIncident:
    """The lasting incident of a rule about a whole zone or camera; at most one at a time.

    Args:
        rule: that reports it.
        kind: of the alerts.
        zone: name, or None.
        for_s, clear_s: how long its condition must hold to begin and fail to end.
    """

    def __init__(self, rule: Rule, kind: str, zone: str | None, for_s: float, clear_s: float) -> None:
        self._rule = rule
        self._kind = kind
        self._zone = zone
        self._lasting = Lasting(single, for_s, clear_s)
        self._incident: Incident | None = None

    def update(
        self, holds: bool, evidence: Callable[[], Mapping[str, Any]], counts: Mapping[str, int]
    ) -> None:
        """Begin it, tell of it again, or end it.

        Args:
            holds: whether its condition holds now.
            evidence: what decides.
            counts: numbers to tell.
        """
        rule = self._rule
        reporter, now_s = rule.scene.reporter, rule.scene.table.time_s
        possible = rule.on_duty and not reporter.ending
        if not possible:
            self._lasting.reset()
        lasts = possible and bool(self._lasting.update(np.array([holds]), now_s)[0])
        if lasts and self._incident is None:
            subject = rule.subject(self._kind, zone=self._zone)
            values = evidence()
            self._incident = reporter.start(subject, float(self._lasting.since_s[0]), values, counts)
            if self._incident is not None:
                rule.note(f"began {self._kind}", None, values)
        elif self._incident is not None and not lasts:
            reason = reporter.ending or ("over" if rule.on_duty else "off duty")
            duration_s = round(now_s - self._incident.started_s, 3)
            values = {**evidence(), "duration_s": duration_s, "reason": reason}
            reporter.end(self._incident, values, counts)
            rule.note(f"ended {self._kind}", None, values)
            self._incident = None
        elif self._incident is not None:
            every_s = rule.base.update_every_s
            if every_s is not None and now_s - self._incident.told_s >= every_s - 1e-9:
                reporter.update(self._incident, evidence(), counts)
