"""Which object is inside which zone, since when, and the moments of entering and leaving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agent.geometry.polygons import Float64Array, PolygonSet
from agent.records import BoolArray, IntArray
from agent.rules.columns import BOTTOM, CENTER
from agent.rules.objects import ObjectTable
from agent.rules.scene_settings import Zone


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
        self._by_overlap = np.array([zone.anchor == "overlap" for zone in self._zones], np.bool_).reshape(
            -1, 1
        )
        self._min_overlap = np.array([zone.min_overlap for zone in self._zones]).reshape(-1, 1)
        self._anchor = tuple(CENTER if zone.anchor == "center" else BOTTOM for zone in self._zones)
        self._used_anchors = tuple(
            anchor
            for anchor in (BOTTOM, CENTER)
            if any(
                row == anchor and zone.anchor != "overlap"
                for row, zone in zip(self._anchor, self._zones, strict=True)
            )
        )
        self._exclude = tuple(
            tuple(self.names.index(name) for name in zone.exclude if name in self.names)
            for zone in self._zones
        )
        self._raw = table.column(np.bool_, 0, rows)
        self._raw_s = table.column(np.float64, 0, rows)
        self._inside = table.column(np.bool_, 0, rows)
        self._entered_s = table.column(np.float64, 0, rows)
        self._appeared = table.column(np.bool_, 0, rows)
        self._polygons = PolygonSet([])
        self._aspect = 0.0

    @property
    def inside(self) -> BoolArray:
        """(Z, C) inside, hysteresis applied; of objects present and of those not yet believed."""
        return self._inside.data

    @property
    def entered_s(self) -> Float64Array:
        """(Z, C) when the visit began; meaningful where `inside`."""
        return self._entered_s.data

    def update(self) -> list[Passage]:
        """Follow the objects of this frame.

        Returns:
            Enterings and leavings in the order of their times, of objects not yet believed as well.
        """
        table = self._table
        if not self._zones:
            return []
        passages: list[Passage] = []
        if table.observed.any():
            self._fit_to_picture()
            self._follow(passages)
        inside, raw = self._inside.data, self._raw.data
        waited = table.time_s - self._raw_s.data
        for zone, slot in np.argwhere(
            raw & ~inside & table.observed & (waited >= self._enter_after_s)
        ).tolist():
            self._enter(passages, zone, slot)
        for zone, slot in np.argwhere(inside & ~raw & (waited >= self._leave_after_s)).tolist():
            self._leave(passages, zone, slot)
        if table.gone.any():
            for zone, slot in np.argwhere(inside & table.gone).tolist():
                self._leave(passages, zone, slot)
        passages.sort(key=lambda passage: passage.time_s)
        return passages

    def _fit_to_picture(self) -> None:
        width, height = self._table.frame_size
        if width / height != self._aspect:
            self._aspect = width / height
            scale = np.array([self._aspect, 1.0])
            self._polygons = PolygonSet([np.array(zone.points) * scale for zone in self._zones])

    def _held(self, places: Float64Array, anchors: tuple[int, ...]) -> BoolArray:
        """(Z, n) whether each zone holds each place; exclusions applied.

        Args:
            places: (2, 2, n): anchor, x and y, object.
            anchors: those to look at.
        """
        held = np.zeros((len(self._zones), places.shape[2]), np.bool_)
        for anchor in anchors:
            within = self._polygons.contains(places[anchor].T)
            for zone, row in enumerate(self._anchor):
                if row == anchor:
                    held[zone] = within[zone]
                    for other in self._exclude[zone]:
                        held[zone] &= ~within[other]
        return held

    def _follow(self, passages: list[Passage]) -> None:
        """Bring `raw` up to the places of this frame."""
        table = self._table
        slots = np.flatnonzero(table.observed)
        now = self._on_picture(table.anchors[:, :, slots])
        held = self._held(now, self._used_anchors)
        if self._by_overlap.any():
            held = np.where(self._by_overlap, self._overlapped(slots), held)
        fresh = table.fresh[slots]
        self._raw_s.data[:, slots[fresh]] = table.time_s
        self._raw.data[:, slots[fresh]] = held[:, fresh]
        self._appeared.data[:, slots[fresh]] = held[:, fresh]
        changed = (held != self._raw.data[:, slots]) & ~fresh
        stepped = changed | self._may_pass(slots, now, held, fresh)
        for zone, index in np.argwhere(stepped).tolist():
            self._step(passages, zone, int(slots[index]), bool(held[zone, index]))

    def _on_picture(self, places: Float64Array) -> Float64Array:
        """Places beyond the picture's edge, on that edge."""
        limits = np.array([self._aspect, 1.0])[None, :, None]
        clipped: Float64Array = np.clip(places, 0.0, limits)
        return clipped

    def _overlapped(self, slots: IntArray) -> BoolArray:
        boxes = self._table.boxes[:, slots].copy()
        boxes[0::2] = np.clip(boxes[0::2], 0.0, self._aspect)
        boxes[1::2] = np.clip(boxes[1::2], 0.0, 1.0)
        shared = self._polygons.overlap_areas(boxes.T)  # (Z, n)
        areas = (boxes[2] - boxes[0]) * (boxes[3] - boxes[1])
        part = np.array(
            [shared[zone] - shared[list(other)].sum(axis=0) for zone, other in enumerate(self._exclude)]
        )
        enough: BoolArray = (part >= self._min_overlap * areas - 1e-12) & (areas > 0)
        return enough

    def _may_pass(self, slots: IntArray, now: Float64Array, held: BoolArray, fresh: BoolArray) -> BoolArray:
        """(Z, n) where a path may have gone through a zone, or out of it and back, between two matches."""
        before = self._on_picture(self._table.previous[:, :, slots])
        passed = np.zeros_like(held)
        for anchor in self._used_anchors:
            moving = ~fresh & (np.abs(now[anchor] - before[anchor]).max(axis=0) > 0)
            touched = self._polygons.touched(before[anchor][:, moving].T, now[anchor][:, moving].T)
            for zone, row in enumerate(self._anchor):
                if row == anchor and not self._by_overlap[zone, 0]:
                    passed[zone, moving] = touched[zone]
                    for other in self._exclude[zone]:
                        passed[zone, moving] |= touched[other]
        return passed

    def _step(self, passages: list[Passage], zone: int, slot: int, held: bool) -> None:
        """Walk one object's straight path since its last match through the sides of one zone."""
        table = self._table
        end_s = table.time_s
        if self._by_overlap[zone, 0]:
            self._turn(passages, zone, slot, held, end_s)
            return
        begin_s = float(table.previous_s[slot])
        anchor = self._anchor[zone]
        path = self._on_picture(
            np.stack((table.previous[anchor, :, slot], table.anchors[anchor, :, slot]), axis=1)[None]
        )
        start, end = path[0, :, 0], path[0, :, 1]
        cuts = np.unique(
            np.concatenate(
                [self._polygons.crossings(row, start, end) for row in (zone, *self._exclude[zone])]
            )
        )
        borders = np.concatenate(([0.0], cuts, [1.0]))
        for first, last in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
            if last - first > 1e-9:
                middle = start + (first + last) / 2 * (end - start)
                place = np.repeat(middle[None, :, None], 2, axis=0)
                inside = bool(self._held(place, (anchor,))[zone, 0])
                self._turn(passages, zone, slot, inside, begin_s + first * (end_s - begin_s))
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
        x, y = self._table.anchors[self._anchor[zone], :, slot].tolist()
        return x, y
