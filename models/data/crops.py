"""Objects of labelled pictures cut out, and pieces of what is behind them: a folder of classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from agent.errors import DataError, StorageError
from agent.records import FloatArray, ImageArray
from models.data.detection_set import DetectionSet, read_picture

BACKGROUND = "background"
_MARGIN = 1.2
"""Side of a piece in lengths of the object's longer side."""
_TRIES = 20
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)


def write_crops(
    data: DetectionSet,
    folder: Path,
    *,
    size_px: int = 64,
    min_side_px: float = 16.0,
    backgrounds: int = 1,
    seed: int = 0,
    on_picture: Callable[[], None] | None = None,
) -> dict[str, int]:
    """Cut square pieces out of pictures and write them as `folder/CLASS/….jpg`.

    Args:
        data: the pictures; ignored objects are neither cut out nor taken for background.
        folder: is made; must not hold anything yet.
        size_px: of a piece.
        min_side_px: objects whose longer side is smaller are left out.
        backgrounds: pieces without an object out of each picture, where there is room.
        seed: of their places.
        on_picture: called after each picture.

    Returns:
        Pieces by class.

    Raises:
        DataError: the folder is not empty, a picture does not decode, or a class has a name that is no
            folder's, or that of the background.
        StorageError: a piece cannot be written.
    """
    for label in data.labels:
        _check_name(label, backgrounds)
    if _holds_something(folder):
        raise DataError(str(folder), "expected an empty folder, got one with files", "name another folder")
    rng = np.random.default_rng(seed)
    counts = dict.fromkeys((*data.labels, BACKGROUND), 0)
    for sample in data.samples:
        image = read_picture(sample.path)
        sides = (sample.boxes[:, 2:] - sample.boxes[:, :2]).max(axis=1, initial=0.0)
        wanted = ~sample.ignored & (sides >= min_side_px)
        pieces = [
            (data.labels[label], square(box))
            for box, label in zip(sample.boxes[wanted], sample.labels[wanted].tolist(), strict=True)
        ]
        pieces += [(BACKGROUND, place) for place in _free_places(sample.boxes, image, backgrounds, rng)]
        for label, place in pieces:
            name = f"{sample.path.stem}-{counts[label]}.jpg"
            _write(folder / label / name, cut(image, place, size_px))
            counts[label] += 1
        if on_picture is not None:
            on_picture()
    return counts


def square(box: FloatArray) -> FloatArray:
    """(4,) xyxy of the square round a box, with a margin."""
    centre, half = (box[:2] + box[2:]) / 2, _MARGIN * (box[2:] - box[:2]).max() / 2
    place: FloatArray = np.concatenate((centre - half, centre + half)).astype(np.float32)
    return place


def cut(image: ImageArray, place: FloatArray, size_px: int) -> ImageArray:
    """(size_px, size_px, 3) of a place (4,) xyxy px; what is beyond the picture repeats its edge."""
    left, top, right, bottom = np.rint(place).astype(int).tolist()
    height, width = image.shape[:2]
    rows = np.clip(np.arange(top, max(bottom, top + 1)), 0, height - 1)
    columns = np.clip(np.arange(left, max(right, left + 1)), 0, width - 1)
    piece = image[rows[:, None], columns]
    shrinks = len(rows) > size_px
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(piece, (size_px, size_px), interpolation=way), np.uint8)


def _free_places(
    boxes: FloatArray, image: ImageArray, count: int, rng: np.random.Generator
) -> list[FloatArray]:
    """At most `count` squares (4,) inside the picture that touch no box."""
    height, width = image.shape[:2]
    found: list[FloatArray] = []
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        side = float(np.exp(rng.uniform(np.log(20.0), np.log(0.6 * min(width, height)))))
        left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
        place = np.array([left, top, left + side, top + side], np.float32)
        apart = (boxes[:, 2:] <= place[:2]) | (boxes[:, :2] >= place[2:])
        if apart.any(axis=1).all():
            found.append(place)
    return found


def _check_name(label: str, backgrounds: int) -> None:
    """Refuse the name of a class that leads elsewhere as a folder, or where other pieces lie."""
    if label in ("", ".", "..") or "/" in label or "\\" in label or not label.isprintable():
        raise DataError(
            "labels", f"expected names of classes that can be folders, got {label!r}",
            "correct the list of class names, or name others with --only",
        )  # fmt: skip
    if label == BACKGROUND and backgrounds:
        raise DataError(
            "labels", f"expected classes beside {BACKGROUND}, which is cut out of every picture, got one "
            "of that name", "rename it, or give --backgrounds 0",
        )  # fmt: skip


def _holds_something(folder: Path) -> bool:
    try:
        return folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise StorageError(str(folder), f"expected a folder, got {error.strerror or error}") from error


def _write(path: Path, piece: ImageArray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            str(path.parent), f"expected to make a folder, got {error.strerror or error}"
        ) from error
    if not cv2.imwrite(str(path), piece, _JPEG):
        raise StorageError(str(path), "expected to write a picture, could not", "is the disk full?")
