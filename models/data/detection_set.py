"""Labelled pictures for a detector, whatever format their labels came in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from agent.errors import DataError
from agent.records import BoolArray, FloatArray, ImageArray, IntArray

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture and what is in it.

    Args:
        path: of the picture.
        size: (width, height) px.
        boxes: (N, 4) float32 xyxy in px.
        labels: (N,) int64, index into the set's labels.
        ignored: (N,) bool: neither finding nor missing these counts.
    """

    path: Path
    size: tuple[int, int]
    boxes: FloatArray
    labels: IntArray
    ignored: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class DetectionSet:
    """Samples that share one list of labels.

    Args:
        labels: class names.
        samples: at least one.
    """

    labels: tuple[str, ...]
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def without_objects(self) -> int:
        """Number of pictures that show nothing, which teach what is background."""
        return sum(len(sample.boxes) == 0 for sample in self.samples)

    def counts(self) -> dict[str, int]:
        """Objects of each class, those ignored left out."""
        total = np.zeros(len(self.labels), np.int64)
        for sample in self.samples:
            total += np.bincount(sample.labels[~sample.ignored], minlength=len(self.labels))
        return dict(zip(self.labels, total.tolist(), strict=True))

    def only(self, names: Sequence[str]) -> DetectionSet:
        """The same pictures with some classes, in the order of `names`; objects of others are dropped.

        Raises:
            DataError: the set knows no such class.
        """
        unknown = [name for name in names if name not in self.labels]
        if unknown:
            raise DataError(
                "labels", f"expected some of {', '.join(self.labels)}, got {', '.join(unknown)}",
                "name classes that the data has",
            )  # fmt: skip
        new_id = np.full(len(self.labels), -1, np.int64)
        for index, name in enumerate(names):
            new_id[self.labels.index(name)] = index
        samples = []
        for sample in self.samples:
            mapped = new_id[sample.labels]
            keep = mapped >= 0
            samples.append(
                Sample(sample.path, sample.size, sample.boxes[keep], mapped[keep], sample.ignored[keep])
            )
        return DetectionSet(tuple(names), tuple(samples))


def read_picture(path: Path) -> ImageArray:
    """A picture as (H, W, 3) uint8 BGR.

    Raises:
        DataError: the file is missing, or OpenCV cannot decode it.
    """
    if not path.is_file():
        raise DataError(
            str(path), "expected a picture, got no file", "correct the labels or restore the picture"
        )
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(
            str(path), "expected a picture, got a file that does not decode", "replace or remove it"
        )
    return np.asarray(image, np.uint8)


def read_text(path: Path) -> str:
    """The content of a label file.

    Raises:
        DataError: it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"expected text in UTF-8, got {error}") from error


def read_samples(read: Callable[[Path], Sample], paths: list[Path]) -> tuple[Sample, ...]:
    """Read samples on a few threads: most of the time goes into decoding pictures."""
    with ThreadPoolExecutor(4) as pool:
        return tuple(pool.map(read, paths))


def check_labels(where: str, labels: Sequence[int], count: int) -> None:
    """Refuse a class id without a name.

    Raises:
        DataError: an id is not in 0..count - 1.
    """
    for label in labels:
        if not 0 <= label < count:
            raise DataError(
                where, f"expected a class of 0..{count - 1} ({count} labels), got {label}",
                "correct the label or the list of class names",
            )  # fmt: skip


def check_boxes(where: str, boxes: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Boxes cut at the picture's edge.

    Args:
        where: file, for the message.
        boxes: (N, 4) xyxy in px.
        size: (width, height) px.

    Raises:
        DataError: a box is not finite, has no area, or lies outside of the picture.
    """
    boxes = boxes.astype(np.float32).reshape(-1, 4)
    limits = np.array([size[0], size[1], size[0], size[1]], np.float32)
    clipped: FloatArray = np.clip(boxes, 0, limits)
    flawed = (
        ~np.isfinite(boxes).all(axis=1) | (clipped[:, 2] <= clipped[:, 0]) | (clipped[:, 3] <= clipped[:, 1])
    )
    if flawed.any():
        row = int(np.argmax(flawed))
        corners = ", ".join(f"{value:g}" for value in boxes[row])
        raise DataError(
            where,
            f"expected boxes with an area inside the {size[0]}×{size[1]} picture, "
            f"got [{corners}] (object {row + 1})",
            "correct or remove that object",
        )
    return clipped
