"""The table of living tracks: one column each, and all its state goes with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.records import IntArray
from agent.track.kalman import Float64Array

IDS, LABELS, HITS = range(3)
"""Rows of `TrackTable.whole`."""
FIRST, LAST, SCORE, VOTE = range(4)
"""Rows of `TrackTable.real`: times of first and last detection, score of the last, the label's weight."""

_ONE = np.array(1)
"""An array: NumPy converts a Python number at each use, which costs more than to add a few dozen."""
_MAX_VOTE = 10.0
"""So much weight a label can gather: about ten sure detections of another class overrule any history."""


class TrackTable:
    """State per track.

    `motion` (5, 4, N) float64 is the filter's, `whole` (3, N) int64 and `real` (4, N) float64 hold the
    rows that are named above.
    """

    def __init__(self) -> None:
        self.next_id = 1
        self.clear()

    def clear(self) -> None:
        """Forget all tracks, but not which ids were given."""
        self.motion: Float64Array = np.zeros((5, 4, 0))
        self.whole: IntArray = np.zeros((3, 0), np.int64)
        self.real: Float64Array = np.zeros((4, 0))

    @classmethod
    def restored(cls, next_id: int, motion: object, whole: object, real: object) -> TrackTable:
        """A table of what another one held.

        Raises:
            ValueError: the arrays do not fit each other.
        """
        table = cls()
        table.next_id = int(next_id)
        table.motion = np.array(motion, np.float64)
        table.whole = np.array(whole, np.int64)
        table.real = np.array(real, np.float64)
        count = table.whole.shape[-1]
        shapes = (table.motion.shape, table.whole.shape, table.real.shape)
        if shapes != ((5, 4, count), (3, count), (4, count)):
            raise ValueError(f"expected arrays (5, 4, N), (3, N) and (4, N), got {shapes}")
        if count and not 0 < table.whole[IDS].max() < table.next_id:
            raise ValueError(f"expected ids below next_id {table.next_id}, got {table.whole[IDS].max()}")
        return table

    def __len__(self) -> int:
        return self.whole.shape[1]

    def born(self, motion: Float64Array, scores: Float64Array, labels: IntArray, time_s: float) -> None:
        """Append new tracks.

        Args:
            motion: (5, 4, M) their filter states.
            scores, labels: (M,) of their first detections.
            time_s: of this frame.
        """
        count = len(scores)
        ids = np.arange(self.next_id, self.next_id + count)
        self.next_id += count
        times = np.full(count, time_s)
        self.motion = np.concatenate((self.motion, motion), axis=2)
        self.whole = np.concatenate((self.whole, (ids, labels, np.ones(count, np.int64))), axis=1)
        self.real = np.concatenate((self.real, (times, times, scores, scores)), axis=1)

    def seen(self, rows: NDArray[np.intp], scores: Float64Array, time_s: float) -> None:
        """Note that tracks `rows` (M,) have detections of `scores` (M,)."""
        hits = self.whole[HITS]
        hits[rows] = hits.take(rows) + _ONE
        self.real[LAST][rows] = time_s
        self.real[SCORE][rows] = scores

    def vote(self, rows: NDArray[np.intp], scores: Float64Array, labels: IntArray) -> None:
        """Let detections decide on the labels of their tracks.

        A running majority (R. Boyer, J. Moore, 1981) weighted by score: a detection of another class
        lowers the label's weight, and takes its place once that is used up.
        """
        known = self.whole[LABELS, rows]
        weight = self.real[VOTE, rows] + np.where(known == labels, scores, -scores)
        self.whole[LABELS, rows] = np.where(weight < 0, labels, known)
        self.real[VOTE, rows] = np.minimum(np.abs(weight), _MAX_VOTE)

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Remove all tracks but those where `kept` (N,) is true."""
        self.motion = self.motion[:, :, kept]
        self.whole = self.whole[:, kept]
        self.real = self.real[:, kept]
