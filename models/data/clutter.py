"""Augmentation: posts, tripods, signs, cones and patches that are no object.

A detector that saw tidy generated scenes only takes the upright things of real ones for people. What is drawn
here has such outlines, and colours or pieces of the picture itself for a surface.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from agent.records import FloatArray, ImageArray
from models.data.augment import Example

_MAX_HIDDEN = 0.25
"""Of an object, at most this part may lie within the outlines of things."""
_SHARPEST, _SOFTEST = 0.3, 0.9

Corners = list[FloatArray]
"""Polygons (P, 2) in px that make up one thing."""


@dataclass(frozen=True, slots=True)
class Clutter:
    """Draws a few things that are no object.

    Args:
        part: 0..1, of the pictures.
        most: things in one picture.
    """

    part: float = 0.5
    most: int = 8

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.part:
            return example
        image = example.image.copy()
        height, width = image.shape[:2]
        hidden = np.zeros(len(example.boxes))
        for _ in range(int(rng.integers(1, self.most + 1))):
            tall = height * float(np.exp(rng.uniform(np.log(0.04), np.log(0.6))))
            foot = np.array([rng.uniform(0, width), rng.uniform(0.15 * height, height + 0.3 * tall)])
            polygons = [part * tall + foot for part in _KINDS[int(rng.integers(len(_KINDS)))](rng)]
            more = hidden + _covered(np.concatenate(polygons), example.boxes)
            if (more <= _MAX_HIDDEN).all():
                hidden = more
                _draw(image, polygons, rng)
        return replace(example, image=image)


def _covered(corners: FloatArray, boxes: FloatArray) -> FloatArray:
    """(N,) part of each box that lies in a thing's outline."""
    low, high = np.maximum(corners.min(axis=0), boxes[:, :2]), np.minimum(corners.max(axis=0), boxes[:, 2:])
    areas = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-6)
    part: FloatArray = np.maximum(high - low, 0).prod(axis=1) / areas
    return part


def _draw(image: ImageArray, polygons: Corners, rng: np.random.Generator) -> None:
    """Fill a thing with the picture's own colours, or with a piece of it, lit from one side."""
    height, width = image.shape[:2]
    corners = np.concatenate(polygons)
    left, top = np.floor(np.maximum(corners.min(axis=0) - 2, 0)).astype(int)
    right, bottom = np.ceil(np.minimum(corners.max(axis=0) + 3, (width, height))).astype(int)
    if right - left < 2 or bottom - top < 2:
        return
    size = right - left, bottom - top
    under = image[top:bottom, left:right]
    for polygon in polygons:
        mask = np.zeros(under.shape[:2], np.uint8)
        fixed = np.round((polygon - (left, top)) * 16).astype(np.int32)
        cv2.fillPoly(mask, [fixed], (255,), cv2.LINE_AA, shift=4)
        cover = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(_SHARPEST, _SOFTEST)))
        cover = cover.astype(np.float32)[..., None] * np.float32(1 / 255)
        under[:] = (under * (1 - cover) + _surface(image, size, rng) * cover).astype(np.uint8)


def _surface(image: ImageArray, size: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """(h, w, 3) float32 in 0..255."""
    height, width = image.shape[:2]
    if rng.random() < 0.4:
        x, y = int(rng.integers(0, width - 8)), int(rng.integers(0, height - 8))
        piece = image[y : y + int(rng.integers(8, 64)), x : x + int(rng.integers(8, 64))]
        surface = cv2.resize(piece, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    else:
        own = image[int(rng.integers(height)), int(rng.integers(width))].astype(np.float32)
        any_colour = rng.uniform(0, 255, 3).astype(np.float32)
        grey = np.full(3, rng.uniform(0, 255), np.float32)
        colour = (own, any_colour, grey)[int(rng.integers(3))]
        surface = np.broadcast_to(colour, (size[1], size[0], 3))
    across = np.linspace(-1, 1, size[0], dtype=np.float32)[None, :, None]
    light = 1 + rng.uniform(-0.4, 0.4) * across + rng.uniform(-0.25, 0.25)
    lit: FloatArray = np.clip(surface * light, 0, 255).astype(np.float32)
    return lit


def _strip(start: tuple[float, float], end: tuple[float, float], thick: float) -> FloatArray:
    """(4, 2) corners of a straight bar."""
    a, b = np.array(start), np.array(end)
    along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-6)
    side = np.array([-along[1], along[0]]) * thick / 2
    return np.stack([a + side, b + side, b - side, a - side])


# Things of height 1 that stand at (0, 0); y points down.


def _post(rng: np.random.Generator) -> Corners:
    lean, thick = rng.uniform(-0.06, 0.06), float(np.exp(rng.uniform(np.log(0.02), np.log(0.25))))
    parts = [_strip((0, 0), (lean, -1), thick)]
    if rng.random() < 0.5:  # a sign, a lamp or a box at some height
        wide, high, at = rng.uniform(0.1, 0.6), rng.uniform(0.05, 0.35), rng.uniform(-1.05, -0.3)
        shift = rng.uniform(-0.5, 0.5) * wide
        parts.append(_strip((shift - wide / 2, at), (shift + wide / 2, at), high))
    return parts


def _tripod(rng: np.random.Generator) -> Corners:
    thick, top = rng.uniform(0.01, 0.05), rng.uniform(-0.75, -0.45)
    feet = rng.uniform(-0.4, 0.4, int(rng.integers(2, 5)))
    legs = [_strip((float(foot), 0), (0, top), thick) for foot in feet]
    return [*legs, _strip((0, top), (rng.uniform(-0.05, 0.05), -1), thick * rng.uniform(1, 4))]


def _cone(rng: np.random.Generator) -> Corners:
    half, tip = rng.uniform(0.2, 0.5), rng.uniform(0, 0.15)
    return [np.array([[-half, 0], [half, 0], [tip, -1], [-tip, -1]])]


def _patch(rng: np.random.Generator) -> Corners:
    """A bag, a stone, a window, a bush: any star-shaped outline, lying or upright."""
    count = int(rng.integers(4, 11))
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    reach = rng.uniform(0.25, 0.5, count)[:, None]
    stretch = np.array([float(np.exp(rng.uniform(np.log(0.3), np.log(4.0)))), 1.0])
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach * stretch
    return [outline - (0.0, outline[:, 1].max())]


def _box(rng: np.random.Generator) -> Corners:
    wide, lean = float(np.exp(rng.uniform(np.log(0.15), np.log(3.0)))), rng.uniform(-0.1, 0.1)
    front = np.array([[-wide / 2, 0], [wide / 2, 0], [wide / 2 + lean, -1], [-wide / 2 + lean, -1]])
    if rng.random() < 0.5:
        return [front]
    band = rng.uniform(-0.9, -0.1)
    return [front, _strip((-wide / 2, band), (wide / 2, band), rng.uniform(0.03, 0.3))]


_KINDS: tuple[Callable[[np.random.Generator], Corners], ...] = (_post, _post, _tripod, _cone, _patch, _box)
