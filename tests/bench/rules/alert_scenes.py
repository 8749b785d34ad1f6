"""Videos with what is true of them, and the rules that they are asked about.

PETS09-S2L1 has ground-truth tracks. What happens in the other two videos was written down by looking at their
frames, three a second or more around each event; times are good to 0.3 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.assembly import build_tracker
from agent.detect.detector import Detector, open_detector
from agent.detect.settings import DetectorSettings, MotionSettings
from agent.geometry.boxes import iou_matrix
from agent.records import Detections, Frame, Tracks, TrackState
from agent.rules.settings import RulesSettings
from agent.track.settings import TrackerSettings
from tests.bench.rules.happenings import Frames, Happening, SamePerson, told

ROOT = Path(__file__).resolve().parents[3]
PETS_FPS, PETS_SIZE = 7.0, (480, 360)
WHOLE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]


@dataclass
class AlertScene:
    """One video.

    Args:
        name: for the table.
        rules: that it is asked about.
        labels: class names.
        size: (width, height) in px.
        true: what happens.
        sources: tracks by what found the objects.
        same: whether a found happening is about the person of a true one.
    """

    name: str
    rules: RulesSettings
    labels: tuple[str, ...]
    size: tuple[int, int]
    true: list[Happening]
    sources: dict[str, Frames]
    same: SamePerson = field(default=lambda found, true: True)


def tracks_of(boxes: np.ndarray, ids: np.ndarray, labels: np.ndarray, ages: np.ndarray) -> Tracks:
    """Objects of the truth as tracks, all confirmed."""
    count = len(ids)
    return Tracks(
        ids=ids.astype(np.int64),
        boxes=boxes.reshape(-1, 4).astype(np.float32),
        velocities=np.zeros((count, 2), np.float32),
        scores=np.ones(count, np.float32),
        labels=labels.astype(np.int64),
        states=np.full(count, TrackState.CONFIRMED, np.int64),
        age_s=ages.astype(np.float32),
        since_seen_s=np.zeros(count, np.float32),
    )


def sight(boxes: np.ndarray, labels: np.ndarray) -> Detections:
    """Objects of the truth as a detector without faults gives them."""
    return Detections(
        boxes.reshape(-1, 4).astype(np.float32), np.full(len(boxes), 0.9, np.float32), labels.astype(np.int64)
    )


def video_frames(path: Path, fps: float) -> Iterator[Frame]:
    """Frames of a video file, the first at second 0."""
    source = cv2.VideoCapture(str(path))
    number = 0
    while (read := source.read())[0]:
        yield Frame(read[1], number / fps, number / fps, number)
        number += 1


def detected(
    frames: Iterator[Frame], detector: Detector, only: tuple[int, ...] | None = None
) -> Iterator[tuple[float, Detections]]:
    """What a detector finds in each frame."""
    for frame in frames:
        found = detector.detect(frame)
        yield frame.time_s, found if only is None else found[np.isin(found.labels, only)]


def tracked(
    detections: Iterator[tuple[float, Detections]], size: tuple[int, int], levels: Sequence[float] = ()
) -> Iterator[tuple[float, Tracks]]:
    """What the tracker, with all its defaults, makes of detections; `levels` as the detector gives them."""
    tracker = build_tracker(TrackerSettings(), levels)
    for time_s, found in detections:
        yield time_s, tracker.update(found, time_s, size)


def yolox(data: Path, model: Path) -> Detector:
    """The detector of the table."""
    return open_detector(
        DetectorSettings(model=model, labels_file=data / "models" / "coco.names", min_score=0.1)
    )


PETS_RULES: dict[str, Any] = {
    "zones": {
        "square": {"points": [[0.3, 0.4], [0.7, 0.4], [0.7, 0.8], [0.3, 0.8]]},
        "corner": {"points": [[0.0, 0.3], [0.35, 0.25], [0.3, 0.6], [0.1, 0.55], [0.0, 0.8]]},
        "lane": {"points": [[0.35, 0.2], [0.95, 0.2], [0.95, 0.6], [0.35, 0.6]]},
    },
    "tripwires": {
        "across": {"points": [[0.0, 0.5], [1.0, 0.5]]},
        "slant": {"points": [[0.2, 0.9], [0.8, 0.1]]},
    },
    "rules": [
        {"name": "square", "kind": "zone", "zone": "square", "when": ["enter", "leave", "inside"]},
        {
            "name": "square-seen",
            "kind": "zone",
            "zone": "square",
            "when": ["enter", "leave"],
            "appearing": False,
            "vanishing": False,
        },
        {"name": "corner", "kind": "zone", "zone": "corner", "when": ["enter", "leave"]},
        {"name": "across", "kind": "tripwire", "tripwire": "across"},
        {"name": "slant", "kind": "tripwire", "tripwire": "slant"},
        {"name": "dwell-5-s", "kind": "dwell", "zone": "square", "min_s": 5.0},
        {"name": "more-than-2", "kind": "occupancy", "zone": "square", "above": 2},
        {"name": "more-than-3", "kind": "occupancy", "zone": "lane", "above": 3},
        {"name": "crowd-of-3", "kind": "crowd", "min_count": 3, "max_gap": 0.8},
        {
            "name": "wrong-way",
            "kind": "wrong-way",
            "allowed": [[0.2, 0.5], [0.8, 0.5]],
            "tolerance_deg": 120.0,
        },
        {"name": "speed-45-px-s", "kind": "speed", "above_px_s": 45.0},
        {"name": "stopped-5-s", "kind": "stopped", "min_s": 5.0},
        {"name": "corner-square", "kind": "sequence", "zones": ["corner", "square"], "within_s": 6.0},
        {"name": "left-at-edge", "kind": "left-scene", "edge_only": True},
    ],
}


def pets(data: Path, model: Path) -> AlertScene:
    """Nineteen people in a square; what is true follows from the ground-truth tracks.

    tests/agent/rules/test_on_pets.py works out the same counts by loops that share nothing with agent.rules.
    """
    folder = data / "pets09_s2l1"
    rows = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")[:, :6]
    rows[:, 4:6] += rows[:, 2:4]
    public = np.loadtxt(folder / "det" / "det_480x360.txt", delimiter=",")
    born = {int(who): rows[rows[:, 1] == who, 0].min() for who in np.unique(rows[:, 1])}
    by_frame = {frame: rows[rows[:, 0] == frame] for frame in range(1, 796)}

    def true_tracks() -> Iterator[tuple[float, Tracks]]:
        for frame, now in by_frame.items():
            ages = np.array([(frame - born[int(who)]) / PETS_FPS for who in now[:, 1]])
            yield frame / PETS_FPS, tracks_of(now[:, 2:6], now[:, 1], np.zeros(len(now)), ages)

    def annotated() -> Iterator[tuple[float, Detections]]:
        for frame, now in by_frame.items():
            yield frame / PETS_FPS, sight(now[:, 2:6], np.zeros(len(now)))

    def published() -> Iterator[tuple[float, Detections]]:
        for frame in by_frame:
            now = public[public[:, 0] == frame]
            boxes = np.concatenate((now[:, 2:4], now[:, 2:4] + now[:, 4:6]), axis=1).astype(np.float32)
            scores = np.clip(now[:, 6], 0.0, 1.0).astype(np.float32)
            yield frame / PETS_FPS, Detections(boxes, scores, np.zeros(len(now), np.int64))

    detector = yolox(data, model)

    def filmed() -> Iterator[tuple[float, Detections]]:
        frames = video_frames(folder / "vtest_480x360.mp4", PETS_FPS)
        for time_s, found in detected(frames, detector, (0,)):
            yield time_s + 1 / PETS_FPS, found

    rules = RulesSettings.model_validate(PETS_RULES)
    people = _People(by_frame)
    return AlertScene(
        "PETS09-S2L1",
        rules,
        ("person",),
        PETS_SIZE,
        told(true_tracks(), rules, ("person",), PETS_SIZE),
        {
            title: people.watch(tracked(found(), PETS_SIZE, levels))
            for title, found, levels in (
                ("annotated boxes", annotated, ()),
                (model.stem, filmed, detector.score_levels),
                ("public detections", published, ()),
            )
        },
        people.same,
    )


class _People:
    """Whom each track followed, by overlap with the ground truth."""

    def __init__(self, by_frame: dict[int, np.ndarray]) -> None:
        self._by_frame = by_frame
        self._followed: dict[int, list[tuple[float, int]]] = {}

    def watch(self, frames: Frames) -> Iterator[tuple[float, Tracks]]:
        self._followed = {}
        for time_s, tracks in frames:
            now = self._by_frame[round(time_s * PETS_FPS)]
            if len(now) and len(tracks):
                shared = iou_matrix(tracks.boxes, now[:, 2:6].astype(np.float32))
                for row in np.flatnonzero(shared.max(axis=1) >= 0.3).tolist():
                    who = int(now[shared[row].argmax(), 1])
                    self._followed.setdefault(int(tracks.ids[row]), []).append((time_s, who))
            yield time_s, tracks

    def same(self, found: Happening, true: Happening) -> bool:
        """Whether the track followed that person at the time, give or take two seconds."""
        until_s = found.begin_s if found.end_s is None else found.end_s
        seen = self._followed.get(found.who or 0, [])
        return any(who == true.who and found.begin_s - 2.0 <= time_s <= until_s + 2.0 for time_s, who in seen)


TABLE_RULES: dict[str, Any] = {
    "zones": {
        "table": {"points": [[0.4, 0.76], [0.8, 0.76], [0.8, 1.0], [0.4, 1.0]]},
        "door": {"points": [[0.8, 0.6], [1.0, 0.6], [1.0, 1.0], [0.8, 1.0]]},
    },
    "tripwires": {"exit": {"points": [[0.8, 0.5], [0.8, 1.0]]}},
    "rules": [
        {"name": "table", "kind": "zone", "zone": "table", "when": ["enter", "leave", "inside"]},
        {"name": "exit", "kind": "tripwire", "tripwire": "exit"},
        {"name": "dwell-15-s", "kind": "dwell", "zone": "table", "min_s": 15.0},
        {"name": "occupied", "kind": "occupancy", "zone": "table", "above": 0},
        {"name": "stopped-5-s", "kind": "stopped", "min_s": 5.0},
        {"name": "table-door", "kind": "sequence", "zones": ["table", "door"], "within_s": 3.0},
        {"name": "left", "kind": "left-scene"},
        {"name": "crowd-of-2", "kind": "crowd", "min_count": 2},
        {
            "name": "to-the-left",
            "kind": "wrong-way",
            "allowed": [[0.2, 0.5], [0.8, 0.5]],
            "tolerance_deg": 120,
        },
    ],
}
TABLE_VISITS = [  # comes into the zone, stands still, walks on, steps out of the zone, is out of sight
    (6.4, 8.1, 18.4, 18.9, 19.8),
    (23.0, 24.6, 43.4, 43.9, 44.8),
    (50.6, 52.3, 68.4, 69.0, 69.9),
    (75.1, 76.5, 85.2, 85.6, 86.7),
    (92.4, 94.3, 118.2, 118.7, 119.9),
    (124.0, 125.1, 134.2, 134.8, 136.0),
]


def table(data: Path, model: Path) -> AlertScene:
    """Six people who come to a table, stand there and leave to the right, one after the other."""
    true = []
    for come_s, stand_s, walk_s, leave_s, gone_s in TABLE_VISITS:
        true += [
            Happening("table", "enter", come_s),
            Happening("table", "leave", leave_s),
            Happening("table", "inside", come_s, leave_s),
            Happening("exit", "cross", leave_s),
            Happening("occupied", "occupancy", come_s, leave_s),
            Happening("stopped-5-s", "stopped", stand_s, walk_s),
            Happening("table-door", "sequence", leave_s),
            Happening("left", "left-scene", gone_s),
        ]
        if leave_s - come_s >= 15.0:
            true.append(Happening("dwell-15-s", "dwell", come_s, leave_s))
    frames = video_frames(data / "video" / "one-by-one-person-detection.mp4", 10.0)
    detector = yolox(data, model)
    found = tracked(detected(frames, detector, (0,)), (768, 432), detector.score_levels)
    rules = RulesSettings.model_validate(TABLE_RULES)
    return AlertScene("one-by-one", rules, ("person",), (768, 432), true, {model.stem: found})


ROAD_RULES: dict[str, Any] = {
    "zones": {
        "road": {"points": WHOLE, "anchor": "center"},
        "upper": {"points": [[0.0, 0.0], [1.0, 0.0], [1.0, 0.5], [0.0, 0.5]], "anchor": "center"},
        "lower": {"points": [[0.0, 0.5], [1.0, 0.5], [1.0, 1.0], [0.0, 1.0]], "anchor": "center"},
    },
    "tripwires": {"middle": {"points": [[0.0, 0.5], [1.0, 0.5]], "anchor": "center"}},
    "rules": [
        {"name": "down", "kind": "tripwire", "tripwire": "middle", "direction": "a-to-b"},
        {"name": "up", "kind": "tripwire", "tripwire": "middle", "direction": "b-to-a"},
        {"name": "lower", "kind": "zone", "zone": "lower", "when": ["enter", "leave", "inside"]},
        {"name": "dwell-2-s", "kind": "dwell", "zone": "road", "min_s": 2.0},
        {"name": "two-at-once", "kind": "occupancy", "zone": "road", "above": 1},
        {"name": "wrong-way", "kind": "wrong-way", "allowed": [[0.5, 1.0], [0.5, 0.0]]},
        {"name": "80-px-s", "kind": "speed", "above_px_s": 80.0},
        {"name": "300-px-s", "kind": "speed", "above_px_s": 300.0},
        {"name": "stopped-2-s", "kind": "stopped", "min_s": 2.0},
        {"name": "lower-upper", "kind": "sequence", "zones": ["lower", "upper"], "within_s": 5.0},
        {"name": "left", "kind": "left-scene"},
    ],
}
ROAD_CARS = [  # first seen, its middle crosses the picture's, out of sight, whether it goes up
    (4.5, 6.35, 8.2, True),
    (14.4, 16.5, 18.3, False),
    (14.9, 17.0, 19.0, True),
    (25.4, 26.6, 27.9, False),
]


def road(data: Path) -> AlertScene:
    """Four cars on a road seen from above, two each way; found by motion alone."""
    true = [Happening("two-at-once", "occupancy", 14.9, 18.3)]
    for first_s, middle_s, last_s, up in ROAD_CARS:
        true += [
            Happening("up" if up else "down", "cross", middle_s),
            Happening("lower", "enter", first_s if up else middle_s),
            Happening("lower", "leave", middle_s if up else last_s),
            Happening("lower", "inside", *((first_s, middle_s) if up else (middle_s, last_s))),
            Happening("dwell-2-s", "dwell", first_s, last_s),
            Happening("80-px-s", "speed", first_s + 0.5, last_s),
            Happening("left", "left-scene", last_s),
            Happening("lower-upper", "sequence", middle_s)
            if up
            else Happening("wrong-way", "wrong-way", first_s, last_s),
        ]
    motion = open_detector(DetectorSettings(kind="motion", motion=MotionSettings()))
    frames = video_frames(data / "video" / "car-detection.mp4", 12.5)
    rules = RulesSettings.model_validate(ROAD_RULES)
    labels = motion.labels
    found = tracked(detected(frames, motion), (768, 432), motion.score_levels)
    return AlertScene("car-detection", rules, labels, (768, 432), true, {"motion": found})


Scenes = dict[str, Callable[[], AlertScene]]
