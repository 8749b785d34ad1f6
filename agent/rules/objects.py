"""The objects that rules look at: one slot each, from first sight until they are gone.

Lengths and places are in *picture heights*: px divided by the picture's height, for x as well as y, origin
top left. So distances are the same in every direction and no rule depends on the resolution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from agent.geometry.polygons import Float64Array
from agent.records import BoolArray, IntArray, Tracks, TrackState
from agent.rules.columns import BOTTOM, CENTER, Column, ColumnStore
from agent.rules.rest import Rest

_MIN_IOU_REJOIN = 0.5
_MIN_REST_REJOIN_S = 5.0
_TENTATIVE, _CONFIRMED, _REMOVED = (  # NumPy compares with plain numbers several times faster
    int(state) for state in (TrackState.TENTATIVE, TrackState.CONFIRMED, TrackState.REMOVED)
)
REST_MOVE = 0.25
"""Tolerance of a rest; see `Rest`."""


class ObjectTable:
    """Objects in slots, so that every property is one array over all of them.

    A track is *observed* in a frame when a detection was matched to it; only then does its object have a new
    place: predictions decide nothing. It is *believed* from its first confirmation on. What it did before is
    remembered, so that nothing is lost while a tracker makes up its mind.

    An object is *present* while it is believed and its track lives, occlusions included. An object at rest
    stays present for `rejoin_s` after its track was given up; a new track of the same class at the same place
    takes over its slot, so a parked car is one object however many people hide it.

    Args:
        rejoin_s: how long an object at rest is waited for, in seconds.
        capacity: slots to begin with; grows as needed.
    """

    def __init__(self, rejoin_s: float = 10.0, capacity: int = 64) -> None:
        self._store = ColumnStore(capacity)
        self._rejoin_s = rejoin_s
        self._slot_of: dict[int, int] = {}
        self._free = list(range(capacity - 1, -1, -1))
        self._ids = self.column(np.int64, -1)
        self._labels = self.column(np.int64, -1)
        self._scores = self.column(np.float64, 0)
        self._best_scores = self.column(np.float64, 0)
        self._first_s = self.column(np.float64, 0)
        self._last_s = self.column(np.float64, 0)
        self._previous_s = self.column(np.float64, 0)
        self._boxes = self.column(np.float64, 0, 4)
        self._sizes = self.column(np.float64, 0)
        self._velocities = self.column(np.float64, 0, 2)
        self._anchors = self.column(np.float64, 0, 2, 2)
        self._previous = self.column(np.float64, 0, 2, 2)
        self.rest = Rest(self, REST_MOVE)
        """Rests with the tolerance that rules have by default."""
        self._alive = self.column(np.bool_, 0)
        self._believed = self.column(np.bool_, 0)
        self._observed = self.column(np.bool_, 0)
        self._fresh = self.column(np.bool_, 0)
        self._ghost_until_s = self.column(np.float64, np.nan)
        self._gone = self.column(np.bool_, 0)
        self._present = self.column(np.bool_, 0)
        self.time_s = -np.inf
        self.frame_size = (1, 1)

    def __len__(self) -> int:
        """How many slots are taken."""
        return self.capacity - len(self._free)

    def column(self, dtype: DTypeLike, fill: float, *rows: int) -> Column:
        """A property that lives and dies with each object.

        Args:
            dtype: of its array.
            fill: value in an empty slot and for a new object.
            rows: shape before the slot's axis.
        """
        return self._store.column(dtype, fill, *rows)

    @property
    def capacity(self) -> int:
        """How many slots there are."""
        return self._store.capacity

    @property
    def ids(self) -> IntArray:
        """(C,) track id; -1 in an empty slot."""
        return self._ids.data

    @property
    def labels(self) -> IntArray:
        """(C,) class of the last match."""
        return self._labels.data

    @property
    def scores(self) -> Float64Array:
        """(C,) score of the last match."""
        return self._scores.data

    @property
    def best_scores(self) -> Float64Array:
        """(C,) best score so far."""
        return self._best_scores.data

    @property
    def first_s(self) -> Float64Array:
        """(C,) time of the first detection."""
        return self._first_s.data

    @property
    def last_s(self) -> Float64Array:
        """(C,) time of the last match."""
        return self._last_s.data

    @property
    def previous_s(self) -> Float64Array:
        """(C,) time of the match before the last."""
        return self._previous_s.data

    @property
    def boxes(self) -> Float64Array:
        """(4, C) box of the last match, xyxy in picture heights."""
        return self._boxes.data

    @property
    def velocities(self) -> Float64Array:
        """(2, C) velocity of the box centre at the last match, px/s."""
        return self._velocities.data

    @property
    def anchors(self) -> Float64Array:
        """(2, 2, C): BOTTOM or CENTER; x, y; slot: place at the last match."""
        return self._anchors.data

    @property
    def previous(self) -> Float64Array:
        """(2, 2, C): the same at the match before."""
        return self._previous.data

    @property
    def sizes(self) -> Float64Array:
        """(C,) square root of the box's area."""
        return self._sizes.data

    @property
    def observed(self) -> BoolArray:
        """(C,) matched in this frame."""
        return self._observed.data

    @property
    def fresh(self) -> BoolArray:
        """(C,) observed for the first time in this frame."""
        return self._fresh.data

    @property
    def believed(self) -> BoolArray:
        """(C,) was confirmed at some time."""
        return self._believed.data

    @property
    def gone(self) -> BoolArray:
        """(C,) given up in this frame; the slot is emptied after it."""
        return self._gone.data

    @property
    def present(self) -> BoolArray:
        """(C,) believed and not gone."""
        return self._present.data

    def update(self, tracks: Tracks, time_s: float, frame_size: tuple[int, int]) -> None:
        """Take in the tracks of one frame.

        Args:
            tracks: of all states.
            time_s: of the frame, monotonic.
            frame_size: (width, height) in px that the tracks' boxes refer to.
        """
        self.time_s, self.frame_size = time_s, frame_size
        self._store.pack()
        self._observed.data.fill(False)
        self._fresh.data.fill(False)
        live, tentative = tracks.states != _REMOVED, tracks.states == _TENTATIVE
        seen = (tracks.states == _CONFIRMED) | (tentative & (tracks.since_seen_s <= 0))
        ids = tracks.ids.tolist()
        slots = np.array([self._slot_of.get(track, -1) for track in ids], np.intp)
        self._let_go(slots[live & (slots >= 0)])
        for row in (seen & (slots < 0)).nonzero()[0].tolist():
            slots[row] = self._admit(tracks, row)
        rows = seen.nonzero()[0]
        self._observe(tracks, rows, slots[rows])
        known = live & ~tentative & (slots >= 0)
        self._believed.data[slots[known]] = True
        np.logical_and(self._alive.data, self._believed.data & ~self._gone.data, out=self._present.data)

    def _let_go(self, kept: IntArray) -> None:
        """Give up the objects whose tracks are removed or no longer reported, and ghosts past their time."""
        left = self._alive.data.copy()
        left[kept] = False
        if not np.count_nonzero(left):
            return
        haunting = ~np.isnan(self._ghost_until_s.data)
        leaving = left & ~haunting
        rested = self.rest.in_place & (self.last_s - self.rest.since_s >= _MIN_REST_REJOIN_S)
        resting = leaving & self._believed.data & rested
        self._ghost_until_s.data[resting] = self.last_s[resting] + self._rejoin_s
        for slot in np.flatnonzero(leaving).tolist():
            self._slot_of.pop(int(self.ids[slot]), None)
        self._gone.data[leaving & ~resting] = True
        self._gone.data[self._ghost_until_s.data < self.time_s] = True

    def _admit(self, tracks: Tracks, row: int) -> int:
        """A slot for a new track: that of an object at rest in its place, or an empty one."""
        slot = self._rejoined(tracks, row)
        if slot is None:
            if not self._free:
                self._grow()
            slot = self._free.pop()
            self._first_s.data[slot] = self.time_s - max(float(tracks.age_s[row]), 0.0)
            self._fresh.data[slot] = True
            self._alive.data[slot] = True
        self._ids.data[slot] = tracks.ids[row]
        self._slot_of[int(tracks.ids[row])] = slot
        return slot

    def _rejoined(self, tracks: Tracks, row: int) -> int | None:
        ghosts = np.flatnonzero(
            (self._ghost_until_s.data >= self.time_s) & (self.labels == tracks.labels[row])
        )
        if not len(ghosts):
            return None
        box = tracks.boxes[row].astype(np.float64) / self.frame_size[1]
        left, top, right, bottom = self.boxes[:, ghosts]
        overlap = np.maximum(np.minimum(right, box[2]) - np.maximum(left, box[0]), 0) * np.maximum(
            np.minimum(bottom, box[3]) - np.maximum(top, box[1]), 0
        )
        union = (right - left) * (bottom - top) + (box[2] - box[0]) * (box[3] - box[1]) - overlap
        iou = overlap / np.maximum(union, 1e-12)
        best = int(np.argmax(iou))
        if iou[best] < _MIN_IOU_REJOIN:
            return None
        slot = int(ghosts[best])
        self._ghost_until_s.data[slot] = np.nan
        self._gone.data[slot] = False
        return slot

    def _observe(self, tracks: Tracks, rows: IntArray, slots: IntArray) -> None:
        """Write what is new of the tracks at `rows` into their `slots`."""
        self._observed.data[slots] = True
        boxes = tracks.boxes[rows].T.astype(np.float64) / self.frame_size[1]  # (4, n)
        self._boxes.data[:, slots] = boxes
        sides = np.maximum(boxes[2:] - boxes[:2], 0.0)
        self._sizes.data[slots] = np.sqrt(sides[0] * sides[1])
        places = np.empty((2, 2, len(slots)))
        places[:, 0] = (boxes[0] + boxes[2]) / 2
        places[BOTTOM, 1] = boxes[3]
        places[CENTER, 1] = (boxes[1] + boxes[3]) / 2
        self._previous.data[:, :, slots] = self._anchors.data.take(slots, axis=2)
        self._previous_s.data[slots] = self._last_s.data[slots]
        self._anchors.data[:, :, slots] = places
        np.copyto(self._previous.data, self._anchors.data, where=self._fresh.data)
        np.copyto(self._previous_s.data, self.time_s, where=self._fresh.data)
        self._last_s.data[slots] = self.time_s
        self._labels.data[slots] = tracks.labels[rows]
        self._scores.data[slots] = tracks.scores[rows]
        self._best_scores.data[slots] = np.maximum(self._best_scores.data[slots], tracks.scores[rows])
        self._velocities.data[:, slots] = tracks.velocities[rows].T
        self.rest.update()

    def evict(self) -> None:
        """Empty the slots of all that is gone."""
        slots = np.flatnonzero(self._gone.data)
        if not len(slots):
            return
        for slot in slots.tolist():
            self._slot_of.pop(int(self.ids[slot]), None)
            self._free.append(slot)
        self._store.empty(slots)

    def dismiss_all(self) -> None:
        """Mark every object as gone: the camera's rules stop."""
        self._gone.data[:] = self._alive.data
        self._observed.data.fill(False)
        self._present.data.fill(False)

    def _grow(self) -> None:
        before = self.capacity
        self._store.grow()
        self._free = list(range(self.capacity - 1, before - 1, -1))
