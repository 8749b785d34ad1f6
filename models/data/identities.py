"""Objects cut out together with who they are: pictures of the same identity at different times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from agent.errors import DataError, StorageError
from agent.records import FloatArray, ImageArray
from agent.vision.crop import cut_box
from models.data.classification_set import ClassificationSet
from models.data.scene.compose import SceneOptions, random_scene
from models.data.scene.render import Renderer
from models.data.scene.truth import LABELS

CROP_SIZE = (32, 64)
"""(width, height) px: about what a person has in a camera's picture of 480 px."""


class Sighting(NamedTuple):
    """Known objects of one picture.

    Args:
        image: (H, W, 3) uint8 BGR.
        boxes: (N, 4) float32 xyxy px.
        names: of the N identities: `GROUP-NUMBER`; those of one group can be taken for each other.
    """

    image: ImageArray
    boxes: FloatArray
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GeneratedSightings:
    """Which generated scenes are looked at.

    Args:
        scenes: number of different scenes.
        frames_per_scene: pictures of each, spread over its time.
        seed: of the first scene; the others follow it.
        sizes: (width, height) px, drawn for each scene.
        min_visibility: objects seen less than this are left out.
        min_size_px: (width, height) of the smallest box.
    """

    scenes: int
    frames_per_scene: int = 8
    seed: int = 0
    sizes: tuple[tuple[int, int], ...] = ((384, 216), (448, 252), (512, 288))
    min_visibility: float = 0.4
    min_size_px: tuple[float, float] = (6.0, 16.0)
    options: SceneOptions = field(default_factory=lambda: SceneOptions(people=(3, 8)))


def generated_sightings(wanted: GeneratedSightings) -> Iterator[Sighting]:
    """The objects of random scenes, partly hidden ones too; groups are a scene's objects of one class."""
    spread = wanted.options.duration_s / wanted.frames_per_scene
    for seed in range(wanted.seed, wanted.seed + wanted.scenes):
        rng = np.random.default_rng([seed, 8])
        size = wanted.sizes[int(rng.integers(len(wanted.sizes)))]
        renderer = Renderer(random_scene(seed, replace(wanted.options, size=size)))
        for index in range(wanted.frames_per_scene):
            shot = renderer.frame((index + float(rng.random())) * spread)
            truth, boxes = shot.truth, shot.truth.clipped_boxes(size)
            kept = truth.visibility >= wanted.min_visibility
            kept &= (boxes[:, 2:] - boxes[:, :2] >= wanted.min_size_px).all(axis=1)
            names = tuple(
                f"{seed:08d}-{LABELS[label]}-{number}"
                for label, number in zip(truth.labels[kept].tolist(), truth.ids[kept].tolist(), strict=True)
            )
            yield Sighting(shot.image, boxes[kept], names)


def cut_identities(
    sightings: Iterable[Sighting],
    *,
    seed: int = 0,
    jitter: float = 0.06,
    on_picture: Callable[[], None] | None = None,
) -> ClassificationSet:
    """Cut the objects out, with boxes that err as a detector's do; identities seen once are left out.

    Args:
        sightings: pictures and what is in them.
        seed: of the boxes' errors.
        jitter: standard deviation of each side's error, in lengths of the box.
        on_picture: called after each picture.

    Returns:
        One class for every identity, in the order of their first sight; pictures are `CROP_SIZE`.

    Raises:
        DataError: fewer than two identities are seen twice.
    """
    rng = np.random.default_rng([seed, 9])
    images: list[ImageArray] = []
    names: list[str] = []
    for sighting in sightings:
        for box, name in zip(sighting.boxes, sighting.names, strict=True):
            sides = np.tile(box[2:] - box[:2], 2)
            piece = cut_box(sighting.image, box + rng.normal(0.0, jitter, 4) * sides)
            if piece is not None:
                images.append(
                    np.asarray(cv2.resize(piece, CROP_SIZE, interpolation=cv2.INTER_AREA), np.uint8)
                )
                names.append(name)
        if on_picture is not None:
            on_picture()
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    labels = tuple(name for name, count in counts.items() if count > 1)
    if len(labels) < 2:
        raise DataError("identities", f"expected two or more that are seen twice, got {len(labels)}")
    number = {name: index for index, name in enumerate(labels)}
    kept = [row for row, name in enumerate(names) if name in number]
    classes = np.array([number[names[row]] for row in kept], np.int64)
    return ClassificationSet(labels, np.stack([images[row] for row in kept]), classes)


def groups_of(labels: Iterable[str]) -> tuple[str, ...]:
    """Of each identity the name without what follows its last hyphen; one group where there is none."""
    return tuple(label.rpartition("-")[0] for label in labels)


def save_identities(path: Path, data: ClassificationSet) -> None:
    """Write `x` (N, H, W, 3) RGB uint8, `y` (N,) and `classes`, the identities' names.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, x=data.images[..., ::-1], y=data.classes, classes=np.array(data.labels))
    except OSError as error:
        raise StorageError(str(path), f"expected to write arrays, got {error.strerror or error}") from error
