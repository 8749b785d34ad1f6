"""The table of living tracks: birth, confirmation, loss and removal, all in seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.records import IntArray, TrackState
from agent.track.kalman import Float64Array

IDS, LABELS, HITS, CONFIRMED = range(4)
"""Rows of `TrackTable.whole`; CONFIRMED is 0 or 1."""
FIRST, LAST, SCORE, VOTE = range(4)
"""Rows of `TrackTable.real`: time of the first and of the last detection, score of the last, weight of the label."""


class TrackTable:
    """State per track, one column each; a track that is removed takes all its state with it.

    `motion` (5, 4, N) float64 is the filter's, `whole` (4, N) int64 and `real` (4, N) float64 hold the
    rows that are named above.
    """

    def __init__(self) -> None:
        self.next_id = 1
        self.clear()

    def clear(self) -> None:
        """Forget all tracks, but not which ids were given."""
        self.motion: Float64Array = np.zeros((5, 4, 0))
        self.whole: IntArray = np.zeros((4, 0), np.int64)
        self.real: Float64Array = np.zeros((4, 0))

    def __len__(self) -> int:
        return self.whole.shape[1]

    @property
    def confirmed(self) -> NDArray[np.bool_]:
        """(N,) whether a track is believed."""
        return self.whole[CONFIRMED] != 0

    def born(
        self, motion: Float64Array, scores: Float64Array, labels: IntArray, time_s: float, confirm_hits: int
    ) -> None:
        """Append new tracks.

        Args:
            motion: (5, 4, M) their filter states.
            scores, labels: (M,) of their first detections.
            time_s: of this frame.
            confirm_hits: detections that a track needs to be confirmed.
        """
        count = len(scores)
        ids = np.arange(self.next_id, self.next_id + count)
        self.next_id += count
        hits = np.ones(count, np.int64)
        times = np.full(count, time_s)
        self.motion = np.concatenate((self.motion, motion), axis=2)
        self.whole = np.concatenate((self.whole, (ids, labels, hits, hits >= confirm_hits)), axis=1)
        self.real = np.concatenate((self.real, (times, times, scores, scores)), axis=1)

    def seen(
        self, rows: NDArray[np.intp], scores: Float64Array, labels: IntArray, time_s: float, confirm_hits: int
    ) -> None:
        """Note the detections of matched tracks.

        The label is a running majority (R. Boyer, J. Moore, 1981) weighted by score: a detection of
        another class lowers the label's weight, and takes its place once that is used up.
        """
        whole, real = self.whole, self.real
        hits = whole[HITS, rows] + 1
        whole[HITS, rows] = hits
        whole[CONFIRMED, rows] |= hits >= confirm_hits
        same = whole[LABELS, rows] == labels
        if same.all():
            real[VOTE, rows] = np.minimum(real[VOTE, rows] + scores, 10.0)
        else:
            vote = np.minimum(real[VOTE, rows] + np.where(same, scores, -scores), 10.0)
            whole[LABELS, rows] = np.where(vote < 0, labels, whole[LABELS, rows])
            real[VOTE, rows] = np.abs(vote)
        real[LAST, rows] = time_s
        real[SCORE, rows] = scores

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Remove all tracks but those where `kept` (N,) is true."""
        self.motion = self.motion[:, :, kept]
        self.whole = self.whole[:, kept]
        self.real = self.real[:, kept]


def states(table: TrackTable, time_s: float) -> IntArray:
    """(N,) `TrackState` of every track after the frame of `time_s`."""
    lost = table.real[LAST] < time_s
    return np.where(
        table.confirmed,
        np.where(lost, int(TrackState.LOST), int(TrackState.CONFIRMED)),
        int(TrackState.TENTATIVE),
    )
