"""COCO annotations: one JSON file for a set of pictures.

| layout | the file | its pictures |
| --- | --- | --- |
| COCO's own | `annotations/instances_val2017.json` | `val2017/` or `images/val2017/` |
| others | `annotations.json` | beside it, or in `images/` |

Source: the data format at cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import DataError
from agent.geometry.boxes import ltwh_to_xyxy
from models.data.detection_set import (
    DetectionSet,
    Sample,
    check_boxes,
    read_picture,
    read_samples,
    read_text,
)

_log = logging.getLogger(__name__)


def read_coco(path: Path, split: str) -> DetectionSet:
    """Read annotations and pictures; annotations without an area, of which COCO has a few, are left out.

    Args:
        path: the file, or a folder with `annotations.json`.
        split: part of the pictures' names, or the folder that they are in; empty for all.

    Raises:
        DataError: the file is no COCO, or a picture or an annotation is not as it says; it is named.
    """
    file = path if path.is_file() else path / "annotations.json"
    try:
        content: dict[str, Any] = json.loads(read_text(file))
        categories = sorted(content["categories"], key=lambda category: int(category["id"]))
        names = tuple(str(category["name"]) for category in categories)
        new_id = {int(category["id"]): index for index, category in enumerate(categories)}
        pictures = {int(image["id"]): str(image["file_name"]) for image in content["images"]}
        pictures = _of_split(pictures, file, split)
        by_image = _by_image(content["annotations"], pictures, new_id, file)
        jobs = {_find_picture(file, name, split): image_id for image_id, name in pictures.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            str(file), f"expected COCO annotations, got {type(error).__name__}: {error}"
        ) from error

    def read(picture: Path) -> Sample:
        height, width = read_picture(picture).shape[:2]
        rows = by_image[jobs[picture]]
        where = f"{file} {picture.name}"
        try:
            table = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
            ids = np.array([new_id[int(row["category_id"])] for row in rows], np.int64)
            ignored = np.array([bool(row.get("iscrowd", 0)) for row in rows], np.bool_)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                where, f"expected bbox and category_id, got {type(error).__name__}: {error}"
            ) from error
        boxes = check_boxes(where, ltwh_to_xyxy(table), (width, height))
        return Sample(picture, (width, height), boxes, ids, ignored)

    return DetectionSet(names, read_samples(read, sorted(jobs)))


def _by_image(
    rows: list[dict[str, Any]], pictures: dict[int, str], new_id: dict[int, int], file: Path
) -> dict[int, list[dict[str, Any]]]:
    """Annotations of each picture."""
    by_image: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in pictures}
    left_out = 0
    for row in rows:
        if int(row["category_id"]) not in new_id:
            raise DataError(
                f"{file} annotation {row.get('id')}",
                f"expected one of the {len(new_id)} categories, got category_id {row['category_id']}",
            )
        if int(row["image_id"]) not in by_image:
            continue
        if 0 in row.get("bbox", ())[2:]:
            left_out += 1
            continue
        by_image[int(row["image_id"])].append(row)
    if left_out:
        _log.warning("%s: %d annotations without width or height are left out", file, left_out)
    return by_image


def _of_split(pictures: dict[int, str], file: Path, split: str) -> dict[int, str]:
    """Those whose names hold the split, or else those that lie in a folder of its name."""
    chosen = {image_id: name for image_id, name in pictures.items() if split in name}
    if chosen:
        return chosen
    places = {image_id: _find_picture(file, name, split) for image_id, name in pictures.items()}
    return {
        image_id: pictures[image_id]
        for image_id, place in places.items()
        if place.is_file() and split in place.relative_to(file.parent.parent).parts
    }


def _find_picture(file: Path, name: str, split: str) -> Path:
    """COCO names pictures relative to a folder beside the annotations' folder, or to their own folder."""
    own = ("", file.stem.removeprefix("instances_"), split)
    inner = dict.fromkeys(Path(above, folder) for above in ("", "images") for folder in own)
    places = [folder / part / name for folder in (file.parent, file.parent.parent) for part in inner]
    return next((place for place in places if place.is_file()), places[0])
