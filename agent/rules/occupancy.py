"""More, or fewer, objects in a zone than expected."""

from __future__ import annotations

from typing import Any

from agent.rules.incidents import CameraIncident
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import OccupancyRule


class Occupancy(Rule):
    """`occupancy`: while more than `above`, or fewer than `below`, objects are inside a zone.

    At its edges: hidden objects count until their track is given up. The number must be wrong for `for_s`
    without a break to begin, and right for `clear_s` to end; the incident began when it became wrong. From
    the first frame on an empty zone holds 0, so `below` can begin without any object. Off duty it ends at
    once.
    """

    def __init__(self, row: int, name: str, settings: OccupancyRule, scene: Scene) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        self._zone = self.zone_row(settings.zone)
        self._incident = CameraIncident(self, "occupancy", settings.zone, settings.for_s, settings.clear_s)
        self._noted = -1

    def update(self) -> None:
        """Compare the number inside."""
        count = int((self.counted & self.scene.presence.inside[self._zone]).sum())
        above, below = self.settings.above, self.settings.below
        wrong = self.on_duty and (
            (above is not None and count > above) or (below is not None and count < below)
        )
        evidence: dict[str, Any] = {"count": count}
        evidence["above" if above is not None else "below"] = above if above is not None else below
        if self.explaining and count != self._noted:
            self.note("counted", None, evidence)
            self._noted = count
        self._incident.update(wrong, lambda: evidence, {"inside": count})
