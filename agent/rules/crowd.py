"""Objects that stand close together."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.records import BoolArray, IntArray
from agent.rules.columns import BOTTOM
from agent.rules.incidents import CameraIncident
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import CrowdRule


class Crowd(Rule):
    """`crowd`: while `min_count` or more objects stand together.

    Objects are together when a chain of neighbours joins them, each with its feet at most `max_gap` heights
    of the taller one from the next, so the measure shrinks with distance as people do. At its edges: hidden
    objects count where they were last seen. Of several groups the largest decides; the incident lasts while
    any group is large enough, and is not about a certain group. `for_s`, `clear_s` and duty are as for the
    kind `occupancy`.
    """

    def __init__(self, row: int, name: str, settings: CrowdRule, scene: Scene) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        self._zone = None if settings.zone is None else self.zone_row(settings.zone)
        self._incident = CameraIncident(self, "crowd", settings.zone, settings.for_s, settings.clear_s)
        self._noted = -1

    def update(self) -> None:
        """Find the largest group."""
        slots = (self.counted & self.inside(self._zone)).nonzero()[0]
        enough = len(slots) >= (1 if self.explaining else self.settings.min_count)
        group = self._largest_group(slots) if enough else slots[:0]
        large = len(group) >= self.settings.min_count

        def evidence() -> dict[str, Any]:
            table = self.scene.table
            return {
                "count": len(group),
                "min_count": self.settings.min_count,
                "tracks": sorted(table.ids[group].tolist()),
                "place": self.place(*table.anchors[BOTTOM][:, group].mean(axis=1).tolist())
                if len(group)
                else None,
            }

        if self.explaining and len(group) != self._noted:
            self.note("largest group", None, evidence())
            self._noted = len(group)
        self._incident.update(large, evidence, {"together": len(group)})

    def _largest_group(self, slots: IntArray) -> IntArray:
        table = self.scene.table
        x, y = table.anchors[BOTTOM][:, slots].astype(np.float32)
        heights = (table.boxes[3] - table.boxes[1])[slots].astype(np.float32)
        apart_x, apart_y = x[:, None] - x, y[:, None] - y
        reach = self.settings.max_gap**2 * np.square(heights)
        groups = groups_of(apart_x * apart_x + apart_y * apart_y <= np.maximum(reach[:, None], reach))
        largest: IntArray = slots[groups == np.bincount(groups).argmax()]
        return largest


def groups_of(near: BoolArray) -> IntArray:
    """Which objects a chain of neighbours joins.

    Args:
        near: (N, N), symmetric, True on the diagonal; N ≥ 1.

    Returns:
        (N,) int64: the lowest row of each object's group.
    """
    rows, neighbours = near.nonzero()
    groups = np.arange(len(near))
    begins = np.searchsorted(rows, groups)
    while True:
        lowest: IntArray = np.minimum.reduceat(groups[neighbours], begins)
        lowest = lowest[lowest]  # a group's lowest row is in the same group: chains halve with every round
        if (lowest == groups).all():
            return groups
        groups = lowest
