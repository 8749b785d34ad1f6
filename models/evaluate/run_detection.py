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
from agent.records import Detections, Frame, ImageArray
from models.evaluate.annotations import (
    Annotations,
    read_image,
    read_motchallenge,
    read_video,
    read_yolo_folder,
)
from models.evaluate.detection import DetectionScores, evaluate_detections


def evaluate_on_images(
    settings: DetectorSettings, images: Path, labels: Path, *, only: Iterable[str] = ()
) -> DetectionScores:
    """Detect on a folder of pictures with YOLO labels.

    Args:
        settings: of the detector; its `min_score` should be low.
        images, labels: folders.
        only: names of the classes to judge; empty for all.

    Raises:
        EdgetrackError: the model, a picture or a label is not as expected.
    """
    truth = read_yolo_folder(images, labels)
    detector = open_detector(settings)
    found = _detect(detector, ((path, read_image(path)) for path in truth))
    return _evaluate(truth, found, detector, only)


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
