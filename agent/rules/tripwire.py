"""Objects that cross a tripwire."""

from __future__ import annotations

from typing import Any

from agent.rules.awaited import Awaited
from agent.rules.crossings import Crossing
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import TripwireRule


class Tripwire(Rule):
    """`cross`, at once, for every crossing in the direction asked for.

    At its edges (see `Crossings` for what a crossing is): one is told `settle_s` after the object was on the
    line at the latest, once it is beyond the margin, or when the camera stops before that. A crossing made
    while hidden is told when the object is seen again; one made before the object is confirmed is told once
    it is; one made while the rule is off duty is not told.
    """

    def __init__(self, row: int, name: str, settings: TripwireRule, scene: Scene) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        self._tripwire = scene.crossings.names.index(settings.tripwire)
        self._crossings: Awaited[Crossing] = Awaited(self)

    def update(self) -> None:
        """Tell of crossings."""
        for crossing in self.scene.crossed:
            if crossing.tripwire == self._tripwire:
                if self.settings.direction in ("both", crossing.direction):
                    self._crossings.add(crossing.slot, "cross", crossing, self._evidence(crossing))
                else:
                    self.note("other direction", crossing.slot, self._evidence(crossing))
        for slot, crossing in self._crossings.due():
            subject = self.subject("cross", slot, tripwire=self.settings.tripwire)
            self.tell(subject, self._evidence(crossing), crossing.time_s, at_end=True)

    def _evidence(self, crossing: Crossing) -> dict[str, Any]:
        return {
            "direction": crossing.direction,
            "at_s": round(crossing.time_s, 3),
            "place": self.place(*crossing.place),
            "beyond": round(crossing.beyond, 4),
        }
