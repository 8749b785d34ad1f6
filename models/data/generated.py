"""Generated scenes as a folder of pictures with COCO labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.errors import DataError, StorageError
from models.data.scene.compose import SceneOptions, random_scene
from models.data.scene.motion import ACTIONS
from models.data.scene.render import Renderer, Shot
from models.data.scene.truth import LABELS


@dataclass(frozen=True, slots=True)
class GeneratedSet:
    """What a generated set holds.

    Args:
        scenes: number of different scenes.
        frames_per_scene: pictures of each, spread over its time.
        seed: of the first scene; the others follow it, so sets whose seeds lie at least `scenes` apart
            share no scene.
        sizes: (width, height) px, drawn for each scene.
        min_visibility: objects seen less than this are marked as crowd: neither right nor wrong to find.
        min_side_px: objects whose box is smaller on either side are marked likewise.
        jpeg_quality: (least, most), drawn for each picture.
    """

    scenes: int
    frames_per_scene: int = 6
    seed: int = 0
    sizes: tuple[tuple[int, int], ...] = ((384, 216), (384, 288), (448, 252))
    min_visibility: float = 0.25
    min_side_px: float = 4.0
    jpeg_quality: tuple[int, int] = (70, 95)
    options: SceneOptions = field(default_factory=SceneOptions)


def write_generated_set(
    folder: Path, wanted: GeneratedSet, *, on_scene: Callable[[int], None] | None = None
) -> int:
    """Write `images/*.jpg`, COCO labels and YOLO labels.

    `annotations.json` also tells track ids, actions, visibility, and which objects are too small or too
    hidden to be judged; `labels/*.txt` leave those out.

    Args:
        folder: is made; must not hold a set yet.
        wanted: what to generate.
        on_scene: is told after each scene how many are done.

    Returns:
        Number of pictures.

    Raises:
        DataError: the folder holds something already.
        StorageError: a picture cannot be written.
    """
    if wanted.scenes < 1 or wanted.frames_per_scene < 1:
        raise DataError(
            "generated set",
            f"expected 1 scene and 1 frame or more, got {wanted.scenes} and {wanted.frames_per_scene}",
        )
    if (folder / "annotations.json").exists():
        raise DataError(str(folder), "expected an empty folder, got a data set", "name another folder")
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(wanted.scenes):
        seed = wanted.seed + number
        rng = np.random.default_rng([seed, 7])
        size = wanted.sizes[int(rng.integers(len(wanted.sizes)))]
        renderer = Renderer(random_scene(seed, replace(wanted.options, size=size)))
        spread = wanted.options.duration_s / wanted.frames_per_scene
        for index in range(wanted.frames_per_scene):
            shot = renderer.frame((index + float(rng.random())) * spread)
            name = f"{seed:08d}_{index:02d}.jpg"
            quality = int(rng.integers(wanted.jpeg_quality[0], wanted.jpeg_quality[1] + 1))
            path = folder / "images" / name
            if not cv2.imwrite(str(path), shot.image, [cv2.IMWRITE_JPEG_QUALITY, quality]):
                raise StorageError(str(path), "expected to write a picture, could not", "is the disk full?")
            image_id = len(images) + 1
            images.append(
                {"id": image_id, "file_name": f"images/{name}", "width": size[0], "height": size[1]}
            )
            rows = _annotations(shot, size, image_id, len(annotations), wanted)
            annotations += rows
            (folder / "labels" / f"{path.stem}.txt").write_text(_yolo_lines(rows, size), encoding="utf-8")
        if on_scene is not None:
            on_scene(number + 1)
    content = {
        "info": {"description": "Edgetrack generated scenes", "seed": wanted.seed, "scenes": wanted.scenes},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(LABELS)],
    }
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(LABELS))
    (folder / "data.yaml").write_text(f"train: images\nval: images\nnames:\n{names}", encoding="utf-8")
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return len(images)


def _yolo_lines(rows: list[dict[str, Any]], size: tuple[int, int]) -> str:
    """Class and box as fractions, one line for each object that is to be found."""
    lines = []
    for row in rows:
        if row["iscrowd"]:
            continue
        left, top, width, height = row["bbox"]
        centre = (left + width / 2) / size[0], (top + height / 2) / size[1]
        numbers = (*centre, width / size[0], height / size[1])
        lines.append(f"{row['category_id'] - 1} " + " ".join(f"{number:.6f}" for number in numbers))
    return "".join(f"{line}\n" for line in lines)


def _annotations(
    shot: Shot, size: tuple[int, int], image_id: int, used: int, wanted: GeneratedSet
) -> list[dict[str, Any]]:
    """COCO annotations of one frame, boxes cut at the picture's edge."""
    truth = shot.truth
    rows: list[dict[str, Any]] = []
    for row, (left, top, right, bottom) in enumerate(truth.clipped_boxes(size).tolist()):
        width, height = right - left, bottom - top
        if width <= 0 or height <= 0:
            continue
        seen = float(truth.visibility[row])
        hidden = seen < wanted.min_visibility or min(width, height) < wanted.min_side_px
        rows.append(
            {
                "id": used + len(rows) + 1, "image_id": image_id, "category_id": int(truth.labels[row]) + 1,
                "bbox": [left, top, width, height], "area": width * height, "iscrowd": int(hidden),
                "track_id": int(truth.ids[row]), "action": ACTIONS[int(truth.actions[row])].value,
                "visibility": round(seen, 3),
            }
        )  # fmt: skip
    return rows
