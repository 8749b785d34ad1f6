"""Objects that come to rest and stay."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.rules.columns import CENTER
from agent.rules.incidents import TrackIncidents
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import StoppedRule


class Stopped(Rule):
    """`stopped`: from the moment an object has rested for `min_s` until it moves on.

    At its edges: a rest is as in `Rest`; its time counts from where it began, also before the rule went on
    duty or the object came into a zone drawn around it. Being hidden does not end it: an object at rest is
    waited for (`rejoin_s`), so a parked car is one incident. An object that was at rest when the camera
    started is told of like any other.
    """

    def __init__(self, row: int, name: str, settings: StoppedRule, scene: Scene) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        self._zone = None if settings.zone is None else self.zone_row(settings.zone)
        self._rest = scene.rest(settings.max_move)
        self._longest = scene.table.column(np.float64, 0)
        self._incidents = TrackIncidents(self, "stopped", settings.zone)

    def update(self) -> None:
        """Tell of objects that have rested long enough."""
        rested_s = self.scene.table.time_s - self._rest.since_s
        rested = (rested_s >= self.settings.min_s - 1e-9) & (self._rest.in_place | self._incidents.open)
        holds = self.counted_with(self._incidents.open) & self.inside(self._zone) & rested
        if self.explaining:
            np.maximum(self._longest.data, rested_s, out=self._longest.data, where=self.counted)
            self._note_restless()
        self._incidents.update(holds, self._rest.since_s, self._evidence)

    def _note_restless(self) -> None:
        gone = self.scene.table.gone & self.meant & (self._longest.data < self.settings.min_s)
        for slot in np.flatnonzero(gone).tolist():
            longest_s = round(float(self._longest.data[slot]), 3)
            self.note(
                "never rested long enough", slot, {"longest_s": longest_s, "min_s": self.settings.min_s}
            )

    def _evidence(self, slot: int) -> dict[str, Any]:
        table = self.scene.table
        since_s = float(self._rest.since_s[slot])
        return {
            "rested_s": round(table.time_s - since_s, 3),
            "min_s": self.settings.min_s,
            "place": self.place(*table.anchors[CENTER, :, slot].tolist()),
        }
