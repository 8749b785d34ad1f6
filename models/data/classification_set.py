"""Pictures with one class each: an `.npz` of arrays, or a folder with a subfolder for every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from agent.errors import DataError
from agent.records import ImageArray, IntArray
from models.data.detection_set import IMAGE_SUFFIXES, read_picture
from models.data.npz_file import read_arrays


@dataclass(frozen=True, slots=True, eq=False)
class ClassificationSet:
    """Pictures of one size and their classes.

    Args:
        labels: class names.
        images: (N, H, W, C) uint8, C is 1 (grey) or 3 (BGR).
        classes: (N,) int64, index into `labels`.
    """

    labels: tuple[str, ...]
    images: ImageArray
    classes: IntArray

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, chosen: IntArray) -> ClassificationSet:
        """Some of the pictures."""
        return ClassificationSet(self.labels, self.images[chosen], self.classes[chosen])


def load_classification_set(
    path: Path, size: tuple[int, int] | None = None, labels: Sequence[str] = ()
) -> ClassificationSet:
    """Read an `.npz` or a folder of classes.

    Args:
        path: an `.npz` with `x` (N, H, W) grey or (N, H, W, 3) RGB uint8, `y` (N,) whole numbers and perhaps
            `classes` (names); or a folder whose subfolders are named after the classes.
        size: (width, height) px that pictures of a folder are resized to.
        labels: the classes that the set must have, in this order; empty for those that it has.

    Raises:
        DataError: the arrays or the folder are not as above, a class is missing, or a picture is damaged.
    """
    if path.is_dir():
        return _folder(path, size, tuple(labels))
    if path.suffix == ".npz":
        return _npz(path, tuple(labels))
    raise DataError(str(path), "expected an .npz file or a folder of classes, got neither")


def _npz(path: Path, labels: tuple[str, ...]) -> ClassificationSet:
    stored = read_arrays(path, "an .npz with x and y", ("x", "y"))
    images, classes = stored["x"], stored["y"]
    names = tuple(str(name) for name in stored.get("classes", ()))
    if (
        images.dtype != np.uint8
        or images.ndim not in (3, 4)
        or (images.ndim == 4 and images.shape[3] not in (1, 3))
    ):
        raise DataError(
            f"{path} x", f"expected uint8 (N, H, W) or (N, H, W, 3), got {images.dtype} {images.shape}"
        )
    if not np.issubdtype(classes.dtype, np.integer) or classes.shape != (len(images),) or not len(images):
        raise DataError(
            f"{path} y",
            f"expected {len(images)} whole numbers, at least one, got {classes.dtype} {classes.shape}",
        )
    highest = int(classes.max())
    names = names or labels or tuple(str(number) for number in range(highest + 1))
    if labels and names != labels:
        raise DataError(f"{path} classes", f"expected {', '.join(labels)}, got {', '.join(names)}")
    if highest >= len(names) or int(classes.min()) < 0:
        raise DataError(
            f"{path} y",
            f"expected classes of 0..{len(names) - 1}, as there are {len(names)} names, "
            f"got {int(classes.min())}..{highest}",
        )
    images = images[..., None] if images.ndim == 3 else images
    return ClassificationSet(names, np.ascontiguousarray(images[..., ::-1]), classes.astype(np.int64))


def _folder(path: Path, size: tuple[int, int] | None, labels: tuple[str, ...]) -> ClassificationSet:
    found = tuple(sorted(entry.name for entry in path.iterdir() if entry.is_dir()))
    if len(found) < 2:
        raise DataError(
            str(path),
            f"expected a subfolder for each of two or more classes, got {', '.join(found) or 'none'}",
        )
    if labels and set(found) != set(labels):
        raise DataError(str(path), f"expected the classes {', '.join(labels)}, got {', '.join(found)}")
    names = labels or found
    if size is None:
        raise DataError(str(path), "expected a width and height to resize the pictures to, got none")
    images, classes = [], []
    for number, name in enumerate(names):
        paths = sorted(file for file in (path / name).iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise DataError(str(path / name), "expected pictures, got none", "fill the folder or remove it")
        for file in paths:
            images.append(cv2.resize(read_picture(file), size, interpolation=cv2.INTER_AREA))
            classes.append(number)
    return ClassificationSet(names, np.stack(images).astype(np.uint8), np.array(classes, np.int64))


def split(
    data: ClassificationSet, held_out_part: float, seed: int
) -> tuple[ClassificationSet, ClassificationSet]:
    """Set a part of every class aside.

    Args:
        held_out_part: 0..1.

    Raises:
        DataError: a class has fewer than two pictures.
    """
    rng = np.random.default_rng(seed)
    aside: list[IntArray] = []
    for number, name in enumerate(data.labels):
        rows = rng.permutation(np.flatnonzero(data.classes == number))
        if len(rows) < 2:
            raise DataError(
                f"class {name}", f"expected 2 pictures or more to hold some back, got {len(rows)}"
            )
        aside.append(rows[: max(1, round(held_out_part * len(rows)))])
    held_out = np.sort(np.concatenate(aside))
    rest = np.setdiff1d(np.arange(len(data)), held_out)
    return data.rows(rest), data.rows(held_out)
