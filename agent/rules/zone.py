"""Objects that enter, leave or are inside a zone."""

from __future__ import annotations

from typing import Any

from agent.rules.awaited import Awaited
from agent.rules.incidents import TrackIncidents
from agent.rules.presence import Passage
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import ZoneRule


class Zone(Rule):
    """`enter`, `leave` (at once) and `inside` (from start to end).

    At its edges: an object first seen inside has entered (evidence `unseen`), one last seen inside has left,
    unless `appearing` or `vanishing` is off. An object
    that is hidden stays inside until its track is given up. What an object does before it is confirmed is
    told once it is. What happens while the rule is off duty is not told later; an object that is inside when
    the rule goes on duty begins an `inside` then. A zone crossed between two frames is entered and left,
    without an `inside`.
    """

    def __init__(self, row: int, name: str, settings: ZoneRule, scene: Scene) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        self._zone = self.zone_row(settings.zone)
        self._passages: Awaited[Passage] = Awaited(self)
        self._inside = TrackIncidents(self, "inside", settings.zone)

    def update(self) -> None:
        """Tell of enterings and leavings, then of those inside."""
        for passage in self.scene.passages:
            if passage.zone == self._zone and self._asked(passage):
                self._passages.add(passage.slot, _kind(passage), passage, self._evidence(passage))
        for slot, passage in self._passages.due():
            subject = self.subject(_kind(passage), slot, self.settings.zone)
            self.tell(subject, self._evidence(passage), None if passage.entered else passage.entered_s)
        if "inside" in self.settings.when:
            presence = self.scene.presence
            self._inside.update(
                self.counted_with(self._inside.open) & presence.inside[self._zone],
                presence.entered_s[self._zone],
                self._inside_evidence,
            )

    def _asked(self, passage: Passage) -> bool:
        if passage.entered:
            return "enter" in self.settings.when and (self.settings.appearing or not passage.unseen)
        return "leave" in self.settings.when and (self.settings.vanishing or not passage.unseen)

    def _evidence(self, passage: Passage) -> dict[str, Any]:
        evidence: dict[str, Any] = {
            "at_s": round(passage.time_s, 3),
            "place": self.place(*passage.place),
            "unseen": passage.unseen,
        }
        if not passage.entered:
            evidence["duration_s"] = round(passage.time_s - passage.entered_s, 3)
        return evidence

    def _inside_evidence(self, slot: int) -> dict[str, Any]:
        entered_s = float(self.scene.presence.entered_s[self._zone, slot])
        return {"entered_s": round(entered_s, 3), "duration_s": round(self.scene.table.time_s - entered_s, 3)}


def _kind(passage: Passage) -> str:
    return "enter" if passage.entered else "leave"
