"""YOLO label files: where they lie, the names of their classes, and the boxes of one picture.

As strict as the reader that detectors are trained with (models/data/formats.py), so that a set means the same
here and there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from agent.errors import DataError
from agent.geometry.boxes import cxcywh_to_xyxy
from agent.records import Detections
from agent.vision.labels import read_labels

_CONFIG = "data.yaml"
_LABEL_FILES = ("labels.txt", "classes.txt", "obj.names")
_COLUMNS = "class cx cy width height"


def label_folder(pictures: Path) -> Path | None:
    """YOLO's place: ".../labels/val" for ".../images/val"; None for other folders."""
    parts = list(pictures.resolve().parts)
    if "images" not in parts:
        return None
    at = len(parts) - 1 - parts[::-1].index("images")
    return Path(*parts[:at], "labels", *parts[at + 1 :])


def class_names(pictures: Path, labels: Path) -> tuple[str, ...]:
    """Names beside the label files, up to two folders above them, or in a data.yaml above the pictures.

    Returns:
        Empty where there are none.

    Raises:
        DataError: data.yaml is no YAML, or its names are no list from 0 on.
        ModelError: another file of names cannot be read.
    """
    for folder in (labels, *labels.resolve().parents[:2]):
        if (folder / _CONFIG).is_file():
            return _configured_names(folder / _CONFIG)
        for name in _LABEL_FILES:
            if (folder / name).is_file():
                return read_labels(folder / name)
    above = (folder / _CONFIG for folder in (pictures, *pictures.resolve().parents[:3]))
    config = next((file for file in above if file.is_file()), None)
    return () if config is None else _configured_names(config)


def _configured_names(file: Path) -> tuple[str, ...]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise DataError(str(file), f"expected YAML with names, got: {str(error).splitlines()[0]}") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        names = [names.get(index) for index in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file} names", f"expected a list of class names from 0 on, got {names!r}")
    if "nc" in content and content["nc"] != len(names):
        raise DataError(f"{file} nc", f"expected {len(names)}, the number of names, got {content['nc']}")
    return tuple(names)


def read_boxes(file: Path, size: tuple[int, int], names: tuple[str, ...]) -> Detections:
    """Lines of `class cx cy width height`, in fractions of the picture; no file: no objects.

    Args:
        file: of one picture.
        size: (width, height) px of the picture.
        names: of the classes; empty where they are not known.

    Returns:
        Boxes in px, cut at the picture's edge.

    Raises:
        DataError: a line is no label; it is named.
    """
    if not file.is_file():
        return Detections.empty()
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(file), f"expected text in UTF-8, got {error}") from error
    rows = [_parsed(f"{file}:{number}", line, names) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        return Detections.empty()
    limits = np.array([*size, *size], np.float32)
    boxes = np.clip(cxcywh_to_xyxy(np.array([row[1:] for row in rows], np.float32) * limits), 0, limits)
    flat = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
    if flat.any():
        raise DataError(
            str(file),
            f"expected boxes with an area inside the picture, got none (object {int(np.argmax(flat)) + 1})",
            "correct or remove that object",
        )
    return Detections(
        boxes, np.ones(len(rows), np.float32), np.array([int(row[0]) for row in rows], np.int64)
    )


def _parsed(where: str, line: str, names: tuple[str, ...]) -> tuple[float, ...]:
    parts = line.split()
    try:
        label, numbers = int(parts[0]), [float(part) for part in parts[1:]]
    except ValueError as error:
        raise DataError(where, f"expected {_COLUMNS}, got {line!r}") from error
    if len(numbers) != 4:
        raise DataError(where, f"expected {_COLUMNS}, got {line[:80]!r}", "polygons are no boxes")
    if not all(-0.01 <= number <= 1.01 for number in numbers):
        raise DataError(where, f"expected numbers in 0..1, got {numbers}")
    if label < 0 or (names and label >= len(names)):
        known = f"0..{len(names) - 1} ({len(names)} names)" if names else "0 or above"
        raise DataError(
            where, f"expected a class of {known}, got {label}",
            "correct the label or the list of class names",
        )  # fmt: skip
    return (label, *numbers)
