"""The tracker: predict, associate in stages, correct, give birth, give up."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from agent.records import Detections, IntArray, Tracks, TrackState
from agent.track.association import Rows, assign, centres, sides, similarity
from agent.track.camera_motion import camera_shift
from agent.track.kalman import CX, CY, BatchedKalman, Float64Array, P, V, W
from agent.track.lifecycle import FIRST, IDS, LABELS, LAST, SCORE, TrackTable, states
from agent.track.settings import TrackerSettings

_MIN_SIDE_PX = 1e-3


class Tracker:
    """Multi-object tracking by detection, online and by motion alone.

    Args:
        settings: section `tracker` of the configuration.

    Ids start at 1 in each tracker and are never given twice, not even after `reset()`.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self._settings = s = settings or TrackerSettings()
        self._kalman = BatchedKalman(
            (s.position_noise, s.size_noise),
            (s.acceleration_noise, s.size_acceleration_noise),
            s.initial_speed,
        )
        self._table = TrackTable()
        self._time_s = -math.inf

    def reset(self) -> None:
        """Forget all tracks and the time, as when a camera was moved or a recording starts again."""
        self._table.clear()
        self._time_s = -math.inf

    def update(
        self, detections: Detections, time_s: float, frame_size: tuple[int, int] | None = None
    ) -> Tracks:
        """Follow all objects into the next frame.

        Args:
            detections: of this frame; none is a frame too.
            time_s: monotonic time of this frame, later than that of the last one.
            frame_size: (width, height) in px. Without it, tracks that leave at the border are kept as long
                as those that are lost elsewhere.

        Returns:
            All living tracks, tentative and lost ones too, and once those that were removed in this frame.

        Raises:
            DataError: the time does not advance, or a detection is not finite, inverted or without area.
                The tracker is as it was before.
        """
        self._check(detections, time_s)
        settings, table = self._settings, self._table
        dt_s = time_s - self._time_s if len(table) else 0.0
        self._time_s = time_s
        scores = detections.scores.astype(np.float64)
        usable = scores >= settings.low_score
        z = centres(detections.boxes.T.astype(np.float64))
        self._predict(dt_s, time_s)
        rows, columns = self._associate(z, scores, detections.labels, usable, dt_s, time_s)
        if len(rows):
            noise = 1.0 + settings.score_noise * (1.0 - scores[columns])
            self._kalman.update(table.motion, rows, z[:, columns], noise)
            table.seen(rows, scores[columns], detections.labels[columns], time_s, settings.confirm_hits)
        first_new = len(table)
        self._give_birth(z, scores, detections.labels, rows, columns, time_s)
        removed = self._expired(time_s, frame_size)
        tracks = self._report(z, rows, columns, removed, first_new, time_s)
        if removed.any():
            table.keep(~removed)
        return tracks

    def _check(self, detections: Detections, time_s: float) -> None:
        if not math.isfinite(time_s) or time_s <= self._time_s:
            raise DataError(
                "tracker",
                f"expected a time after {self._time_s:g} s, got {time_s:g} s",
                "give frames in order, or reset() the tracker",
            )
        boxes = detections.boxes
        if not len(boxes):
            return
        with np.errstate(invalid="ignore"):
            fine = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
            fine &= (detections.scores >= 0) & (detections.scores <= 1)
        if not fine.all():
            row = int(np.argmin(fine))
            raise DataError(
                f"tracker: detection {row}",
                "expected x1 < x2, y1 < y2, all finite, and a score in 0..1, got "
                f"box {boxes[row].tolist()}, score {float(detections.scores[row]):g}",
            )

    def _predict(self, dt_s: float, time_s: float) -> None:
        """Move all tracks to this frame; those that were not seen in the last one slow down."""
        table = self._table
        if not len(table):
            return
        lost = table.real[LAST] < time_s - dt_s
        damping = np.where(lost, self._settings.lost_damping_s, np.inf) if lost.any() else None
        self._kalman.predict(table.motion, dt_s, damping)
        size = table.motion[P, W:]
        np.maximum(size, _MIN_SIDE_PX, out=size)

    def _associate(
        self,
        z: Float64Array,
        scores: Float64Array,
        labels: IntArray,
        usable: NDArray[np.bool_],
        dt_s: float,
        time_s: float,
    ) -> tuple[Rows, Rows]:
        """Three stages: strong detections, what they left over, weak detections.

        Returns:
            (K,) tracks and (K,) detections that belong together.
        """
        settings, table = self._settings, self._table
        none = np.zeros(0, np.intp)
        if not len(table) or not usable.any():
            return none, none
        strong = scores >= settings.high_score
        unseen_s = time_s - table.real[LAST]
        penalty = settings.lost_weight * np.minimum((unseen_s - dt_s) / settings.lost_weight_after_s, 1.0)
        free_tracks = np.arange(len(table))
        free_strong = np.flatnonzero(strong)
        pairs_rows, pairs_columns = [], []

        def stage(tracks: Rows, found: Rows, min_iou: float) -> tuple[Rows, Rows, Rows, Rows]:
            if not len(tracks) or not len(found):
                return none, none, tracks, found
            gate, value = similarity(
                table.motion[P][:, tracks], z[:, found], settings.box_buffer, settings.height_weight
            )
            admissible = gate >= min_iou
            if not settings.across_classes:
                admissible &= table.whole[LABELS][tracks][:, None] == labels[found]
            i, j = assign(value - penalty[tracks][:, None], admissible)
            pairs_rows.append(tracks[i])
            pairs_columns.append(found[j])
            return tracks[i], found[j], np.delete(tracks, i), np.delete(found, j)

        rows, columns, free_tracks, free_strong = stage(free_tracks, free_strong, settings.min_iou_high)
        if settings.compensate_camera and len(rows):
            shift = camera_shift(z[: CY + 1, columns] - table.motion[P, : CY + 1][:, rows])
            table.motion[P, CX] += shift[0]
            table.motion[P, CY] += shift[1]
        _, _, free_tracks, free_strong = stage(free_tracks, free_strong, settings.min_iou_again)
        weak = np.flatnonzero(usable & ~strong)
        recent = free_tracks[unseen_s[free_tracks] <= settings.recent_s + dt_s]
        stage(recent, weak, settings.min_iou_low)
        if not pairs_rows:
            return none, none
        return np.concatenate(pairs_rows), np.concatenate(pairs_columns)

    def _give_birth(
        self,
        z: Float64Array,
        scores: Float64Array,
        labels: IntArray,
        rows: Rows,
        columns: Rows,
        time_s: float,
    ) -> None:
        settings, table = self._settings, self._table
        candidates = scores >= settings.birth_score
        candidates[columns] = False
        new = np.flatnonzero(candidates)
        if len(new) and len(rows):
            iou, _ = similarity(table.motion[P][:, rows], z[:, new], 1.0, 0.0)
            new = new[iou.max(axis=0) <= settings.birth_max_iou]
        if len(new):
            table.born(self._kalman.start(z[:, new]), scores[new], labels[new], time_s, settings.confirm_hits)

    def _expired(self, time_s: float, frame_size: tuple[int, int] | None) -> NDArray[np.bool_]:
        settings, table = self._settings, self._table
        unseen_s = time_s - table.real[LAST]
        if frame_size is not None and settings.border_ageing > 1.0:
            limit = np.array(frame_size, np.float64)[:, None]
            box = sides(table.motion[P])
            near = (box[:2] < settings.border * limit) | (box[2:] > (1.0 - settings.border) * limit)
            unseen_s = np.where(near.any(axis=0), unseen_s * settings.border_ageing, unseen_s)
        return unseen_s > np.where(table.confirmed, settings.lost_s, settings.tentative_s)

    def _report(
        self,
        z: Float64Array,
        rows: Rows,
        columns: Rows,
        removed: NDArray[np.bool_],
        first_new: int,
        time_s: float,
    ) -> Tracks:
        settings, table = self._settings, self._table
        boxes = table.motion[P].copy()
        if len(rows):
            share = np.array(
                [settings.centre_blend, settings.centre_blend, settings.size_blend, settings.size_blend]
            )
            boxes[:, rows] += share[:, None] * (z[:, columns] - boxes[:, rows])
        state = states(table, time_s)
        state[removed] = TrackState.REMOVED
        return Tracks(
            ids=table.whole[IDS].copy(),
            boxes=np.ascontiguousarray(sides(boxes).T, np.float32),
            velocities=np.ascontiguousarray(table.motion[V, : CY + 1].T, np.float32),
            scores=table.real[SCORE].astype(np.float32),
            labels=table.whole[LABELS].copy(),
            states=state,
            age_s=(time_s - table.real[FIRST]).astype(np.float32),
            since_seen_s=(time_s - table.real[LAST]).astype(np.float32),
        )
