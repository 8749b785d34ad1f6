"""Other trackers behind one door, for benchmarks only: those of PyPI `trackers`, and norfair.

They are compared with, never part of Edgetrack. A peer that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.records import Detections

Rows: TypeAlias = NDArray[np.float64]
NOTHING: Rows = np.zeros((0, 6))


@dataclass(frozen=True)
class Running:
    """A tracker at work, in three steps so that a clock can be held to the second alone.

    Args:
        prepare: detections to what the tracker takes.
        update: the tracker's own call, with what was prepared.
        rows: what it gave to (N, 6): id, x1, y1, x2, y2, score of the tracks that were seen in this frame.
    """

    prepare: Callable[[Detections], Any]
    update: Callable[[Any], Any]
    rows: Callable[[Any], Rows]

    def step(self, found: Detections) -> Rows:
        """All three."""
        return self.rows(self.update(self.prepare(found)))


@dataclass(frozen=True)
class Peer:
    """A tracker that can be started.

    Args:
        package: that it comes from.
        start: keyword parameters to a running tracker.
        space: parameters to tune, name to (low, high); whole numbers where both are.
    """

    package: str
    start: Callable[..., Running]
    space: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def _roboflow(name: str) -> Callable[..., Running]:
    def start(**parameters: Any) -> Running:
        import supervision as sv
        import trackers

        def prepare(found: Detections) -> Any:
            return sv.Detections(
                xyxy=found.boxes.astype(np.float64),
                confidence=found.scores.astype(np.float64),
                class_id=found.labels.astype(int),
            )

        def rows(out: Any) -> Rows:
            if out.tracker_id is None or not len(out):
                return NOTHING
            kept = out.tracker_id >= 0
            return np.column_stack((out.tracker_id[kept] + 1, out.xyxy[kept], out.confidence[kept]))

        return Running(prepare, getattr(trackers, name)(**parameters).update, rows)

    return start


def _norfair(
    min_iou: float = 0.3, hit_counter_max: int = 15, initialization_delay: int = 2, min_score: float = 0.0
) -> Running:
    import norfair

    tracker = norfair.Tracker(
        distance_function="iou",
        distance_threshold=1.0 - min_iou,
        hit_counter_max=max(hit_counter_max, initialization_delay + 1),
        initialization_delay=initialization_delay,
    )

    def prepare(found: Detections) -> Any:
        return [
            norfair.Detection(points=box.reshape(2, 2), scores=np.array([score, score]))
            for box, score in zip(found.boxes.astype(np.float64), found.scores.tolist(), strict=True)
            if score >= min_score
        ]

    def rows(objects: Any) -> Rows:
        seen = [
            (o.id, *o.estimate.reshape(4), float(o.last_detection.scores[0]))
            for o in objects
            if o.live_points.any()
        ]
        return np.array(seen) if seen else NOTHING

    return Running(prepare, tracker.update, rows)


_COMMON = {
    "lost_track_buffer": (10, 90),
    "track_activation_threshold": (0.1, 0.95),
    "minimum_iou_threshold": (0.05, 0.7),
    "minimum_consecutive_frames": (1, 4),
}
PEERS: dict[str, Peer] = {
    "ByteTrack": Peer(
        "trackers", _roboflow("ByteTrackTracker"), {**_COMMON, "high_conf_det_threshold": (0.3, 0.9)}
    ),
    "SORT": Peer("trackers", _roboflow("SORTTracker"), _COMMON),
    "OC-SORT": Peer("trackers", _roboflow("OCSORTTracker")),
    "C-BIoU": Peer("trackers", _roboflow("CBIoUTracker")),
    "norfair": Peer(
        "norfair",
        _norfair,
        {
            "min_iou": (0.02, 0.6),
            "hit_counter_max": (5, 60),
            "initialization_delay": (0, 4),
            "min_score": (0.0, 0.9),
        },
    ),
}


def installed() -> dict[str, Peer]:
    """The peers that can be run here, by name."""
    return {name: peer for name, peer in PEERS.items() if importlib.util.find_spec(peer.package) is not None}
