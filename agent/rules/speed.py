"""Objects that are too fast."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.geometry.homography import homography, project
from agent.geometry.polygons import Float64Array
from agent.records import BoolArray
from agent.rules.incidents import TrackIncidents
from agent.rules.lasting import Lasting
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import SpeedRule
from agent.rules.scene_settings import Ground


class Speed(Rule):
    """`speed`: while an object is faster than `above_px_s` (box centre) or `above_m_s` (feet, on the ground).

    At its edges: the speed is the slope over the last `window_s`, known once the object was seen for half of
    it; exactly the limit is not above it. Feet at or beyond the horizon of the ground have no speed. It ends
    once the object was slower for `clear_s`, left the zone, or its track is given up; a hidden object keeps
    its last speed. Feet cut off by the picture's lower edge seem slower than they are.
    """

    def __init__(self, row: int, name: str, settings: SpeedRule, scene: Scene, ground: Ground | None) -> None:
        super().__init__(row, name, settings, scene)
        self.settings = settings
        self._ground = ground if settings.above_m_s is not None else None
        self._zone = None if settings.zone is None else self.zone_row(settings.zone)
        self._motion = scene.motion(settings.window_s)
        self._lasting = Lasting(scene.table.column, settings.for_s, settings.clear_s)
        self._speed = scene.table.column(np.float64, 0)
        self._peak = scene.table.column(np.float64, 0)
        self._fastest = scene.table.column(np.float64, 0)
        self._incidents = TrackIncidents(self, "speed", settings.zone)
        self._unit = "m_s" if self._ground is not None else "px_s"
        self._limit = settings.above_m_s or settings.above_px_s or 0.0

    def update(self) -> None:
        """Compare every object's speed with the limit."""
        table = self.scene.table
        counted = self.counted_with(self._incidents.open) & self.inside(self._zone)
        speed, known = self._speeds()
        np.copyto(self._speed.data, np.where(known, speed, 0.0), where=table.observed)
        fast = self._speed.data > self._limit
        if self.explaining:
            np.maximum(self._fastest.data, self._speed.data, out=self._fastest.data, where=counted)
            self._note_slow()
        np.maximum(self._peak.data, self._speed.data, out=self._peak.data, where=fast)
        holds = self._lasting.update(counted & fast, table.time_s) & counted
        self._incidents.update(holds, self._lasting.since_s, self._evidence)
        self._peak.data[~holds & ~fast] = 0.0

    def _speeds(self) -> tuple[Float64Array, BoolArray]:
        """(C,) speed in the limit's unit, and where it is known."""
        motion, (width, height) = self._motion, self.scene.table.frame_size
        if self._ground is None:
            vx, vy, known = motion.of_centers()
            in_px: Float64Array = np.hypot(vx, vy) * float(height)
            return in_px, known
        picture = np.array(self._ground.points) * np.array([width / height, 1.0])
        matrix = homography(picture, self._ground.metres)
        vx, vy, known = motion.velocities(*project(matrix, *motion.feet))
        speed: Float64Array = np.hypot(vx, vy)
        return speed, known

    def _note_slow(self) -> None:
        gone = self.scene.table.gone & self.meant & (self._fastest.data <= self._limit)
        for slot in np.flatnonzero(gone).tolist():
            fastest = round(float(self._fastest.data[slot]), 2)
            values = {f"fastest_{self._unit}": fastest, f"above_{self._unit}": self._limit}
            self.note("never fast enough", slot, values)

    def _evidence(self, slot: int) -> dict[str, Any]:
        return {
            f"speed_{self._unit}": round(float(self._speed.data[slot]), 2),
            f"peak_{self._unit}": round(float(self._peak.data[slot]), 2),
            f"above_{self._unit}": self._limit,
        }
