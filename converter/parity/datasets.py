"""Labelled data to evaluate on: pictures with YOLO labels, MOTChallenge videos, class folders, arrays."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from agent.records import Detections, ImageArray
from converter.calibration.arrays import evenly, load_arrays, load_targets
from converter.calibration.pictures import (
    VIDEO_SUFFIXES,
    chosen_frames,
    decode_video,
    folder_pictures,
    image_paths,
    read_image,
    video_length,
)
from converter.load.float_model import FloatInputs
from converter.parity.yolo_labels import class_names, label_folder, read_boxes


@dataclass(frozen=True)
class PictureSet:
    """Pictures, perhaps with boxes or a class each.

    Args:
        name: for tables.
        names: of each picture.
        each: yields them, (H, W, 3) uint8 BGR, again and again.
        boxes: what is right, by picture; labels index `label_names`. None: nobody knows.
        classes: index into `label_names` of each picture. None: nobody knows.
        label_names: of the data set, which may differ from the model's.
    """

    name: str
    names: tuple[str, ...]
    each: Callable[[], Iterator[ImageArray]]
    boxes: tuple[Detections, ...] | None = None
    classes: tuple[int, ...] | None = None
    label_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArraySet:
    """Ready inputs, (1, …) each, perhaps with what is right.

    Args:
        name: for tables.
        count: how many.
        each: yields them by input name ("" for the only one).
        targets: (N,) classes, or (N, …) values; None: nobody knows.
    """

    name: str
    count: int
    each: Callable[[], Iterator[FloatInputs]]
    targets: NDArray[Any] | None = None


def thinned(dataset: PictureSet | ArraySet, count: int) -> PictureSet | ArraySet:
    """At most `count` of a data set, evenly chosen."""
    total = len(dataset.names) if isinstance(dataset, PictureSet) else dataset.count
    if total <= count:
        return dataset
    rows = evenly(total, count).tolist()
    wanted = set(rows)

    def kept(items: Iterator[Any]) -> Iterator[Any]:
        return (item for row, item in enumerate(items) if row in wanted)

    if isinstance(dataset, ArraySet):
        targets = None if dataset.targets is None else dataset.targets[rows]
        return ArraySet(dataset.name, len(rows), lambda: kept(dataset.each()), targets)
    boxes = None if dataset.boxes is None else tuple(dataset.boxes[row] for row in rows)
    classes = None if dataset.classes is None else tuple(dataset.classes[row] for row in rows)
    names = tuple(dataset.names[row] for row in rows)
    return PictureSet(dataset.name, names, lambda: kept(dataset.each()), boxes, classes, dataset.label_names)


def open_dataset(
    path: Path, labels: Path | None = None, every: int = 1, limit: int | None = None
) -> PictureSet | ArraySet:
    """Open a data set, whatever kind it is.

    Args:
        path: a folder of pictures (YOLO labels in the folder that has "labels" for "images" in its path, or a
            folder per class), a MOTChallenge folder (gt/gt.txt and a video or img1), a video, or an `.npz`.
        labels: folder of YOLO label files, where they lie elsewhere.
        every: only each n-th picture.
        limit: at most this many, evenly chosen.

    Raises:
        DataError: there is nothing that can be read.
    """
    if not path.exists():
        raise DataError(str(path), "expected a data set, got no such file or folder")
    if path.suffix.lower() in (".npz", ".npy"):
        return _arrays(path, every, limit)
    if path.is_file():
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise DataError(str(path), "expected a folder, a video or an .npz, got another file")
        return _video(path, every, limit)
    if (path / "gt" / "gt.txt").is_file():
        return _mot(path, every, limit)
    return _pictures(path, labels, every, limit)


def _video(path: Path, every: int, limit: int | None) -> PictureSet:
    frames = range(0, video_length(path), every)
    if not frames:
        raise DataError(str(path), "expected a video with frames, got none that can be decoded")
    chosen = chosen_frames(path, [frames[i] for i in evenly(len(frames), limit)])
    return PictureSet(path.name, chosen.names, chosen.each)


def _arrays(path: Path, every: int, limit: int | None) -> ArraySet:
    inputs, targets = load_arrays(path), load_targets(path)
    count = len(next(iter(inputs.values())))
    rows = np.arange(count)[::every]
    rows = rows[evenly(len(rows), limit)]
    if targets is not None and len(targets) != count:
        raise DataError(str(path), f"expected {count} targets, one per sample, got {len(targets)}")

    def each() -> Iterator[FloatInputs]:
        for row in rows:
            yield {name: array[row : row + 1] for name, array in inputs.items()}

    return ArraySet(path.name, len(rows), each, None if targets is None else targets[rows])


def _pictures(path: Path, labels: Path | None, every: int, limit: int | None) -> PictureSet:
    folder_pictures(path, 1)  # says clearly when there is none
    paths = image_paths(path)
    # Before any are left out: a class is what it is, however many are looked at.
    kinds = sorted({own.parent.name for own in paths})
    in_classes = len(kinds) > 1 and all(own.parent.parent == path for own in paths)
    paths = paths[::every]
    paths = [paths[i] for i in evenly(len(paths), limit)]
    unreadable = next((own for own in paths if read_image(own) is None), None)
    if unreadable is not None:
        raise DataError(
            str(unreadable),
            "expected a picture, got something that cannot be decoded",
            "remove or replace it",
        )

    def each() -> Iterator[ImageArray]:
        for own in paths:
            image = read_image(own)
            if image is None:
                raise DataError(str(own), "expected the picture that was there a moment ago, got none")
            yield image

    names = tuple(own.name for own in paths)
    folder = labels if labels is not None else label_folder(path)
    if folder is not None and folder.is_dir():
        known = class_names(path, folder)
        files = [(folder / own.relative_to(path)).with_suffix(".txt") for own in paths]
        boxes = tuple(
            read_boxes(file, (image.shape[1], image.shape[0]), known)
            for file, image in zip(files, each(), strict=True)
        )
        return PictureSet(path.name, names, each, boxes=boxes, label_names=known)
    if labels is not None:
        raise DataError(str(labels), "expected a folder of YOLO label files, got none")
    if in_classes:
        classes = tuple(kinds.index(own.parent.name) for own in paths)
        return PictureSet(path.name, names, each, classes=classes, label_names=tuple(kinds))
    return PictureSet(path.name, names, each)


def _mot(path: Path, every: int, limit: int | None) -> PictureSet:
    """A MOTChallenge sequence of people; frames of its video, or pictures in img1, counted from 1."""
    try:
        table = np.loadtxt(path / "gt" / "gt.txt", delimiter=",", usecols=range(7), ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(
            str(path / "gt" / "gt.txt"), f"expected MOTChallenge ground truth, got: {error}"
        ) from error
    table = table[table[:, 6] != 0]
    videos = sorted(own for own in path.iterdir() if own.suffix.lower() in VIDEO_SUFFIXES)
    pictures = image_paths(path / "img1") if (path / "img1").is_dir() else []
    if not videos and not pictures:
        raise DataError(str(path), "expected a video or a folder img1 beside gt, got neither")
    total = len(pictures) or _length(path, videos[0])
    frames = list(range(1, total + 1, every))
    frames = [frames[i] for i in evenly(len(frames), limit)]
    wanted = set(frames)

    def each() -> Iterator[ImageArray]:
        if videos:
            yield from (image for number, image in enumerate(decode_video(videos[0]), 1) if number in wanted)
            return
        for number in frames:
            image = read_image(pictures[number - 1])
            if image is None:
                raise DataError(
                    str(pictures[number - 1]), "expected a picture, got something that cannot be decoded"
                )
            yield image

    boxes = []
    for number in frames:
        own = table[table[:, 0] == number]
        corners = np.concatenate([own[:, 2:4], own[:, 2:4] + own[:, 4:6]], axis=1).astype(np.float32)
        boxes.append(Detections(corners, np.ones(len(own), np.float32), np.zeros(len(own), np.int64)))
    names = tuple(f"{path.name} frame {number}" for number in frames)
    return PictureSet(path.name, names, each, boxes=tuple(boxes), label_names=("person",))


def _length(path: Path, video: Path) -> int:
    file = path / "seqinfo.ini"
    if file.is_file():
        parser = configparser.ConfigParser()
        try:
            parser.read(file, encoding="utf-8")
            return parser.getint("Sequence", "seqLength")
        except (configparser.Error, ValueError, UnicodeDecodeError) as error:
            raise DataError(
                str(file), f"expected seqLength in [Sequence], got: {str(error).splitlines()[0]}"
            ) from error
    return sum(1 for _ in decode_video(video))


def model_labels(dataset: PictureSet, labels: Sequence[str]) -> tuple[Detections, ...]:
    """The ground truth with the model's label indices; boxes of classes that the model does not know are left
    out.

    Raises:
        DataError: the data set and the model have no class in common, or it has more classes without names.
    """
    if dataset.boxes is None:
        return ()
    if not labels or tuple(labels) == dataset.label_names:
        return dataset.boxes
    if not dataset.label_names:
        largest = max((int(own.labels.max()) for own in dataset.boxes if len(own)), default=0)
        if largest >= len(labels):
            raise DataError(
                dataset.name,
                f"expected classes 0..{len(labels) - 1} as the model has them, got {largest}",
                "name the data set's classes in data.yaml",
            )
        return dataset.boxes
    index = {name: i for i, name in enumerate(labels)}
    table = np.array([index.get(name, -1) for name in dataset.label_names], np.int64)
    if (table < 0).all():
        known, given = ", ".join(labels[:5]), ", ".join(dataset.label_names[:5])
        raise DataError(dataset.name, f"expected classes of the model ({known} …), got {given}")
    truth = []
    for own in dataset.boxes:
        mapped = table[own.labels]
        truth.append(Detections(own.boxes[mapped >= 0], own.scores[mapped >= 0], mapped[mapped >= 0]))
    return tuple(truth)


def detector_truth(dataset: PictureSet, labels: Sequence[str]) -> tuple[Detections, ...] | None:
    """What a detector is measured against; None where the data set has no labels.

    Raises:
        DataError: see `model_labels`; or it has labels, and none of them is of an object of the model's
            classes.
    """
    if dataset.boxes is None:
        return None
    truth = model_labels(dataset, labels)
    if not any(map(len, truth)):
        raise DataError(
            dataset.name,
            f"expected labelled objects of the model's classes, got {len(truth)} pictures without one",
            "label files bear the names of the pictures, and lie in folders of the same names",
        )
    return truth
