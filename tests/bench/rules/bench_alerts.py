"""Precision and recall of alerts from real pictures against those from ground truth, on PETS09-S2L1.

    python tests/bench/rules/bench_alerts.py [--data ../shared/data] [--model FILE.tflite]

The same rules see the ground-truth tracks, and the tracks that the project's detector and tracker make of the
video. An alert from the video is right when one from the ground truth has the same rule, kind and phase
within `--within` seconds and, where it is about a track, a box that overlaps its own by 0.2 at least
(positions are compared where the person was at that alert's time). Each alert is matched once. `square-seen`
leaves out who appears or vanishes in the square, as people do whose track is lost behind the lamp post in its
middle.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from agent.detect.detector import open_detector
from agent.detect.settings import DetectorSettings
from agent.geometry.boxes import iou_matrix
from agent.records import Alert, Detections, Frame, Phase, Tracks, TrackState
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings
from agent.track.settings import TrackerSettings
from agent.track.tracker import Tracker

ROOT = Path(__file__).resolve().parents[3]
SIZE = (480, 360)
FPS = 7.0
SCENE: dict[str, Any] = {
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
        {"name": "square", "kind": "zone", "zone": "square", "when": ["enter", "leave"]},
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


def ground_truth(path: Path) -> tuple[np.ndarray, Iterator[tuple[float, Tracks]]]:
    """(rows of frame, id, left, top, right, bottom; tracks by frame)."""
    rows = np.loadtxt(path, delimiter=",")[:, :6]
    rows[:, 4:6] += rows[:, 2:4]

    def tracks() -> Iterator[tuple[float, Tracks]]:
        born: dict[int, int] = {}
        for frame in range(1, 796):
            now = rows[rows[:, 0] == frame]
            count = len(now)
            age = [(frame - born.setdefault(int(track), frame)) / FPS for track in now[:, 1]]
            yield (
                frame / FPS,
                Tracks(
                    ids=now[:, 1].astype(np.int64),
                    boxes=now[:, 2:6].astype(np.float32),
                    velocities=np.zeros((count, 2), np.float32),
                    scores=np.ones(count, np.float32),
                    labels=np.zeros(count, np.int64),
                    states=np.full(count, TrackState.CONFIRMED, np.int64),
                    age_s=np.array(age, np.float32),
                    since_seen_s=np.zeros(count, np.float32),
                ),
            )

    return rows, tracks()


def detected(video: Path, model: Path, names: Path) -> Iterator[tuple[float, Detections]]:
    """What the model finds in every frame of the video."""
    import cv2

    detector = open_detector(
        DetectorSettings(model=model, labels_file=names, labels=("person",), min_score=0.1)
    )
    person = detector.labels.index("person")
    source = cv2.VideoCapture(str(video))
    for number in itertools.count(1):
        read, image = source.read()
        if not read:
            return
        found = detector.detect(Frame(image, number / FPS, number / FPS, number))
        own = found[found.labels == person]
        yield number / FPS, Detections(own.boxes, own.scores, np.zeros(len(own), np.int64))


def public(path: Path) -> Iterator[tuple[float, Detections]]:
    """Detections of a MOTChallenge file."""
    rows = np.loadtxt(path, delimiter=",")
    for frame in range(1, 796):
        now = rows[rows[:, 0] == frame]
        boxes = now[:, 2:6].copy()
        boxes[:, 2:] += boxes[:, :2]
        scores = np.clip(now[:, 6], 0.0, 1.0).astype(np.float32)
        yield frame / FPS, Detections(boxes.astype(np.float32), scores, np.zeros(len(now), np.int64))


def tracked(detections: Iterator[tuple[float, Detections]]) -> Iterator[tuple[float, Tracks]]:
    """What the tracker makes of them."""
    tracker = Tracker(TrackerSettings(motion="kalman"))
    for time_s, found in detections:
        yield time_s, tracker.update(found, time_s, SIZE)


def alerts_of(frames: Iterator[tuple[float, Tracks]], scene: RulesSettings) -> list[Alert]:
    """What the rules tell, without updates and the ends that the last frame brings."""
    numbers = itertools.count()
    rules = RuleEngine(scene, labels=("person",), new_id=lambda: str(next(numbers)))
    found = [alert for time_s, tracks in frames for alert in rules.update(tracks, time_s, time_s, SIZE)]
    return [alert for alert in found if alert.phase != Phase.UPDATE]


def happened_s(alert: Alert) -> float:
    """When what an alert tells of happened: its own time where it waited for certainty."""
    for key in ("at_s", "last_seen_s"):
        if key in alert.evidence:
            return float(alert.evidence[key])
    return alert.time_s


def right(found: list[Alert], true: list[Alert], rows: np.ndarray, within_s: float) -> int:
    """How many of `found` are true, each of `true` used once."""
    if not found or not true:
        return 0
    cost = np.full((len(found), len(true)), 1e6)
    for row, alert in enumerate(found):
        for column, other in enumerate(true):
            apart_s = abs(happened_s(alert) - happened_s(other))
            if apart_s <= within_s and _same_person(alert, other, rows):
                cost[row, column] = apart_s
    pairs = linear_sum_assignment(cost)
    return int((cost[pairs] < 1e6).sum())


def _same_person(alert: Alert, other: Alert, rows: np.ndarray) -> bool:
    if alert.track is None or other.track is None:
        return True
    own = rows[rows[:, 1] == other.track.id]
    nearest = own[np.abs(own[:, 0] / FPS - alert.track.last_seen_s).argmin(), 2:6]
    boxes = np.array([alert.track.box], np.float32), nearest[None].astype(np.float32)
    return bool(iou_matrix(*boxes)[0, 0] >= 0.2)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--within", type=float, default=1.5)
    options = parser.parse_args()
    pets = options.data / "pets09_s2l1"
    model = options.model or options.data / "models" / "yolox_nano_float16_quantize.tflite"
    scene = RulesSettings.model_validate(SCENE)
    rows, true_tracks = ground_truth(pets / "gt" / "gt.txt")
    truth = alerts_of(true_tracks, scene)
    sources = {
        f"video, {model.stem}": detected(
            pets / "vtest_480x360.mp4", model, options.data / "models" / "coco.names"
        ),
        "public detections": public(pets / "det" / "det_480x360.txt"),
    }
    for title, detections in sources.items():
        found = alerts_of(tracked(detections), scene)
        print(f"\n{title}")
        print(
            f"{'rule':<16}{'kind':<12}{'phase':<9}{'true':>6}{'found':>7}{'right':>7}{'precision':>11}{'recall':>8}"
        )
        keys = list(dict.fromkeys((alert.rule, alert.kind, alert.phase) for alert in truth + found))
        keys.sort(key=lambda key: [rule["name"] for rule in SCENE["rules"]].index(key[0]))
        sums = np.zeros(3, int)
        for key in keys:
            groups = [[a for a in group if (a.rule, a.kind, a.phase) == key] for group in (truth, found)]
            hits = right(groups[1], groups[0], rows, options.within)
            counts = np.array([len(groups[0]), len(groups[1]), hits])
            sums += counts
            print(f"{key[0]:<16}{key[1]:<12}{key[2].value:<9}" + _figures(counts))
        print(f"{'all':<37}" + _figures(sums))


def _figures(counts: np.ndarray) -> str:
    true, found, hits = counts.tolist()
    precision = f"{hits / found:.2f}" if found else "-"
    recall = f"{hits / true:.2f}" if true else "-"
    return f"{true:>6}{found:>7}{hits:>7}{precision:>11}{recall:>8}"


if __name__ == "__main__":
    main()
