"""How the boxes of tracks moved over the last seconds, at a rate of its own.

Boxes come with the camera's frames, at any rate and with gaps. They are interpolated at moments `TICK_S`
apart, so that a model that is trained at one frame rate works at every other. All features are lengths of the
object's own and seconds, so that neither resolution nor distance matters. The camera must stand still.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.records import BoolArray, FloatArray, IntArray
from agent.sequence_model import Float64Array

TICK_S = 0.2
STEPS = 24
"""The model sees `STEPS` moments, `TICK_S` apart."""
FEATURES = 10
"""Per second: x and y of the feet, logarithms of height and width. Then: logarithm of width over height, x
and y of the feet from where they are now, logarithm of the height over the largest, seen or not, at the
picture's edge or not. Lengths are in those of the box's longer side."""
_LIMIT = 4.0
"""Features are cut at ± this, so that one wild track does not cost the others their int8 resolution."""
_MAX_GAP_S = 1.0
"""Longer gaps are not bridged: nobody knows what happened."""
_EDGE = 0.01
"""A box this near to the picture's edge, as a part of its height, is taken to be cut by it."""
_X, _Y, _W, _H, _CUT = range(5)
Rows: TypeAlias = NDArray[np.intp]


class BoxHistory:
    """The last moments of all tracks of a camera, one column each.

    `path` (STEPS, 5, N): x of the centre, y of the lower edge, width, height in px and whether the box is cut
    by the picture's edge; NaN where a track was not seen. Moment k lies at k · TICK_S, in row k mod STEPS.
    """

    def __init__(self) -> None:
        self.ids: IntArray = np.zeros(0, np.int64)
        self.moment = -1
        """The newest moment."""
        self._path: Float64Array = np.zeros((STEPS, 5, 0))
        self._last: Float64Array = np.zeros((5, 0))
        self._last_s: Float64Array = np.zeros(0)

    def follow(self, ids: IntArray) -> Rows | None:
        """Make the columns those of `ids` (N,): others are forgotten, new ones are empty.

        Returns:
            (N,) the column that each had before, -1 for new ones; None when nothing has changed.
        """
        if len(ids) == len(self.ids) and (ids == self.ids).all():
            return None
        before = columns_of(self.ids, ids)
        new = before < 0
        # Column -1 is any column; what it brings is overwritten.
        if len(self.ids):
            self._path, self._last = self._path[:, :, before], self._last[:, before]
            self._last_s = self._last_s[before]
        else:
            self._path, self._last = np.empty((STEPS, 5, len(ids))), np.empty((5, len(ids)))
            self._last_s = np.empty(len(ids))
        self._path[:, :, new] = np.nan
        self._last_s[new] = np.nan
        self.ids = ids.copy()
        return before

    def observe(self, seen: BoolArray, boxes: FloatArray, time_s: float, frame_size: tuple[int, int]) -> bool:
        """Note where tracks are.

        Args:
            seen: (N,) the tracks that are seen in this frame.
            boxes: (N, 4) xyxy in px, of all tracks.
            time_s: of the frame, later than the last one.
            frame_size: (width, height) in px.

        Returns:
            True when a moment has passed since the last frame, so that there is something new to say.
        """
        newest = math.floor(time_s / TICK_S + 1e-9)
        passed = newest > self.moment
        if passed:
            fresh = np.arange(max(self.moment + 1, newest - STEPS + 1), newest + 1)
            self._path[fresh % STEPS] = np.nan
            self.moment = newest
        rows = seen.nonzero()[0]
        if len(rows):
            now = _samples(boxes[rows].astype(np.float64), frame_size)
            if passed or np.nanmin(self._last_s[rows], initial=time_s) < newest * TICK_S:
                self._interpolate(rows, now, time_s)
            self._last[:, rows], self._last_s[rows] = now, time_s
        return passed

    def _interpolate(self, rows: Rows, now: Float64Array, time_s: float) -> None:
        """Fill in the moments between the last sight of each track and this one."""
        last_s = self._last_s[rows]
        oldest = np.nanmin(last_s, initial=time_s)
        first = max(math.floor(oldest / TICK_S + 1e-9), self.moment - STEPS + 1)
        moments = np.arange(first, self.moment + 1)
        at_s = moments[:, None] * TICK_S  # (K, 1)
        fresh = np.isnan(last_s)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = (at_s - last_s) / (time_s - last_s)  # (K, M)
            within = (part > 0) & (part <= 1 + 1e-6) & (time_s - last_s <= _MAX_GAP_S)
        part = np.where(fresh, 1.0, part)
        within |= fresh & (np.abs(at_s - time_s) < 1e-6)
        last = np.where(fresh, now, self._last[:, rows])
        values = last + part[:, None] * (now - last)  # (K, 5, M)
        step, row = within.nonzero()
        self._path[moments[step] % STEPS, :, rows[row]] = values[step, :, row]

    def seen_steps(self) -> IntArray:
        """(N,) at how many of the moments each track was seen; 0 for those not seen at the newest."""
        known = ~np.isnan(self._path[:, _X])
        steps: IntArray = np.where(known[self.moment % STEPS], known.sum(axis=0), 0)
        return steps

    def features(self, rows: Rows) -> Float64Array:
        """What the model reads of tracks `rows` (M,), which are seen at the newest moment.

        Returns:
            (M, STEPS, FEATURES), oldest first.
        """
        order = np.arange(self.moment + 1, self.moment + 1 + STEPS) % STEPS
        return box_features(self._path[order][:, :, rows])


def columns_of(known: IntArray, wanted: IntArray) -> Rows:
    """(N,) where each of `wanted` (N,) stands in `known` (M,); -1 where it does not."""
    if not len(known):
        return np.full(len(wanted), -1, np.intp)
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
    columns = order[place]
    return np.where(known[columns] == wanted, columns, -1)


def box_features(path: Float64Array) -> Float64Array:
    """Features of box histories.

    Args:
        path: (STEPS, 5, M), oldest first, as `BoxHistory` holds it; seen in the last step.

    Returns:
        (M, STEPS, FEATURES), see `FEATURES`.
    """
    seen = ~np.isnan(path[:, _X])  # (STEPS, M)
    width, height = path[:, _W], path[:, _H]
    length = np.maximum(width, height)
    log_width, log_height = np.log(width), np.log(height)
    place = path[:, [_X, _Y]]  # (STEPS, 2, M)
    features = np.zeros((STEPS, FEATURES, path.shape[2]))
    features[1:, 0:2] = (place[1:] - place[:-1]) / (length[1:, None] * TICK_S)
    features[1:, 2] = (log_height[1:] - log_height[:-1]) / TICK_S
    features[1:, 3] = (log_width[1:] - log_width[:-1]) / TICK_S
    features[:, 4] = log_width - log_height
    features[:, 5:7] = (place - place[-1]) / length[-1]
    features[:, 7] = log_height - np.fmax.reduce(log_height, axis=0)
    features[:, 8] = seen
    features[:, 9] = path[:, _CUT]
    limited: Float64Array = np.clip(np.nan_to_num(features, nan=0.0), -_LIMIT, _LIMIT).transpose(2, 0, 1)
    return limited


def _samples(boxes: Float64Array, frame_size: tuple[int, int]) -> Float64Array:
    """(5, M) of boxes (M, 4)."""
    width, height = frame_size
    margin = _EDGE * height
    left, top, right, bottom = boxes.T
    cut = (left < margin) | (top < margin) | (right > width - margin) | (bottom > height - margin)
    sides = np.maximum(np.stack((right - left, bottom - top)), 1.0)
    return np.stack(((left + right) / 2, bottom, sides[0], sides[1], cut))
