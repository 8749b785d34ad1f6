"""Which object crossed which tripwire, when, and in which direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agent.geometry.polygons import Float64Array
from agent.geometry.segments import LineSet
from agent.records import BoolArray
from agent.rules.columns import BOTTOM, CENTER
from agent.rules.objects import ObjectTable
from agent.rules.scene_settings import Tripwire

_END_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Crossing:
    """An object crossed a tripwire.

    Args:
        tripwire: row of the tripwire.
        slot: of the object.
        direction: from which side to which.
        time_s: when its anchor was on the line, interpolated between frames.
        place: (x, y) where, in picture heights.
        beyond: how far beyond the line it was in the end, in picture heights.
    """

    tripwire: int
    slot: int
    direction: Literal["a-to-b", "b-to-a"]
    time_s: float
    place: tuple[float, float]
    beyond: float


class Crossings:
    """The tripwires and on which side of each every object is.

    An object has crossed once its path went through the line between its ends, it has come `margin` of its
    own size beyond it, and `settle_s` have passed since it was on the line. Going back through it before that
    undoes it. So jitter on the line is not counted, nor is a box that leaps over it and back, a path through
    the line n times counts n times, and standing on the line counts nothing. A path around the ends is no
    crossing; one exactly through an end is. An object first seen exactly on the line comes from neither side.
    One that is gone while it is beyond the line by less than the margin has crossed, unless the wire is
    strict; one that is lost from sight beyond the margin has crossed when `settle_s` are over.

    Between two matches an object is taken to move in a straight line, also through an occlusion: what
    happened meanwhile is found when it is seen again.

    Args:
        tripwires: by name.
        table: the objects.
    """

    def __init__(self, tripwires: Mapping[str, Tripwire], table: ObjectTable) -> None:
        self.names = tuple(tripwires)
        self._wires = tuple(tripwires.values())
        self._table = table
        rows = len(self._wires)
        self._centred = np.array([wire.anchor == "center" for wire in self._wires], np.bool_).reshape(-1, 1)
        self._margin = np.array([wire.margin for wire in self._wires]).reshape(-1, 1)
        self._settle_s = np.array([wire.settle_s for wire in self._wires]).reshape(-1, 1)
        self._strict = np.array([wire.strict for wire in self._wires], np.bool_).reshape(-1, 1)
        self._side = table.column(
            np.int8, 0, rows
        )  # last side that the anchor was on, however near: -1 A, 1 B
        self._armed = table.column(np.int8, 0, rows)  # last side that it was on by the margin
        self._through = table.column(
            np.int8, 0, rows
        )  # side to which it has gone through the line, not yet told
        self._through_s = table.column(np.float64, 0, rows)
        self._through_place = table.column(np.float64, 0, 2, rows)
        self._reached = table.column(np.bool_, 0, rows)  # has been beyond by the margin since
        self._lines = LineSet(np.zeros((0, 2, 2)))
        self._aspect = 0.0

    def update(self, *, ending: bool = False) -> list[Crossing]:
        """Follow the objects of this frame.

        Args:
            ending: the camera stops: whoever was beyond the margin has crossed, whoever was not has not.

        Returns:
            Crossings in the order of their times, of objects not yet believed as well.
        """
        table = self._table
        if not self._wires:
            return []
        crossings: list[Crossing] = []
        if np.count_nonzero(table.observed):
            self._follow(crossings)
        if not np.count_nonzero(self._through.data):
            return crossings
        came_from, through = self._came_from(), self._through.data
        settled = self._reached.data & (table.time_s - self._through_s.data >= self._settle_s - 1e-9)
        ended = table.gone & (through != 0) & (self._reached.data | (~self._strict & (not ending)))
        for wire, slot in np.transpose(((settled | ended) & came_from).nonzero()).tolist():
            crossings.append(self._crossing(wire, slot, table.anchors))
        np.copyto(self._armed.data, through, where=settled)
        self._forget(settled)
        crossings.sort(key=lambda crossing: crossing.time_s)
        return crossings

    def _follow(self, crossings: list[Crossing]) -> None:
        """Bring sides and ways through up to the places of this frame."""
        table = self._table
        self._fit_to_picture()
        distances = self._distances(table.anchors)  # (W, C)
        side = np.sign(distances).astype(np.int8)
        side *= table.observed  # 0 where the object is on the line or not seen
        known = self._side.data
        for wire, slot in np.transpose((side * known < 0).nonzero()).tolist():
            self._pass(crossings, wire, slot, int(side[wire, slot]))
        on_side = side != 0
        np.copyto(known, side, where=on_side)
        beyond = on_side & (np.abs(distances) >= self._margin * table.sizes)
        through = self._through.data
        if np.count_nonzero(through):
            arriving = beyond & (through == side)
            self._reached.data |= arriving
            beyond &= ~arriving
            self._forget(beyond)
        np.copyto(self._armed.data, side, where=beyond)

    def _came_from(self) -> BoolArray:
        """(W, C) whether the side before the way through was the other one, as strict as the wire asks."""
        armed, through = self._armed.data, self._through.data
        came_from: BoolArray = np.where(self._strict, armed == -through, armed != through)
        return came_from

    def _forget(self, ways: BoolArray | tuple[int, int]) -> None:
        """Drop ways through that are told or undone."""
        self._through.data[ways] = 0
        self._reached.data[ways] = False

    def _fit_to_picture(self) -> None:
        width, height = self._table.frame_size
        if width / height != self._aspect:
            self._aspect = width / height
            ends = np.array([wire.points for wire in self._wires]) * np.array([self._aspect, 1.0])
            self._lines = LineSet(ends)
            for column in (self._side, self._armed, self._through, self._reached):
                column.data.fill(0)

    def _distances(self, anchors: Float64Array) -> Float64Array:
        distances = self._lines.distances(anchors[BOTTOM].T)
        if self._centred.any():
            distances = np.where(self._centred, self._lines.distances(anchors[CENTER].T), distances)
        return distances

    def _pass(self, crossings: list[Crossing], wire: int, slot: int, side: int) -> None:
        """Note a path from one side of the prolonged line to the other, if it went through the segment."""
        table = self._table
        anchor = CENTER if self._centred[wire, 0] else BOTTOM
        start, end = table.previous[anchor, :, slot], table.anchors[anchor, :, slot]
        part, along = self._lines.crossing(wire, start, end)
        begin_s, end_s = float(table.previous_s[slot]), table.time_s
        passed_s = begin_s + part * (end_s - begin_s)
        stayed_s = passed_s - float(self._through_s.data[wire, slot])
        if self._reached.data[wire, slot] and stayed_s >= self._settle_s[wire, 0] - 1e-9:
            if self._came_from()[wire, slot]:
                crossings.append(self._crossing(wire, slot, table.previous))
            self._armed.data[wire, slot] = self._through.data[wire, slot]
            self._forget((wire, slot))
        if not -_END_TOLERANCE <= along <= 1 + _END_TOLERANCE:
            return
        if self._through.data[wire, slot] == -side:  # back where it came from
            self._forget((wire, slot))
            return
        self._through.data[wire, slot] = side
        self._through_s.data[wire, slot] = passed_s
        self._through_place.data[:, wire, slot] = start + part * (end - start)

    def _crossing(self, wire: int, slot: int, anchors: Float64Array) -> Crossing:
        place = anchors[CENTER if self._centred[wire, 0] else BOTTOM, :, slot]
        beyond = float(abs(self._lines.distances(place[None])[wire, 0]))
        x, y = self._through_place.data[:, wire, slot].tolist()
        direction: Literal["a-to-b", "b-to-a"] = "a-to-b" if self._through.data[wire, slot] > 0 else "b-to-a"
        return Crossing(wire, slot, direction, float(self._through_s.data[wire, slot]), (x, y), beyond)
