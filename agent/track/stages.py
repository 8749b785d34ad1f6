"""Which detection belongs to which track: strong detections, what they left over, weak detections.

Source: Zhang et al., ByteTrack, ECCV 2022 (weak detections last). Pairs are those of agent.track.association.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agent.track.appearance import Appearance
from agent.track.association import NO_ROWS, Pairs, Rows, assign, gated, side_matrix
from agent.track.found import Found
from agent.track.kalman import Float64Array, P
from agent.track.lifecycle import LABELS, LAST, TrackTable
from agent.track.settings import TrackerSettings

# Arrays: NumPy converts a Python number at each use, which costs more than the sum of a few dozen.
_ONE = np.array(1.0)
_LONGEST_STEP_S = 0.5
"""Up to this step boxes are enlarged further; beyond, they would overlap everything."""


class StagedMatch:
    """Matches detections to the predicted tracks of a frame.

    Args:
        settings: section `tracker` of the configuration.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = s = settings
        self._lost_rate, self._lost_weight = np.array(1.0 / s.lost_weight_after_s), np.array(s.lost_weight)
        self._high_score, self._min_iou_high = np.array(s.high_score), np.array(s.min_iou_high)

    def __call__(
        self,
        table: TrackTable,
        found: Found,
        time_s: float,
        dt_s: float,
        follow_camera: Callable[[Found, Rows, Rows], bool],
        appearance: Appearance | None,
    ) -> tuple[Rows, Rows]:
        """Match one frame.

        Args:
            table: tracks, predicted to this frame.
            found: its detections.
            time_s, dt_s: of this frame, and since the one before.
            follow_camera: moves the tracks by what the matches of the first stage have in common, and tells
                whether the others should be looked at again.
            appearance: weighs the pairs by looks; None for places only.

        Returns:
            (K,) tracks and (K,) detections that belong together.
        """
        settings = self._settings
        if not len(table) or not len(found.scores):
            return NO_ROWS, NO_ROWS
        unseen_s = time_s - dt_s - table.real[LAST]
        penalty = np.minimum(unseen_s * self._lost_rate, _ONE) * self._lost_weight
        step_s = min(dt_s, _LONGEST_STEP_S)
        to_sides = side_matrix(settings.box_buffer + settings.box_buffer_per_s * step_s)
        sides = to_sides @ found.z
        strong = found.scores >= self._high_score

        def look() -> Pairs:
            pairs = self._pairs(table, found, to_sides, sides, penalty)
            return pairs if appearance is None else appearance.weigh(pairs)

        pairs = look()
        rows, columns = assign(pairs.where(strong.take(pairs.columns) & (pairs.iou >= self._min_iou_high)))
        moved = settings.compensate_camera and len(rows) > 2 and follow_camera(found, rows, columns)
        if len(rows) == len(table) or len(columns) == len(found.scores):
            return rows, columns

        free_tracks, free_found = np.ones(len(table), np.bool_), found.scores >= settings.low_score
        free_tracks[rows] = False
        free_found[columns] = False
        if moved:
            pairs = look()
        pairs = pairs.where(free_tracks.take(pairs.rows) & free_found.take(pairs.columns))
        if not len(pairs.rows):
            return rows, columns
        again = strong.take(pairs.columns)
        more_rows, more_columns = assign(pairs.where(again & (pairs.iou >= settings.min_iou_again)))
        free_tracks[more_rows] = False
        free_tracks &= unseen_s <= settings.recent_s
        weak = ~again & (pairs.iou >= settings.min_iou_low) & free_tracks.take(pairs.rows)
        last_rows, last_columns = assign(pairs.where(weak))
        return (
            np.concatenate((rows, more_rows, last_rows)),
            np.concatenate((columns, more_columns, last_columns)),
        )

    def _pairs(
        self,
        table: TrackTable,
        found: Found,
        to_sides: Float64Array,
        sides: Float64Array,
        penalty: Float64Array,
    ) -> Pairs:
        """All pairs that any stage may choose."""
        settings = self._settings
        min_iou = min(settings.min_iou_high, settings.min_iou_again, settings.min_iou_low)
        near = gated(to_sides @ table.motion[P], sides, min_iou, settings.height_weight)
        pairs = Pairs(near.rows, near.columns, near.iou, near.value - penalty.take(near.rows))
        if not settings.across_classes:
            pairs = pairs.where(table.whole[LABELS].take(near.rows) == found.labels.take(near.columns))
        return pairs
