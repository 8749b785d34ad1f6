"""Which object is inside which zone, since when, and the moments of entering and leaving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agent.geometry.polygons import Float64Array
from agent.records import BoolArray
from agent.rules.columns import BOTTOM, CENTER
from agent.rules.objects import ObjectTable
from agent.rules.scene_settings import Zone
from agent.rules.zone_shapes import ZoneOverlaps, ZoneShapes


@dataclass(frozen=True, slots=True)
class Passage:
    """An object entered or left a zone.

    Args:
        zone: row of the zone.
        slot: of the object.
        entered: True for entering, False for leaving.
        time_s: when its anchor came in or went out, interpolated between frames.
        unseen: entering: it was already inside when first seen; leaving: it was last seen inside.
        place: (x, y) of the anchor then, in picture heights.
        entered_s: when the visit began.
    """

    zone: int
    slot: int
    entered: bool
    time_s: float
    unseen: bool
    place: tuple[float, float]
    entered_s: float


class Presence:
    """The objects in every zone, with hysteresis in seconds.

    Between two matches an object is taken to move in a straight line, also through an occlusion, so the
    moments of entering and leaving do not depend on the frame rate, and a zone that is crossed between two
    frames is entered and left. Zones with the anchor `overlap` are asked at frames only.

    An object that is lost from sight stays where it was last seen; it does not enter meanwhile, and leaves
    when it was last seen outside or is gone.

    Args:
        zones: by name.
        table: the objects.
    """

    def __init__(self, zones: Mapping[str, Zone], table: ObjectTable) -> None:
        self.names = tuple(zones)
        self._zones = tuple(zones.values())
        self._table = table
        rows = len(self._zones)
        self._enter_after_s = np.array([zone.enter_after_s for zone in self._zones]).reshape(-1, 1)
        self._leave_after_s = np.array([zone.leave_after_s for zone in self._zones]).reshape(-1, 1)
        self._min_overlap = np.array([zone.min_overlap for zone in self._zones]).reshape(-1, 1)
        self._by_point = {
            anchor: np.array([row for row, zone in enumerate(self._zones) if zone.anchor == name], np.int64)
            for anchor, name in ((BOTTOM, "bottom"), (CENTER, "center"))
        }
        self._by_overlap = np.array(
            [row for row, zone in enumerate(self._zones) if zone.anchor == "overlap"], np.int64
        )
        self._place_of = [(BOTTOM, -1)] * rows
        """Anchor of each zone and its index among the shapes of that anchor; -1 for those by overlap."""
        for anchor, zone_rows in self._by_point.items():
            for index, row in enumerate(zone_rows.tolist()):
                self._place_of[row] = (anchor, index)
        self._raw = table.column(np.bool_, 0, rows)
        self._raw_s = table.column(np.float64, 0, rows)
        self._inside = table.column(np.bool_, 0, rows)
        self._entered_s = table.column(np.float64, 0, rows)
        self._appeared = table.column(np.bool_, 0, rows)
        self._shapes = {
            anchor: ZoneShapes(zones, rows, 1.0) for anchor, rows in self._by_point.items() if len(rows)
        }
        self._overlaps = ZoneOverlaps(zones, self._by_overlap, 1.0)
        self._by_name = zones
        self._aspect = 1.0

    @property
    def inside(self) -> BoolArray:
        """(Z, C) inside, hysteresis applied; of objects present and of those not yet believed."""
        return self._inside.data

    @property
    def entered_s(self) -> Float64Array:
        """(Z, C) when the visit began; meaningful where `inside`."""
        return self._entered_s.data

    def stayed_s(self, zone: int) -> Float64Array:
        """(C,) length of each visit of a zone, up to the last moment inside; meaningful where `inside`."""
        until_s = np.where(self._raw.data[zone], self._table.time_s, self._raw_s.data[zone])
        stayed: Float64Array = until_s - self._entered_s.data[zone]
        return stayed

    def update(self) -> list[Passage]:
        """Follow the objects of this frame.

        Returns:
            Enterings and leavings in the order of their times, of objects not yet believed as well.
        """
        table = self._table
        if not self._zones:
            return []
        passages: list[Passage] = []
        if np.count_nonzero(table.observed):
            self._fit_to_picture()
            self._follow(passages)
        inside, raw = self._inside.data, self._raw.data
        undecided = inside != raw
        if np.count_nonzero(undecided):
            waited = table.time_s - self._raw_s.data
            enters = undecided & raw & table.observed & (waited >= self._enter_after_s)
            for zone, slot in np.transpose(enters.nonzero()).tolist():
                self._enter(passages, zone, slot)
            leaves = undecided & ~raw & (waited >= self._leave_after_s)
            for zone, slot in np.transpose(leaves.nonzero()).tolist():
                self._leave(passages, zone, slot)
        if np.count_nonzero(table.gone):
            for zone, slot in np.transpose((inside & table.gone).nonzero()).tolist():
                self._leave(passages, zone, slot)
        passages.sort(key=lambda passage: passage.time_s)
        return passages

    def _fit_to_picture(self) -> None:
        width, height = self._table.frame_size
        if width / height != self._aspect:
            self._aspect = width / height
            self._shapes = {
                anchor: ZoneShapes(self._by_name, self._by_point[anchor], self._aspect)
                for anchor in self._shapes
            }
            self._overlaps = ZoneOverlaps(self._by_name, self._by_overlap, self._aspect)

    def _follow(self, passages: list[Passage]) -> None:
        """Bring `raw` up to the places of this frame."""
        table = self._table
        slots = table.observed.nonzero()[0]
        held = np.zeros((len(self._zones), len(slots)), np.bool_)
        passed = np.zeros_like(held)
        for anchor, shapes in self._shapes.items():
            places = shapes.on_picture(table.anchors[anchor].take(slots, axis=1).T)
            before = shapes.on_picture(table.previous[anchor].take(slots, axis=1).T)
            turns = shapes.turns(places)
            held[shapes.rows] = shapes.hold(places, turns)
            flipped = (turns > 0) != (shapes.turns(before) > 0)
            passed[shapes.rows] = shapes.crossed(flipped, before, places)
        if len(self._by_overlap):
            parts = self._overlaps.parts(table.boxes[:, slots].T)
            held[self._by_overlap] = parts >= self._min_overlap[self._by_overlap] - 1e-9
        fresh = table.fresh[slots]
        if np.count_nonzero(fresh):
            new = slots[fresh]
            self._raw_s.data[:, new] = table.time_s
            self._raw.data[:, new] = held[:, fresh]
            self._appeared.data[:, new] = held[:, fresh]
        stepped = ((held != self._raw.data.take(slots, axis=1)) | passed) & ~fresh
        for zone, index in np.transpose(stepped.nonzero()).tolist():
            self._step(passages, zone, int(slots[index]), bool(held[zone, index]))

    def _step(self, passages: list[Passage], zone: int, slot: int, held: bool) -> None:
        """Walk one object's straight path since its last match through the sides of one zone."""
        table = self._table
        end_s = table.time_s
        anchor, index = self._place_of[zone]
        if index >= 0:
            shapes = self._shapes[anchor]
            begin_s = float(table.previous_s[slot])
            start, end = shapes.on_picture(
                np.array((table.previous[anchor, :, slot], table.anchors[anchor, :, slot]))
            ).tolist()
            for part, inside in shapes.stretches(index, start, end):
                self._turn(passages, zone, slot, inside, begin_s + part * (end_s - begin_s))
        self._turn(passages, zone, slot, held, end_s)

    def _turn(self, passages: list[Passage], zone: int, slot: int, inside: bool, time_s: float) -> None:
        """Note that the anchor came in or went out at `time_s`, and what had become due until then."""
        if inside == self._raw.data[zone, slot]:
            return
        lasted_s = time_s - self._raw_s.data[zone, slot]
        was_in, counted_in = bool(self._raw.data[zone, slot]), bool(self._inside.data[zone, slot])
        if was_in and not counted_in and lasted_s >= self._enter_after_s[zone, 0]:
            self._enter(passages, zone, slot)
        if counted_in and not was_in and lasted_s >= self._leave_after_s[zone, 0]:
            self._leave(passages, zone, slot)
        self._raw.data[zone, slot] = inside
        self._raw_s.data[zone, slot] = time_s
        if inside:
            self._appeared.data[zone, slot] = False

    def _enter(self, passages: list[Passage], zone: int, slot: int) -> None:
        self._inside.data[zone, slot] = True
        entered_s = float(self._raw_s.data[zone, slot])
        self._entered_s.data[zone, slot] = entered_s
        unseen = bool(self._appeared.data[zone, slot])
        passages.append(Passage(zone, slot, True, entered_s, unseen, self._place(zone, slot), entered_s))

    def _leave(self, passages: list[Passage], zone: int, slot: int) -> None:
        self._inside.data[zone, slot] = False
        unseen = bool(self._raw.data[zone, slot])
        left_s = float(self._table.last_s[slot] if unseen else self._raw_s.data[zone, slot])
        entered_s = float(self._entered_s.data[zone, slot])
        passages.append(Passage(zone, slot, False, left_s, unseen, self._place(zone, slot), entered_s))

    def _place(self, zone: int, slot: int) -> tuple[float, float]:
        x, y = self._table.anchors[self._place_of[zone][0], :, slot].tolist()
        return x, y
