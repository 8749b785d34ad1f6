"""Augmentation: one pipeline of small steps, each a picture with its boxes in, the same out.

A step draws all its chance from the generator it is given, so a seed gives the same picture again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from agent.records import BoolArray, FloatArray, ImageArray, IntArray

PAD = 114
"""Grey of empty parts; the same as the letterbox's."""

_MIN_SIDE_PX = 3.0
_MIN_KEPT = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A picture on its way through the pipeline.

    Args:
        image: (H, W, 3) uint8 BGR.
        boxes: (N, 4) float32 xyxy in px.
        labels: (N,) int64.
        ignored: (N,) bool.
    """

    image: ImageArray
    boxes: FloatArray
    labels: IntArray
    ignored: BoolArray


class Step(Protocol):
    """One augmentation."""

    def __call__(self, example: Example, rng: np.random.Generator) -> Example: ...


def run(steps: tuple[Step, ...], example: Example, rng: np.random.Generator) -> Example:
    """All steps in their order."""
    for step in steps:
        example = step(example, rng)
    return example


def place(example: Example, size: tuple[int, int], scale: float, offset: tuple[float, float]) -> Example:
    """Scale a picture and lay it on a grey canvas; boxes are cut, those of which little is left are ignored.

    Args:
        size: (width, height) px of the canvas.
        scale: factor on the picture's sides.
        offset: px of the picture's top left corner on the canvas.
    """
    image = example.image
    height, width = image.shape[:2]
    if scale < 0.6:
        # By area first: a linear warp to less than half the size would skip pixels.
        smaller = (max(round(width * scale), 1), max(round(height * scale), 1))
        image = np.asarray(cv2.resize(image, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    rest = np.array([scale * width / image.shape[1], scale * height / image.shape[0]])
    # OpenCV's coordinates are those of pixel centres, boxes are those of pixel corners.
    shift = np.array(offset) + 0.5 * rest - 0.5
    matrix = np.array([[rest[0], 0, shift[0]], [0, rest[1], shift[1]]], np.float32)
    canvas = cv2.warpAffine(
        image,
        matrix,
        size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(PAD, PAD, PAD),
    )
    moved = example.boxes * scale + np.array([offset[0], offset[1]] * 2, np.float32)
    limits = np.array([size[0], size[1]] * 2, np.float32)
    cut = np.clip(moved, 0, limits)
    sides = cut[:, 2:] - cut[:, :2]
    full = np.maximum((moved[:, 2:] - moved[:, :2]).prod(axis=1), 1e-6)
    seen = (sides > 0).all(axis=1)
    hard = (sides.min(axis=1, initial=np.inf) < _MIN_SIDE_PX) | (sides.prod(axis=1) / full < _MIN_KEPT)
    ignored = example.ignored | hard
    return Example(
        np.asarray(canvas, np.uint8), cut[seen].astype(np.float32), example.labels[seen], ignored[seen]
    )


@dataclass(frozen=True, slots=True)
class RandomPlace:
    """Zoom and shift onto a canvas of the model's size.

    Args:
        size: (width, height) px.
        zoom: (least, most) factor on the scale at which the picture just fits.
    """

    size: tuple[int, int]
    zoom: tuple[float, float] = (0.6, 1.7)

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        height, width = example.image.shape[:2]
        low, high = np.log(self.zoom)
        scale = min(self.size[0] / width, self.size[1] / height) * float(np.exp(rng.uniform(low, high)))
        room = self.size[0] - width * scale, self.size[1] - height * scale
        return place(
            example, self.size, scale, (float(rng.random()) * room[0], float(rng.random()) * room[1])
        )


@dataclass(frozen=True, slots=True)
class Letterbox:
    """No chance: the picture fitted into the middle of the canvas, as on the device."""

    size: tuple[int, int]

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        height, width = example.image.shape[:2]
        scale = min(self.size[0] / width, self.size[1] / height)
        return place(
            example,
            self.size,
            scale,
            ((self.size[0] - width * scale) / 2, (self.size[1] - height * scale) / 2),
        )


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Four pictures round a random point (Bochkovskiy et al., YOLOv4, 2020).

    Args:
        size: (width, height) px.
        draw: gives another example.
        part: 0..1, how often.
        zoom: (least, most) factor on the scale at which a picture just fits its quarter.
        zoom_alone: the same for pictures that become no mosaic.
    """

    size: tuple[int, int]
    draw: Callable[[np.random.Generator], Example]
    part: float = 0.3
    zoom: tuple[float, float] = (0.8, 2.0)
    zoom_alone: tuple[float, float] = (0.7, 1.6)

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.part:
            return RandomPlace(self.size, self.zoom_alone)(example, rng)
        width, height = self.size
        cross_x, cross_y = (int(side * rng.uniform(0.3, 0.7)) for side in self.size)
        canvas = np.full((height, width, 3), PAD, np.uint8)
        quarters = (
            (0, 0, cross_x, cross_y), (cross_x, 0, width, cross_y),
            (0, cross_y, cross_x, height), (cross_x, cross_y, width, height),
        )  # fmt: skip
        parts = []
        for index, (left, top, right, bottom) in enumerate(quarters):
            tile = RandomPlace((right - left, bottom - top), self.zoom)(
                example if index == 0 else self.draw(rng), rng
            )
            canvas[top:bottom, left:right] = tile.image
            parts.append(replace(tile, boxes=tile.boxes + np.array([left, top] * 2, np.float32)))
        return Example(
            canvas,
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.ignored for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Flip:
    """Left becomes right."""

    part: float = 0.5

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.part:
            return example
        width = example.image.shape[1]
        boxes = example.boxes.copy()
        boxes[:, [0, 2]] = width - example.boxes[:, [2, 0]]
        return replace(example, image=np.ascontiguousarray(example.image[:, ::-1]), boxes=boxes)


@dataclass(frozen=True, slots=True)
class Colour:
    """Brightness, contrast, saturation and white balance; now and then grey, as from an infrared camera.

    Args:
        brightness: largest shift, grey levels.
        contrast, saturation, balance: largest part by which each changes.
        grey: 0..1, how often all colour goes.
    """

    brightness: float = 30.0
    contrast: float = 0.35
    saturation: float = 0.5
    balance: float = 0.10
    grey: float = 0.08

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        gain = 1 + rng.uniform(-self.contrast, self.contrast)
        gains = gain * (1 + rng.uniform(-self.balance, self.balance, 3))
        shift = rng.uniform(-self.brightness, self.brightness) + 114 * (1 - gain)
        keep = 0.0 if rng.random() < self.grey else 1 + rng.uniform(-self.saturation, self.saturation)
        # One 3×4 matrix does all of it: keep · colour + (1 - keep) · luma, then gains and shift.
        luma = np.array([0.114, 0.587, 0.299])
        mixing = keep * np.eye(3) + (1 - keep) * np.tile(luma, (3, 1))
        matrix = np.concatenate([gains[:, None] * mixing, np.full((3, 1), shift)], axis=1)
        return replace(example, image=np.asarray(cv2.transform(example.image, matrix), np.uint8))


@dataclass(frozen=True, slots=True)
class Blur:
    """Defocus or motion."""

    part: float = 0.15
    sigma_px: tuple[float, float] = (0.4, 1.3)

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.part:
            return example
        sigma = rng.uniform(*self.sigma_px, 2)
        image = cv2.GaussianBlur(example.image, (0, 0), sigmaX=float(sigma[0]), sigmaY=float(sigma[1]))
        return replace(example, image=np.asarray(image, np.uint8))


@dataclass(frozen=True, slots=True)
class Noise:
    """Gaussian sensor noise."""

    part: float = 0.2
    deviation: tuple[float, float] = (1.5, 9.0)

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.part:
            return example
        noise = rng.standard_normal(example.image.shape, np.float32) * float(rng.uniform(*self.deviation))
        image = cv2.add(example.image, noise.astype(np.int16), dtype=cv2.CV_8U)
        return replace(example, image=np.asarray(image, np.uint8))


def training_steps(
    size: tuple[int, int],
    draw: Callable[[np.random.Generator], Example],
    *,
    mosaic: float,
    zoom: tuple[float, float],
) -> tuple[Step, ...]:
    """The pipeline that detectors are trained with.

    Args:
        size: (width, height) px of the model's input.
        draw: gives other examples, for mosaics.
        mosaic: 0..1, part of the pictures that become mosaics.
        zoom: (least, most) of a picture that does not.
    """
    return Mosaic(size, draw, mosaic, zoom_alone=zoom), Flip(), Colour(), Blur(), Noise()
