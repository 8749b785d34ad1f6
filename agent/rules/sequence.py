"""Objects that go through zones in an order."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.rules.awaited import Awaited
from agent.rules.presence import Passage
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import SequenceRule


class Sequence(Rule):
    """`sequence`, at once, when an object enters the last zone of the order.

    Each zone must be entered at most `within_s` after the object was last inside the one before, which it may
    still be in. At its edges: an object that is already inside a zone when it enters the one before must
    enter it again, and being first seen in any but the first zone is no step. Visits to other zones in
    between do not matter. Only the last zone of what was reached counts: going back to an earlier one renews
    its time. After an alert the order begins anew. Steps taken off duty count; the alert is told when the
    last one is taken on duty.
    """

    def __init__(self, row: int, name: str, settings: SequenceRule, scene: Scene) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        self._zones = tuple(self.zone_row(zone) for zone in settings.zones)
        self._rows = np.array(self._zones, np.int64)
        self._reached_s = scene.table.column(np.float64, np.nan, len(self._zones))
        self._waiting: Awaited[dict[str, Any]] = Awaited(self)

    def update(self) -> None:
        """Follow every object through the zones."""
        reached = self._reached_s.data
        for passage in self.scene.passages:
            if passage.zone in self._zones:
                self._step(passage)
        still_inside = self.scene.presence.inside[self._rows] & ~np.isnan(reached)
        reached[still_inside] = self.scene.table.time_s
        for slot, evidence in self._waiting.due():
            subject = self.subject("sequence", slot, self.settings.zones[-1])
            self.tell(subject, evidence, evidence["entered_s"][0])

    def _step(self, passage: Passage) -> None:
        reached, slot = self._reached_s.data, passage.slot
        last = len(self._zones) - 1
        for stage in range(last, -1, -1):
            if self._zones[stage] != passage.zone:
                continue
            if not passage.entered:
                if not np.isnan(reached[stage, slot]):
                    reached[stage, slot] = passage.time_s
            elif stage == 0:
                reached[0, slot] = passage.time_s
            elif passage.unseen:
                self.note(f"first seen in {self.settings.zones[stage]}", slot, {})
            elif passage.time_s - reached[stage - 1, slot] <= self.settings.within_s:
                waited_s = float(passage.time_s - reached[stage - 1, slot])
                reached[stage, slot] = passage.time_s
                self.note(
                    f"reached {self.settings.zones[stage]}", slot, {"after_s": round(max(waited_s, 0.0), 3)}
                )
                if stage == last:
                    self._finish(passage, slot)
            elif not np.isnan(reached[stage - 1, slot]):
                late_s = float(passage.time_s - reached[stage - 1, slot])
                self.note(f"too late in {self.settings.zones[stage]}", slot, {"after_s": round(late_s, 3)})

    def _finish(self, passage: Passage, slot: int) -> None:
        reached = self._reached_s.data
        evidence: dict[str, Any] = {
            "zones": list(self.settings.zones),
            "entered_s": [round(float(time_s), 3) for time_s in reached[:, slot]],
            "within_s": self.settings.within_s,
        }
        reached[:, slot] = np.nan
        self._waiting.add(slot, "sequence", evidence, evidence)
