"""Label formats that detectors are trained from: YOLO, Pascal VOC, COCO, and plain text with corners.

| format | a folder holds | one object is |
| --- | --- | --- |
| yolo | `images/…`, `labels/….txt`, `data.yaml` or `labels.txt` | class cx cy width height, 0..1 |
| voc | `Annotations/*.xml`, `JPEGImages/` (or all in one folder) | `<object><name>, <bndbox>` in px, from 1 |
| coco | `annotations.json`, pictures; or a file as COCO's own | `bbox` left, top, width, height in px |
| text | `*.txt` beside the pictures, `labels.txt` | class x1 y1 x2 y2, px |
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
import yaml

from agent.errors import DataError
from agent.geometry.boxes import cxcywh_to_xyxy
from agent.vision.labels import read_labels
from models.data.coco import read_coco
from models.data.detection_set import (
    IMAGE_SUFFIXES,
    DetectionSet,
    Sample,
    check_boxes,
    check_labels,
    read_picture,
    read_samples,
    read_text,
)

Format = Literal["auto", "yolo", "voc", "coco", "text"]
_LABEL_FILES = ("labels.txt", "classes.txt", "obj.names")


def load_detection_set(path: Path, label_format: Format = "auto", split: str = "") -> DetectionSet:
    """Read labels and check every one of them, and that every picture decodes.

    Args:
        path: folder of the set, or a COCO JSON file.
        label_format: "auto" looks at what the folder holds.
        split: subfolder of YOLO's `images` and `labels`, or of COCO's pictures: "train2017"; empty for all.

    Raises:
        DataError: names the file and line that is not as the format says, or says that nothing was found.
    """
    if not path.exists():
        raise DataError(str(path), "expected a folder or a COCO file, got nothing")
    chosen = _recognise(path) if label_format == "auto" else label_format
    found = _READERS[chosen](path, split)
    if not found.samples:
        raise DataError(str(path), f"expected pictures with {chosen} labels, got none")
    if not any(len(sample.boxes) for sample in found.samples):
        raise DataError(
            str(path),
            f"expected objects, got {len(found)} pictures whose labels are all empty",
            "label some of them",
        )
    return found


def _recognise(path: Path) -> str:
    if path.suffix.lower() == ".json" or (path / "annotations.json").is_file():
        return "coco"
    if (path / "images").is_dir() and (path / "labels").is_dir():
        return "yolo"
    if any(path.glob("Annotations/*.xml")) or any(path.glob("*.xml")):
        return "voc"
    if any(path.glob("*.txt")):
        return "text"
    raise DataError(
        str(path), "expected annotations.json, images/ and labels/, *.xml or *.txt, got none of them",
        "see the formats in models/data/formats.py",
    )  # fmt: skip


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _rows(path: Path, columns: str) -> tuple[list[int], list[list[float]]]:
    """Class ids and four numbers of every line of a label file; a missing file is an empty one."""
    labels: list[int] = []
    boxes: list[list[float]] = []
    if not path.is_file():
        return labels, boxes
    for number, line in enumerate(read_text(path).splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        try:
            if len(parts) != 5:
                raise ValueError(len(parts))
            labels.append(int(parts[0]))
            boxes.append([float(part) for part in parts[1:]])
        except ValueError as error:
            raise DataError(f"{path}:{number}", f"expected {columns}, got {line!r}") from error
    return labels, boxes


def _folder_labels(path: Path) -> tuple[str, ...]:
    """Class names beside the data."""
    config = path / "data.yaml"
    if config.is_file():
        try:
            content = yaml.safe_load(read_text(config))
        except yaml.YAMLError as error:
            raise DataError(str(config), f"expected YAML, got {error}") from error
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, dict):
            names = [names.get(index) for index in range(len(names))]
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise DataError(f"{config} names", f"expected a list of class names from 0 on, got {names!r}")
        if "nc" in content and content["nc"] != len(names):
            raise DataError(
                f"{config} nc", f"expected {len(names)}, the number of names, got {content['nc']}"
            )
        return tuple(names)
    for name in _LABEL_FILES:
        if (path / name).is_file():
            return read_labels(path / name)
    raise DataError(
        str(path), f"expected data.yaml, {' or '.join(_LABEL_FILES)} with the class names, got none"
    )


def class_names_near(labels: Path) -> tuple[str, ...] | None:
    """Class names in a folder of label files or up to two folders above it; None where there are none."""
    for folder in (labels, *labels.absolute().parents[:2]):
        if any((folder / name).is_file() for name in ("data.yaml", *_LABEL_FILES)):
            return _folder_labels(folder)
    return None


def read_yolo(images: Path, labels: Path, classes: int | None = None) -> tuple[Sample, ...]:
    """Read pictures and their YOLO labels, sorted by path.

    Args:
        images, labels: folders of pictures and of text files; a picture without a file shows nothing.
        classes: class ids are below this; None where that is not known.

    Raises:
        DataError: a picture does not decode, or a line is no label; it is named.
    """

    def read(picture: Path) -> Sample:
        height, width = read_picture(picture).shape[:2]
        file = labels / picture.relative_to(images).with_suffix(".txt")
        ids, rows = _rows(file, "class cx cy width height")
        check_labels(str(file), ids, max(ids, default=0) + 1 if classes is None else classes)
        table = np.array(rows, np.float32).reshape(-1, 4)
        if table.size and (table.min() < -0.01 or table.max() > 1.01):
            row = int(np.argmax((table.min(axis=1) < -0.01) | (table.max(axis=1) > 1.01)))
            raise DataError(f"{file}:{row + 1}", f"expected numbers in 0..1, got {table[row].tolist()}")
        boxes = cxcywh_to_xyxy(table * np.array([width, height, width, height], np.float32))
        boxes = check_boxes(str(file), boxes, (width, height))
        return Sample(picture, (width, height), boxes, np.array(ids, np.int64), np.zeros(len(ids), np.bool_))

    return read_samples(read, _pictures(images))


def _yolo(path: Path, split: str) -> DetectionSet:
    names = _folder_labels(path)
    return DetectionSet(names, read_yolo(path / "images" / split, path / "labels" / split, len(names)))


def _text(path: Path, split: str) -> DetectionSet:
    names = _folder_labels(path)
    folder = path / split

    def read(picture: Path) -> Sample:
        height, width = read_picture(picture).shape[:2]
        file = picture.with_suffix(".txt")
        ids, rows = _rows(file, "class x1 y1 x2 y2")
        check_labels(str(file), ids, len(names))
        boxes = check_boxes(str(file), np.array(rows, np.float32).reshape(-1, 4), (width, height))
        return Sample(picture, (width, height), boxes, np.array(ids, np.int64), np.zeros(len(ids), np.bool_))

    return DetectionSet(names, read_samples(read, _pictures(folder)))


def _voc(path: Path, split: str) -> DetectionSet:
    folder = path / "Annotations" if (path / "Annotations").is_dir() else path
    trees = {file: _parse_xml(file) for file in sorted(folder.glob("*.xml"))}
    listed = path / "ImageSets" / "Main" / f"{split}.txt"
    if split:
        wanted = set(read_text(listed).split())
        trees = {file: tree for file, tree in trees.items() if file.stem in wanted}
    found = sorted(
        {_child(item, "name", file) for file, tree in trees.items() for item in tree.iter("object")}
    )
    has_names = any((path / name).is_file() for name in ("data.yaml", *_LABEL_FILES))
    names = _folder_labels(path) if has_names else tuple(found)
    unknown = [name for name in found if name not in names]
    if unknown:
        raise DataError(
            str(path),
            f"expected the classes {', '.join(names)}, the annotations also hold {', '.join(unknown)}",
        )

    def read(file: Path) -> Sample:
        tree = trees[file]
        name = tree.findtext("filename") or f"{file.stem}.jpg"
        picture = path / "JPEGImages" / name
        picture = picture if picture.is_file() else file.with_name(name)
        height, width = read_picture(picture).shape[:2]
        items = list(tree.iter("object"))
        rows = [
            [_number(item, f"bndbox/{side}", file) for side in ("xmin", "ymin", "xmax", "ymax")]
            for item in items
        ]
        # VOC counts pixels from 1 and its maxima belong to the object.
        boxes = np.array(rows, np.float32).reshape(-1, 4) - np.array([1, 1, 0, 0], np.float32)
        boxes = check_boxes(str(file), boxes, (width, height))
        ids = np.array([names.index(_child(item, "name", file)) for item in items], np.int64)
        ignored = np.array([(item.findtext("difficult") or "0").strip() == "1" for item in items], np.bool_)
        return Sample(picture, (width, height), boxes, ids, ignored)

    return DetectionSet(names, read_samples(read, list(trees)))


def _parse_xml(file: Path) -> ElementTree.Element:
    try:
        # Labels are the user's own files; expat expands no external entities.
        return ElementTree.fromstring(read_text(file))  # noqa: S314
    except ElementTree.ParseError as error:
        raise DataError(str(file), f"expected VOC XML, got {error}") from error


def _child(item: ElementTree.Element, name: str, file: Path) -> str:
    text = item.findtext(name)
    if text is None or not text.strip():
        raise DataError(str(file), f"expected <{name}> in each <{item.tag}>, got none")
    return text.strip()


def _number(item: ElementTree.Element, name: str, file: Path) -> float:
    text = _child(item, name, file)
    try:
        return float(text)
    except ValueError as error:
        raise DataError(str(file), f"expected a number in <{name}>, got {text!r}") from error


_READERS: dict[str, Callable[[Path, str], DetectionSet]] = {
    "yolo": _yolo,
    "voc": _voc,
    "coco": read_coco,
    "text": _text,
}
