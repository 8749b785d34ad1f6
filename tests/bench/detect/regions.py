"""What regions at the frame's own resolution find that the whole frame loses, and what they cost.

    python -m tests.bench.detect.regions MODEL.tflite --coco DIR [--labels FILE]
    python -m tests.bench.detect.regions MODEL.tflite --pets DIR [--frames 400] [--labels FILE]

`--coco`: pictures with YOLO labels (images/val2017, labels/val2017), where nothing moves: a grid of tiles,
all of them in each picture. `--pets`: a video with MOTChallenge truth, detector and tracker, with regions
around motion and tracks. Small is below 32 x 32 px, as COCO has it; recall is of detections with score 0.3 at
IoU 0.5. `cost` is the time of a frame against that of the same frame without regions, measured in turn.
Prints a line of JSON for each setting.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agent.assembly import build_tracker
from agent.detect.detector import Detector, open_detector
from agent.detect.settings import DetectorSettings
from agent.detect.sharing import ModelPool
from agent.geometry.boxes import areas, iou_matrix
from agent.records import Detections, Frame, TrackState
from agent.track.settings import TrackerSettings
from models.evaluate.annotations import (
    Annotations,
    read_image,
    read_motchallenge,
    read_video,
    read_yolo_folder,
)
from models.evaluate.detection import evaluate_detections

SMALL = 32**2
SETTINGS: dict[str, dict[str, dict[str, Any] | None]] = {
    "coco": {
        "whole frame": None,
        "grid, zoom 1": {"kind": "grid", "max_regions": 32},
        "grid, zoom 1.5": {"kind": "grid", "max_regions": 32, "zoom": 1.5},
    },
    "pets": {
        "whole frame": None,
        "motion, 1 region, zoom 1.5": {"max_regions": 1, "zoom": 1.5},
        "motion, 2 regions, zoom 1.5": {"max_regions": 2, "zoom": 1.5},
        "motion, 2 regions, zoom 2": {"max_regions": 2, "zoom": 2.0},
        "motion, 4 regions, zoom 2": {"max_regions": 4, "zoom": 2.0},
    },
}


def small_recall(
    truth: Mapping[Any, Annotations], found: Mapping[Hashable, Detections], label: int, min_score: float = 0.3
) -> tuple[float, int, float]:
    """Of one class: recall of small objects, how many there are, and false detections a picture.

    Detections are matched best score first, each with the object that it overlaps most, at IoU 0.5 or more.
    """
    hits = objects = wrong = 0
    for key, part in truth.items():
        there = part.boxes[(part.labels == label) & ~part.ignored]
        seen = found[key][(found[key].labels == label) & (found[key].scores >= min_score)]
        overlaps, small = iou_matrix(there, seen.boxes), areas(there) < SMALL
        taken = np.zeros(len(there), np.bool_)
        for column in np.argsort(-seen.scores):
            free = np.where(taken, 0.0, overlaps[:, column])
            if len(free) and free.max() >= 0.5:
                taken[free.argmax()] = True
            else:
                wrong += 1
        hits += int((taken & small).sum())
        objects += int(small.sum())
    return hits / max(objects, 1), objects, wrong / max(len(truth), 1)


class Followed:
    """A detector whose tracks tell it where to look, as in `CameraPipeline`."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._tracker = build_tracker(TrackerSettings(motion="kalman"), detector.score_levels)
        self._boxes: np.ndarray | None = None
        self.regions = 0

    def step(self, frame: Frame) -> tuple[Detections, float]:
        """What was found, and the seconds of `invoke` and `decode`."""
        prepared = self.detector.prepare(frame)
        prepared.expected = self._boxes
        started_s = time.perf_counter()
        self.detector.invoke(prepared)
        self.regions += len(prepared.parts)
        found = self.detector.decode(prepared)
        took_s = time.perf_counter() - started_s
        tracks = self._tracker.update(found[found.scores >= 0.25], frame.time_s, frame.size)
        self._boxes = tracks.boxes[tracks.states != TrackState.REMOVED]
        return found, took_s


def frames_of(arguments: argparse.Namespace) -> tuple[Mapping[Any, Annotations], Iterator[tuple[Any, Frame]]]:
    """Truth by picture, and the pictures in order; a video's frames are 1/10 s apart, pictures 10 s."""
    if arguments.coco:
        truth = read_yolo_folder(arguments.coco / "images" / "val2017", arguments.coco / "labels" / "val2017")
        return truth, ((path, Frame(read_image(path), 10.0 * n, 0.0, n)) for n, path in enumerate(truth))
    known = read_motchallenge(arguments.pets / "gt" / "gt.txt", (480, 360))
    numbers = range(1, arguments.frames + 1)
    video = read_video(arguments.pets / "vtest_480x360.mp4", numbers)
    return (
        {number: known[number] for number in numbers if number in known},
        ((number, Frame(image, number / 10, 0.0, number)) for number, image in video),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=400)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--coco", type=Path)
    where.add_argument("--pets", type=Path)
    arguments = parser.parse_args()
    settings = SETTINGS["coco" if arguments.coco else "pets"]
    base = {
        "model": arguments.model,
        "labels_file": arguments.labels,
        "threads": arguments.threads,
        "min_score": 0.05,
    }
    pool = ModelPool()
    runs = {
        name: Followed(
            open_detector(DetectorSettings.model_validate({**base, "regions": regions}), None, pool)
        )
        for name, regions in settings.items()
    }
    found: dict[str, dict[Any, Detections]] = {name: {} for name in runs}
    took_s: dict[str, list[float]] = {name: [] for name in runs}
    truth, frames = frames_of(arguments)
    for key, frame in frames:
        for name, run in runs.items():
            found[name][key], seconds = run.step(frame)
            took_s[name].append(seconds)
    labels = runs["whole frame"].detector.labels
    person = labels.index("person")
    for name, run in runs.items():
        scores = evaluate_detections(truth, found[name], labels, only=[] if arguments.coco else ["person"])
        recall, objects, wrong = small_recall(truth, found[name], person)
        people = scores.classes["person"]
        costs = np.array(took_s[name]) / np.array(took_s["whole frame"])
        report = {
            "regions": name,
            "regions_a_frame": round(run.regions / len(took_s[name]), 2),
            "cost": round(statistics.median(costs.tolist()), 2),
            "small_people": objects,
            "small_people_recall": round(recall, 3),
            "false_people_a_frame": round(wrong, 2),
            "person_ap50": round(people.ap50, 3),
            "person_ap": round(people.ap, 3),
            "small_person_ap": round(people.ap_by_size["small"], 3),
            "ap50": round(scores.mean.ap50, 3),
            "small_ap": round(scores.mean.ap_by_size["small"], 3),
            "load_1min": round(os.getloadavg()[0], 1),
        }
        print(json.dumps(report))


if __name__ == "__main__":
    main()
