"""Objects that are gone from the picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import LeftSceneRule


class LeftScene(Rule):
    """`left-scene`, at once, when an object's track is given up.

    That is as long after its last sight as the tracker waits, and `rejoin_s` longer for objects at rest;
    evidence `last_seen_s` says when it was. At its edges: with `edge_only`, an object must have been last
    seen with its box within `edge` of the picture's edge; one that vanishes in the midst of it is not told.
    Objects that were never confirmed are not told, nor are those that the end of the camera takes away.
    """

    def __init__(self, row: int, name: str, settings: LeftSceneRule, scene: Scene) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings

    def update(self) -> None:
        """Tell of what is gone."""
        table = self.scene.table
        if not np.count_nonzero(table.gone):
            return
        for slot in np.flatnonzero(table.gone & self.meant & self.scene.conditions.sized[self.row]).tolist():
            evidence = self._evidence(slot)
            if not self.on_duty:
                self.note("off duty", slot, evidence)
            elif self.settings.edge_only and evidence["edge"] is None:
                self.note("not at the edge", slot, evidence)
            else:
                self.tell(self.subject("left-scene", slot), evidence, float(table.first_s[slot]))

    def _evidence(self, slot: int) -> dict[str, Any]:
        table = self.scene.table
        width, height = table.frame_size
        left, top, right, bottom = table.boxes[:, slot].tolist()
        gaps = {"left": left, "top": top, "right": width / height - right, "bottom": 1.0 - bottom}
        nearest = min(gaps, key=lambda side: gaps[side])
        return {
            "last_seen_s": round(float(table.last_s[slot]), 3),
            "edge": nearest if gaps[nearest] <= self.settings.edge else None,
            "place": self.place((left + right) / 2, (top + bottom) / 2),
        }
