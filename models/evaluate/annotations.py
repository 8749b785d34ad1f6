"""What is truly in pictures: readers for MOTChallenge ground truth and YOLO label folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from agent.errors import DataError
from agent.geometry.boxes import cxcywh_to_xyxy, ltwh_to_xyxy
from agent.records import BoolArray, FloatArray, ImageArray, IntArray

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


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
    """Ground truth in YOLO's format: a text file per picture, rows of class, cx, cy, width, height in 0..1.

    Args:
        images: folder of pictures.
        labels: folder of text files of the same names; a picture without one shows nothing.

    Returns:
        By path of the picture, sorted.

    Raises:
        DataError: there are no pictures, one is unreadable, or a row is not as above.
    """
    paths = sorted(path for path in images.glob("*") if path.suffix.lower() in _IMAGE_SUFFIXES)
    if not paths:
        raise DataError(str(images), f"expected pictures ({', '.join(_IMAGE_SUFFIXES)}), got none")
    return {path: _read_yolo(path, labels / f"{path.stem}.txt") for path in paths}


def _read_yolo(image: Path, label: Path) -> Annotations:
    height, width = read_image(image).shape[:2]
    lines = label.read_text(encoding="utf-8").splitlines() if label.exists() else []
    rows = []
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if not parts:
            continue
        try:
            rows.append([float(part) for part in parts[:5]])
        except ValueError:
            rows.append([])
        if len(rows[-1]) != 5 or len(parts) != 5:
            raise DataError(f"{label}:{number}", f"expected class, cx, cy, width, height, got {line!r}")
    table = np.array(rows, np.float32).reshape(-1, 5)
    boxes = cxcywh_to_xyxy(table[:, 1:] * np.array([width, height] * 2, np.float32))
    return Annotations((width, height), boxes, table[:, 0].astype(np.int64), np.zeros(len(table), np.bool_))


def read_image(path: Path) -> ImageArray:
    """A picture as (H, W, 3) uint8, BGR.

    Raises:
        DataError: the file is missing or no picture.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(str(path), "expected a picture, got a file that OpenCV cannot read")
    return np.asarray(image, np.uint8)
