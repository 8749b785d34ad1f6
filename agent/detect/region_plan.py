"""Where in a frame to look closer than the whole frame allows.

Small objects vanish when a large frame is shrunk to a model's input. Looking at parts of the frame at their
own resolution brings them back: sliced inference (Akyol, Altinuc, Temizel: Slicing Aided Hyper Inference,
ICIP 2022) does so for tiles that cover everything; here it is done around motion and tracks, so that an empty
scene costs nothing more.
"""

from __future__ import annotations

import math

import numpy as np

from agent.records import BoolArray, FloatArray, IntArray

TILE_OVERLAP = 0.2
"""Of neighbouring tiles, as a fraction of their side (the default of SAHI)."""
_LARGEST = 0.8  # of the region's side: larger targets are large enough in the whole frame
_HARDLY_LARGER = 1.2  # how much more detail a region must show than the whole frame does
_CELLS = 16  # in each direction, for which it is noted when they were last looked at
_LONGEST_S = 10.0  # from which on a place is as urgent as any


def region_size(
    input_size: tuple[int, int], frame_size: tuple[int, int], zoom: float
) -> tuple[int, int] | None:
    """Width and height in px of the frame of a region that fills a model's input.

    Args:
        input_size: (width, height) of the model's input, px.
        frame_size: (width, height) of the frame, px.
        zoom: px of the input for a px of the frame.

    Returns:
        None where a region would hardly show more than the whole frame does.
    """
    whole_frame_zoom = min(side / whole for side, whole in zip(input_size, frame_size, strict=True))
    if zoom < _HARDLY_LARGER * whole_frame_zoom:
        return None
    width, height = (
        min(round(side / zoom), whole) for side, whole in zip(input_size, frame_size, strict=True)
    )
    return width, height


def tiles(frame_size: tuple[int, int], size: tuple[int, int]) -> IntArray:
    """Regions of one size that cover the frame, evenly spaced, each overlapping its neighbours.

    Args:
        frame_size, size: (width, height) in px.

    Returns:
        (T, 4) xyxy in px, row by row.

    >>> tiles((640, 360), (416, 360)).tolist()
    [[0, 0, 416, 360], [224, 0, 640, 360]]
    """
    lefts, tops = (_starts(whole, side) for whole, side in zip(frame_size, size, strict=True))
    return np.array([(x, y, x + size[0], y + size[1]) for y in tops for x in lefts], np.int64)


def _starts(whole: int, side: int) -> list[int]:
    if side >= whole:
        return [0]
    count = math.ceil((whole - TILE_OVERLAP * side) / ((1.0 - TILE_OVERLAP) * side))
    return [int(start) for start in np.linspace(0, whole - side, max(count, 2)).round()]


class RegionPlan:
    """Chooses the regions of each frame; what was not looked at for long comes first.

    Args:
        frame_size: (width, height) in px.
        size: of a region, px.
        max_regions: of one frame.
    """

    def __init__(self, frame_size: tuple[int, int], size: tuple[int, int], max_regions: int) -> None:
        self.frame_size = frame_size
        self._size = np.array(size, np.float32)
        self._room = np.array(frame_size, np.float32) - self._size
        self._max_regions = max_regions
        self._tiles = tiles(frame_size, size)
        self._tile_looked_s = np.full(len(self._tiles), -np.inf)
        self._cell = np.array(frame_size, np.float32) / _CELLS
        self._looked_s = np.full((_CELLS, _CELLS), -np.inf)

    def around(self, targets: FloatArray, time_s: float) -> IntArray:
        """Regions around what moves or is followed: those that hold most, by how long it was not looked at.

        Args:
            targets: (N, 4) xyxy in px; those larger than a region are left to the whole frame.
            time_s: of the frame.

        Returns:
            (R, 4) xyxy in px, within the frame, R up to `max_regions`.
        """
        sides = targets[:, 2:] - targets[:, :2]
        targets = targets[(sides <= _LARGEST * self._size).all(axis=1) & (sides > 0).all(axis=1)]
        if not len(targets):
            return np.zeros((0, 4), np.int64)
        centres = (targets[:, :2] + targets[:, 2:]) / 2
        starts = self._starts_around(centres)
        holds: BoolArray = (
            (targets[None, :, :2] >= starts[:, None]) & (targets[None, :, 2:] <= starts[:, None] + self._size)
        ).all(axis=2)  # (N, N): region around i holds target j
        np.fill_diagonal(holds, val=True)  # one that reaches out of the frame is held as far as it can be
        weights = self._urgency(centres, time_s)
        chosen: list[FloatArray] = []
        while len(chosen) < self._max_regions and weights.any():
            held = holds[int(np.argmax(holds @ weights))] & (weights > 0)
            middle = (targets[held, :2].min(axis=0) + targets[held, 2:].max(axis=0)) / 2
            chosen.append(self._starts_around(middle))
            weights[held] = 0.0
        return self._look(np.array(chosen), time_s)

    def next_tiles(self, time_s: float) -> IntArray:
        """The tiles that were not looked at for longest; as `around`."""
        chosen = np.sort(np.argsort(self._tile_looked_s, kind="stable")[: self._max_regions])
        self._tile_looked_s[chosen] = time_s
        return self._tiles[chosen]

    def _starts_around(self, centres: FloatArray) -> FloatArray:
        starts: FloatArray = np.clip(centres - self._size / 2, 0, self._room).astype(np.float32)
        return starts

    def _cells(self, points: FloatArray) -> IntArray:
        cells: IntArray = np.clip(points // self._cell, 0, _CELLS - 1).astype(np.int64)
        return cells

    def _urgency(self, centres: FloatArray, time_s: float) -> FloatArray:
        """(N,) above 0: seconds since each place was last looked at."""
        columns, rows = self._cells(centres).T
        waited_s: FloatArray = np.clip(time_s - self._looked_s[rows, columns], 0.001, _LONGEST_S)
        return waited_s

    def _look(self, starts: FloatArray, time_s: float) -> IntArray:
        """Regions from their left upper corners; their places count as looked at."""
        whole: IntArray = np.concatenate([starts, starts + self._size], axis=1).round().astype(np.int64)
        for first, last in zip(self._cells(starts + 1), self._cells(starts + self._size - 1), strict=True):
            self._looked_s[first[1] : last[1] + 1, first[0] : last[0] + 1] = time_s
        return whole
