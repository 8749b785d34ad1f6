"""Objects that were at rest and are taken away."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.records import BoolArray
from agent.rules.columns import CENTER
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import RemovedRule

_COVERED = 0.3


class Removed(Rule):
    """`removed`, at once, when an object that had rested for `settled_s` is taken away.

    It is taken away once it has been seen elsewhere, or out of sight with nothing before it, for `absent_s`
    without a break. While another object covers 0.3 or more of its box nobody can tell, and the time stands.

    At its edges: an object that is back within `max_move` of its place before that was not taken away. When
    its track is given up for good meanwhile, it is told then, covered or not. Once told, an object must be
    seen at rest for `settled_s` anew, never out of sight for `absent_s`. An object taken away while the rule
    is off duty is not told later. Objects that rested when the camera started count once they have been seen
    at rest for `settled_s`.
    """

    def __init__(self, row: int, name: str, settings: RemovedRule, scene: Scene) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        self._zone = None if settings.zone is None else self.zone_row(settings.zone)
        self._rest = scene.rest(settings.max_move)
        self._settled_s = scene.table.column(np.float64, np.nan)
        self._place = scene.table.column(np.float64, np.nan, 2)
        self._box = scene.table.column(np.float64, np.nan, 4)
        self._missing_s = scene.table.column(np.float64, np.nan)
        self._again_s = scene.table.column(np.float64, -np.inf)
        """Since when an object that was told of is in sight again; infinite while it is not."""

    def update(self) -> None:
        """Look after every object that has settled."""
        table, now_s = self.scene.table, self.scene.table.time_s
        meant = self.meant & (table.present | table.gone)
        self._settle(self.counted & table.observed & self._rest.in_place & self.inside(self._zone))
        settled = meant & ~np.isnan(self._settled_s.data)
        if not np.count_nonzero(settled):
            return
        moved = self._moved()
        missing = settled & (moved | ~table.observed)
        unseen = missing & ~table.observed
        if np.count_nonzero(unseen):
            missing &= ~(unseen & self._covered(unseen))
        self._missing_s.data[settled & ~missing] = np.nan
        begins = missing & np.isnan(self._missing_s.data)
        since_s = np.where(moved & table.observed, now_s, table.last_s)
        self._missing_s.data[begins] = since_s[begins]
        taken = missing & (now_s - self._missing_s.data >= self.settings.absent_s - 1e-9)
        for slot in np.flatnonzero(taken | (settled & table.gone)).tolist():
            self._report(slot, bool(moved[slot]))
            self._settled_s.data[slot] = np.nan
            self._missing_s.data[slot] = np.nan
            self._again_s.data[slot] = np.inf

    def _moved(self) -> BoolArray:
        """(C,) objects that came to rest elsewhere; those that are back in their place have not moved."""
        table, settled_s = self.scene.table, self._settled_s.data
        moved = self._rest.since_s > settled_s
        if np.count_nonzero(moved):
            offset = table.anchors[CENTER] - self._place.data
            near = np.hypot(offset[0], offset[1]) <= self.settings.max_move * table.sizes
            back = moved & table.observed & near
            np.copyto(settled_s, self._rest.since_s, where=back)
            moved &= ~back
        return moved

    def _settle(self, candidates: BoolArray) -> None:
        """Note the objects that have rested long enough to be missed, and where."""
        table, again_s = self.scene.table, self._again_s.data
        told = again_s > -np.inf
        if np.count_nonzero(told):
            unseen = told & ~table.observed & (table.time_s - table.last_s >= self.settings.absent_s - 1e-9)
            again_s[unseen] = np.inf
            again_s[table.observed & np.isposinf(again_s)] = table.time_s
        since_s = np.maximum(self._rest.since_s, again_s)
        rested = candidates & (table.time_s - since_s >= self.settings.settled_s - 1e-9)
        new = rested & np.isnan(self._settled_s.data)
        if np.count_nonzero(new):
            self._settled_s.data[new] = self._rest.since_s[new]
            self._place.data[:, new] = self._rest.places[:, new]
            self._box.data[:, new] = table.boxes[:, new]
            for slot in np.flatnonzero(new).tolist():
                self.note("settled", slot, {"since_s": round(float(self._rest.since_s[slot]), 3)})

    def _covered(self, unseen: BoolArray) -> BoolArray:
        """(C,) objects whose place is hidden by another that is seen in this frame."""
        table = self.scene.table
        covered = np.zeros(table.capacity, np.bool_)
        others = table.boxes[:, table.observed]
        for slot in np.flatnonzero(unseen).tolist():
            left, top, right, bottom = self._box.data[:, slot].tolist()
            wide = np.minimum(right, others[2]) - np.maximum(left, others[0])
            high = np.minimum(bottom, others[3]) - np.maximum(top, others[1])
            shared = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
            covered[slot] = bool((shared >= _COVERED * (right - left) * (bottom - top)).any())
        return covered

    def _report(self, slot: int, moved: bool) -> None:
        settled_s = float(self._settled_s.data[slot])
        evidence: dict[str, Any] = {
            "how": "moved" if moved else "out of sight",
            "rested_since_s": round(settled_s, 3),
            "place": self.place(*self._place.data[:, slot].tolist()),
        }
        if self.on_duty:
            self.tell(self.subject("removed", slot, self.settings.zone), evidence, settled_s)
        else:
            self.note("off duty", slot, evidence)
