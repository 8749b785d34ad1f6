"""Objects that stay in a zone: loitering."""

from __future__ import annotations

from typing import Any

from agent.rules.incidents import TrackIncidents
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import DwellRule


class Dwell(Rule):
    """`dwell`: from the moment an object has been inside for `min_s` until it leaves.

    At its edges: time counts from entering, also if that was before the object was confirmed or the rule went
    on duty, to the last moment inside. Being hidden interrupts nothing, but an incident begins only when the
    object is seen; being outside for less than the zone's `leave_after_s` interrupts nothing either. It ends
    when the object leaves or its track is given up. An object that comes back begins anew.
    """

    def __init__(self, row: int, name: str, settings: DwellRule, scene: Scene) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        self._zone = self.zone_row(settings.zone)
        self._incidents = TrackIncidents(self, "dwell", settings.zone)

    def update(self) -> None:
        """Tell of objects whose time is up."""
        presence = self.scene.presence
        entered_s = presence.entered_s[self._zone]
        long_enough = presence.stayed_s(self._zone) >= self.settings.min_s - 1e-9
        holds = self.counted_with(self._incidents.open) & presence.inside[self._zone] & long_enough
        if self.explaining:
            self._note_short_stays()
        self._incidents.update(holds, entered_s, self._evidence)

    def _note_short_stays(self) -> None:
        for passage in self.scene.passages:
            stayed_s = passage.time_s - passage.entered_s
            if passage.zone == self._zone and not passage.entered and stayed_s < self.settings.min_s:
                values = {
                    "stayed_s": round(stayed_s, 3),
                    "min_s": self.settings.min_s,
                    "unseen": passage.unseen,
                }
                self.note("left too soon", passage.slot, values)

    def _evidence(self, slot: int) -> dict[str, Any]:
        entered_s = float(self.scene.presence.entered_s[self._zone, slot])
        return {
            "entered_s": round(entered_s, 3),
            "duration_s": round(self.scene.table.time_s - entered_s, 3),
            "min_s": self.settings.min_s,
        }
