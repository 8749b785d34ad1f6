"""Objects that travel against the way they should."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from agent.geometry.polygons import Float64Array
from agent.records import BoolArray
from agent.rules.incidents import TrackIncidents
from agent.rules.lasting import Lasting
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import WrongWayRule


class WrongWay(Rule):
    """`wrong-way`: while an object travels more than `tolerance_deg` away from the arrow `allowed`.

    At its edges: the way is that of the last `window_s`, known once the object was seen for half of it; an
    object that moved less than `min_travel` has no way and is not wrong. Exactly at the tolerance is right.
    It must be wrong for `for_s` to begin and not wrong for `clear_s` to end, so a turn or a halt for a moment
    does not end it. A hidden object keeps its last way. Angles are those on the screen, pixels being square.
    """

    def __init__(self, row: int, name: str, settings: WrongWayRule, scene: Scene) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        self._zone = None if settings.zone is None else self.zone_row(settings.zone)
        self._motion = scene.motion(settings.window_s)
        self._lasting = Lasting(scene.table.column, settings.for_s, settings.clear_s)
        self._wrong = scene.table.column(np.bool_, 0)
        self._cosine = scene.table.column(np.float64, 0)
        self._least_cosine = math.cos(math.radians(settings.tolerance_deg))
        self._least = scene.table.column(np.float64, 1)
        self._incidents = TrackIncidents(self, "wrong-way", settings.zone)

    def update(self) -> None:
        """Compare every object's way with the arrow."""
        table, settings = self.scene.table, self.settings
        counted = self.counted_with(self._incidents.open) & self.inside(self._zone)
        vx, vy, known = self._motion.of_centers()
        speed = np.hypot(vx, vy)
        ax, ay = self._arrow()
        along = (ax * vx + ay * vy) / math.hypot(ax, ay)
        moving = known & (speed * settings.window_s >= settings.min_travel * table.sizes) & (speed > 0)
        wrong = moving & (along < speed * (self._least_cosine - 1e-9))
        np.copyto(self._wrong.data, wrong, where=table.observed)
        np.copyto(self._cosine.data, along / np.where(moving, speed, 1.0), where=wrong)
        if self.explaining:
            self._note_right(counted, along, np.where(moving, speed, np.inf))
        holds = self._lasting.update(counted & self._wrong.data, table.time_s) & counted
        self._incidents.update(holds, self._lasting.since_s, self._evidence)

    def _note_right(self, counted: BoolArray, along: Float64Array, speed: Float64Array) -> None:
        """Note of those that are gone how far off the arrow they were at most."""
        cosine = along / speed  # 0 where not moving, which is no way
        np.minimum(self._least.data, cosine, out=self._least.data, where=counted & np.isfinite(speed))
        gone = self.scene.table.gone & self.meant & (self._least.data >= self._least_cosine)
        for slot in np.flatnonzero(gone).tolist():
            furthest_deg = math.degrees(math.acos(min(float(self._least.data[slot]), 1.0)))
            values = {
                "furthest_off_deg": round(furthest_deg, 1),
                "tolerance_deg": self.settings.tolerance_deg,
            }
            self.note("never far enough off", slot, values)

    def _arrow(self) -> tuple[float, float]:
        """The allowed way in picture heights."""
        width, height = self.scene.table.frame_size
        (x0, y0), (x1, y1) = self.settings.allowed
        return (x1 - x0) * width / height, y1 - y0

    def _evidence(self, slot: int) -> dict[str, Any]:
        ax, ay = self._arrow()
        cosine = min(max(float(self._cosine.data[slot]), -1.0), 1.0)
        return {
            "off_deg": round(math.degrees(math.acos(cosine)), 1),
            "tolerance_deg": self.settings.tolerance_deg,
            "allowed_deg": round(math.degrees(math.atan2(-ay, ax)) % 360, 1),
        }
