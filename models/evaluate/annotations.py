"""What is truly in pictures: readers for MOTChallenge ground truth and YOLO label folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from agent.errors import DataError
from agent.geometry.boxes import ltwh_to_xyxy
from agent.records import BoolArray, FloatArray, ImageArray, IntArray
from models.data.detection_set import IMAGE_SUFFIXES, Sample
from models.data.formats import read_yolo


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """What is truly in one picture.

    Args:
        size: (width, height) in px.
        boxes: (N, 4) float32, xyxy in px.
        labels: (N,) int64, class ids.
        ignored: (N,) bool: neither finding nor missing these counts.
    """

    size: tuple[int, int]
    boxes: FloatArray
    labels: IntArray
    ignored: BoolArray


def read_motchallenge(path: Path, size: tuple[int, int], class_id: int = 0) -> dict[int, Annotations]:
    """Ground truth of one class in MOTChallenge's format: frame, id, left, top, width, height, considered, …

    Args:
        path: `gt.txt`; rows of a frame need not follow each other.
        size: (width, height) of the video in px.
        class_id: that the boxes get. Rows whose class (8th column, where it is a whole number from 1 on) is
            not pedestrian, and rows that are not to be considered, are ignored objects.

    Returns:
        By frame number, from 1. Frames without objects are left out.

    Raises:
        DataError: the file is missing or a row is not as above.
    """
    try:
        table = np.loadtxt(path, delimiter=",", ndmin=2)
    except OSError as error:
        raise DataError(str(path), f"expected MOTChallenge ground truth, got {error}") from error
    except ValueError as error:
        raise DataError(str(path), f"expected rows of numbers with commas between, got {error}") from error
    if table.shape[1] < 7:
        raise DataError(str(path), f"expected 7 columns or more, got {table.shape[1]}")
    considered = table[:, 6] != 0
    if table.shape[1] == 9:  # MOT16 and later: class and visibility in place of world coordinates
        considered &= table[:, 7] == 1
    frames = {}
    for number in np.unique(table[:, 0]).astype(int).tolist():
        rows = table[:, 0] == number
        boxes = ltwh_to_xyxy(table[rows, 2:6].astype(np.float32))
        labels = np.full(len(boxes), class_id, np.int64)
        frames[number] = Annotations(size, boxes, labels, ~considered[rows])
    return frames


def read_video(path: Path, numbers: Iterable[int]) -> Iterable[tuple[int, ImageArray]]:
    """Chosen frames of a video, numbered from 1 as MOTChallenge does.

    Raises:
        DataError: the video cannot be opened or holds none of them.
    """
    video = cv2.VideoCapture(str(path))
    wanted, number, given = set(numbers), 0, 0
    try:
        while given < len(wanted) and video.grab():
            number += 1
            if number in wanted:
                ok, image = video.retrieve()
                if not ok:
                    break
                given += 1
                yield number, np.asarray(image, np.uint8)
    finally:
        video.release()
    if not given:
        raise DataError(str(path), "expected a video that holds the frames asked for, got none of them")


def read_yolo_folder(images: Path, labels: Path) -> dict[Path, Annotations]:
    """Ground truth in YOLO's format, class ids as they stand there.

    Args:
        images, labels: see `models.data.formats.read_yolo`.

    Returns:
        By path of the picture, sorted.

    Raises:
        DataError: there are no pictures, one is unreadable, or a row is no label.
    """
    return annotations_of(images, read_yolo(images, labels))


def annotations_of(images: Path, samples: Iterable[Sample]) -> dict[Path, Annotations]:
    """Labelled pictures by path.

    Args:
        images: where they lie, for the message.

    Raises:
        DataError: there are none.
    """
    found = {
        sample.path: Annotations(sample.size, sample.boxes, sample.labels, sample.ignored)
        for sample in samples
    }
    if not found:
        raise DataError(str(images), f"expected pictures ({', '.join(IMAGE_SUFFIXES)}), got none")
    return found


def read_image(path: Path) -> ImageArray:
    """A picture as (H, W, 3) uint8, BGR.

    Raises:
        DataError: the file is missing or no picture.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(str(path), "expected a picture, got a file that OpenCV cannot read")
    return np.asarray(image, np.uint8)
