"""Batches of augmented pictures for a detector, the same for a seed whatever threads and restarts do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.records import FloatArray, ImageArray, IntArray
from models.architectures.pixels import to_input
from models.data.augment import Example, Letterbox, Step, run, training_steps
from models.data.clutter import Clutter
from models.data.detection_set import DetectionSet, read_picture

_AHEAD = 4


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one training step sees.

    Args:
        images: (B, H, W, 3) float32 RGB in -1..1.
        boxes: (B, G, 4) float32 xyxy px, padded with 0.
        labels: (B, G) int32, padded with 0.
        kind: (B, G) float32: 1 an object, 0 padding, -1 an ignored object.
    """

    images: FloatArray
    boxes: FloatArray
    labels: NDArray[np.int32]
    kind: FloatArray


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much pictures are changed.

    Args:
        mosaic: 0..1, part of the pictures that become mosaics.
        zoom: (least, most) random factor on a picture's scale.
        clutter: 0..1, part of the pictures in which things that are no object are drawn.
    """

    mosaic: float
    zoom: tuple[float, float]
    clutter: float = 0.0


class PictureCache:
    """Decoded pictures, kept while there is room: decoding costs as much as augmenting.

    Args:
        limit_bytes: pictures beyond it are decoded each time.
    """

    def __init__(self, limit_bytes: int = 2 << 30) -> None:
        self._kept: dict[Path, ImageArray] = {}
        self._room = limit_bytes

    def __call__(self, path: Path) -> ImageArray:
        """(H, W, 3) uint8 BGR; not to be written to."""
        image = self._kept.get(path)
        if image is None:
            image = read_picture(path)
            if image.nbytes <= self._room:
                self._room -= image.nbytes
                self._kept[path] = image
        return image


def epoch_batches(
    data: DetectionSet,
    size: tuple[int, int],
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    augment: Augmentation | None,
    most_objects: int,
    read: Callable[[Path], ImageArray] = read_picture,
    threads: int = 2,
) -> Iterator[Batch]:
    """All pictures once, in random order; a last batch that would not be full is left out.

    Args:
        size: (width, height) px of the model's input.
        seed, epoch: decide order and augmentation; nothing else does.
        augment: how pictures are changed; None only letterboxes them.
        most_objects: G; objects beyond it are left out, the smallest first.
        read: gives the picture of a path.
        threads: prepare pictures beside the training.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(data))

    def load(index: int) -> Example:
        sample = data.samples[index]
        return Example(read(sample.path), sample.boxes, sample.labels, sample.ignored)

    def draw(rng: np.random.Generator) -> Example:
        return load(int(rng.integers(len(data))))

    steps: tuple[Step, ...] = (Letterbox(size),)
    if augment is not None:
        placed, *others = training_steps(size, draw, mosaic=augment.mosaic, zoom=augment.zoom)
        steps = (placed, Clutter(augment.clutter), *others) if augment.clutter else (placed, *others)

    def prepare(index: int) -> Example:
        return run(steps, load(index), np.random.default_rng([seed, epoch, index]))

    batches = [
        order[start : start + batch_size] for start in range(0, len(order) - batch_size + 1, batch_size)
    ]
    with ThreadPoolExecutor(threads) as pool:

        def submit(rows: IntArray) -> list[Future[Example]]:
            return [pool.submit(prepare, int(row)) for row in rows]

        waiting: deque[list[Future[Example]]] = deque()
        try:
            waiting.extend(submit(rows) for rows in batches[:_AHEAD])
            for number in range(len(batches)):
                if number + _AHEAD < len(batches):
                    waiting.append(submit(batches[number + _AHEAD]))
                yield _collate([future.result() for future in waiting.popleft()], most_objects)
        finally:
            for futures in waiting:
                for future in futures:
                    future.cancel()


def _collate(examples: list[Example], most_objects: int) -> Batch:
    """Examples of one size as arrays with padding."""
    count = len(examples)
    boxes = np.zeros((count, most_objects, 4), np.float32)
    labels = np.zeros((count, most_objects), np.int32)
    kind = np.zeros((count, most_objects), np.float32)
    for row, example in enumerate(examples):
        area = (example.boxes[:, 2:] - example.boxes[:, :2]).prod(axis=1)
        kept = np.argsort(-area, kind="stable")[:most_objects]
        boxes[row, : len(kept)] = example.boxes[kept]
        labels[row, : len(kept)] = example.labels[kept]
        kind[row, : len(kept)] = np.where(example.ignored[kept], -1.0, 1.0)
    images = np.stack([to_input(example.image) for example in examples])
    return Batch(images, boxes, labels, kind)
