"""A model through the agent's own detector on pictures or a video with truth, and what came of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.detect.detector import Detector, open_detector
from agent.detect.settings import DetectorSettings
from agent.errors import DataError, SourceError
from agent.records import Detections, Frame, ImageArray, IntArray
from agent.vision.labels import read_labels
from models.data.formats import class_names_near, read_yolo
from models.evaluate.annotations import (
    Annotations,
    annotations_of,
    read_image,
    read_motchallenge,
    read_video,
)
from models.evaluate.detection import DetectionScores, evaluate_detections


def evaluate_on_images(
    settings: DetectorSettings,
    images: Path,
    labels: Path,
    *,
    names: Path | None = None,
    only: Iterable[str] = (),
) -> DetectionScores:
    """Detect on a folder of pictures with YOLO labels.

    Classes of labels and model are matched by name; objects of classes that the model does not know are left
    out.

    Args:
        settings: of the detector; its `min_score` should be low.
        images, labels: folders.
        names: file of the labels' class names; None: those beside the labels, else the model's own.
        only: names of the classes to judge; empty for all.

    Raises:
        EdgetrackError: the model, a picture or a label is not as expected, or they share no class.
    """
    detector = open_detector(settings)
    known = (read_labels(names) if names else class_names_near(labels)) or tuple(detector.labels)
    shared = [name for name in detector.labels if name in known]
    if not shared:
        raise DataError(
            str(names or labels),
            f"expected a class of the model ({', '.join(detector.labels[:8])}), got {', '.join(known[:8])}",
            "name the classes as the model does",
        )
    truth = annotations_of(images, read_yolo(images, labels, len(known)))
    ids = np.array([detector.labels.index(name) if name in shared else -1 for name in known], np.int64)
    mapped = {path: _with_ids(part, ids) for path, part in truth.items()}
    found = _detect(detector, ((path, read_image(path)) for path in mapped))
    return _evaluate(mapped, found, detector, only)


def _with_ids(truth: Annotations, ids: IntArray) -> Annotations:
    """The objects whose class has one of the model's ids: `ids` (C,) by the labels' own, -1 for none."""
    labels = ids[truth.labels]
    keep = labels >= 0
    return Annotations(truth.size, truth.boxes[keep], labels[keep], truth.ignored[keep])


def evaluate_on_video(
    settings: DetectorSettings, video: Path, truth_file: Path, *, every: int = 1, only: Iterable[str] = ()
) -> DetectionScores:
    """Detect on frames 1, 1 + every, … of a video whose people are in a `gt.txt`.

    Raises:
        EdgetrackError: the model, the video or the truth is not as expected, or the model knows no person.
    """
    detector = open_detector(settings)
    if "person" not in detector.labels:
        raise DataError(str(settings.model), "expected a class named person, got none")
    size, length = _video_size(video)
    frames = range(1, length + 1, every)
    known = read_motchallenge(truth_file, size, detector.labels.index("person"))
    nobody = Annotations(size, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    truth = {number: known.get(number, nobody) for number in frames}
    found = _detect(detector, read_video(video, frames))
    return _evaluate(truth, found, detector, tuple(only) or ("person",))


def _detect(
    detector: Detector, pictures: Iterable[tuple[Hashable, ImageArray]]
) -> dict[Hashable, Detections]:
    # Seconds apart, so that a detector with a memory of the picture does not take them for one scene.
    return {
        key: detector.detect(Frame(image, 10.0 * number, 10.0 * number, number))
        for number, (key, image) in enumerate(pictures)
    }


def _evaluate(
    truth: Mapping[Any, Annotations],
    found: Mapping[Hashable, Detections],
    detector: Detector,
    only: Iterable[str],
) -> DetectionScores:
    wanted = tuple(only)
    for name in wanted:
        if name not in detector.labels:
            known = ", ".join(detector.labels[:8])
            raise DataError("--only", f"expected a class of the model ({known} …), got {name!r}")
    return evaluate_detections(truth, found, detector.labels, only=wanted)


def _video_size(path: Path) -> tuple[tuple[int, int], int]:
    """((width, height) in px, number of frames)."""
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise SourceError(str(path), "expected a video, got a file that OpenCV cannot open")
        names = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT)
        width, height, count = (int(video.get(name)) for name in names)
    finally:
        video.release()
    return (width, height), count
