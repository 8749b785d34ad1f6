"""Objects at rest whose owner has left them."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.geometry.polygons import Float64Array
from agent.records import BoolArray
from agent.rules.conditions import check_label
from agent.rules.incidents import TrackIncidents
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import AbandonedRule

_ADOPT_S = 5.0
_RESTING_S = 1.0


class Abandoned(Rule):
    """`abandoned`: from the moment an object has rested, and been without its owner, for `min_s`.

    Its owner is the nearest object of the classes `owners` within `owner_distance` in the first five seconds
    of its rest. When an owner's track ends beside it (its number changed, or someone hid it), whoever is
    nearest within five seconds is taken for the owner. Others who pass or stand beside it later do not
    matter.

    At its edges: an object that never had an owner is without one since it came to rest. It ends when the
    owner comes back, or the object moves or is gone. Objects of the classes `owners` are never told of. A
    hidden owner counts as where it was last seen until its track is given up.
    """

    def __init__(
        self, row: int, name: str, settings: AbandonedRule, scene: Scene, labels: tuple[str, ...]
    ) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        for label in settings.owners:
            check_label(f"rule {name} owners", label, labels)
        self._owner_labels = np.array(
            [labels.index(label) for label in settings.owners if label in labels], np.int64
        ).reshape(-1, 1)
        self._zone = None if settings.zone is None else self.zone_row(settings.zone)
        self._rest = scene.rest(settings.max_move)
        self._owner = scene.table.column(np.int64, -1)  # slot
        self._owner_id = scene.table.column(np.int64, -1)
        self._attended_s = scene.table.column(np.float64, -np.inf)
        self._incidents = TrackIncidents(self, "abandoned", settings.zone)

    def update(self) -> None:
        """Find out who is with what, then tell of what is alone."""
        table, now_s = self.scene.table, self.scene.table.time_s
        owners = (table.labels == self._owner_labels).any(axis=0)
        things = self.meant & table.present & ~owners
        moving = now_s - self._rest.since_s < _RESTING_S
        self._owner.data[moving] = -1
        np.copyto(self._attended_s.data, self._rest.since_s, where=moving)
        adoptable = now_s - self._attended_s.data <= _ADOPT_S
        watched = things & ~moving & ((self._owner.data >= 0) | adoptable)
        if np.count_nonzero(watched):
            self._attend(watched, owners & table.present)
        alone_since_s = np.maximum(self._attended_s.data, self._rest.since_s)
        settled = ~moving & (self._rest.in_place | self._incidents.open)
        alone = settled & (now_s - alone_since_s >= self.settings.min_s - 1e-9)
        counted = self.counted_with(self._incidents.open)
        holds = counted & ~owners & self.inside(self._zone) & alone
        self._incidents.update(holds, alone_since_s, self._evidence)

    def _attend(self, things: BoolArray, owners: BoolArray) -> None:
        """Note which objects are with their owners now."""
        table, now_s = self.scene.table, self.scene.table.time_s
        owner = self._owner.data
        lost = things & (owner >= 0)
        lost[lost] = ~owners[owner[lost]] | (table.ids[owner[lost]] != self._owner_id.data[lost])
        owner[lost] = -1
        adoptable = now_s - self._attended_s.data <= _ADOPT_S
        self._adopt(things & (owner < 0) & adoptable, owners)
        owned = np.flatnonzero(things & (owner >= 0))
        gaps = _gaps(table.boxes[:, owned], table.boxes[:, owner[owned]])
        self._attended_s.data[owned[gaps <= self.settings.owner_distance]] = now_s

    def _adopt(self, things: BoolArray, owners: BoolArray) -> None:
        """Give each object the nearest owner that is close to it."""
        table = self.scene.table
        rows, columns = np.flatnonzero(things), np.flatnonzero(owners)
        if not (len(rows) and len(columns)):
            return
        gaps = _gaps(table.boxes[:, rows][:, :, None], table.boxes[:, columns][:, None, :])  # (T, O)
        nearest = gaps.argmin(axis=1)
        close = gaps[np.arange(len(rows)), nearest] <= self.settings.owner_distance
        for index in np.flatnonzero(close).tolist():
            thing, owner = int(rows[index]), int(columns[nearest[index]])
            self._owner.data[thing] = owner
            self._owner_id.data[thing] = table.ids[owner]
            self.note("owner", thing, {"owner": int(table.ids[owner])})

    def _evidence(self, slot: int) -> dict[str, Any]:
        owner = int(self._owner_id.data[slot])
        alone_s = self.scene.table.time_s - float(self._attended_s.data[slot])
        return {
            "alone_s": round(alone_s, 3),
            "rested_s": round(self.scene.table.time_s - float(self._rest.since_s[slot]), 3),
            "min_s": self.settings.min_s,
            "owner": None if owner < 0 else owner,
        }


def _gaps(things: Float64Array, owners: Float64Array) -> Float64Array:
    """Gap between boxes in heights of the owner's, 0 where they touch.

    Args:
        things, owners: (4, …) xyxy, broadcast against each other.
    """
    left, top, right, bottom = things
    o_left, o_top, o_right, o_bottom = owners
    apart_x = np.maximum(np.maximum(o_left - right, left - o_right), 0.0)
    apart_y = np.maximum(np.maximum(o_top - bottom, top - o_bottom), 0.0)
    gaps: Float64Array = np.hypot(apart_x, apart_y) / np.maximum(o_bottom - o_top, 1e-9)
    return gaps
