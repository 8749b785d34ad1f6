"""A row of house fronts: walls, windows, doors, shop windows; colour as a function of metres."""

from __future__ import annotations

import numpy as np

from agent.records import BoolArray, FloatArray
from models.data.scene import texture
from models.data.scene.texture import Noise, between, lines, mix

_STOREY_M = 3.1
_BAY_M = 2.2


def _window(x: FloatArray, y: FloatArray, blur: FloatArray | float, inset: float) -> FloatArray:
    """0..1: panes of the upper storeys, one a bay; `inset` metres shrinks them."""
    along = np.abs(np.mod(x, _BAY_M) - _BAY_M / 2)
    up = np.mod(y, _STOREY_M)
    return between(along, -1.0, 0.55 - inset, blur) * between(up, 0.95 + inset, 2.45 - inset, blur)


def lit_windows(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    """0..1: windows behind which somebody is at home."""
    key = np.floor(x / _BAY_M) * 17.0 + np.floor(y / _STOREY_M) * 71.0 + float(rng.uniform(0, 99))
    lit = np.mod(np.sin(key) * 951.77, 1.0) > 0.68
    glow: FloatArray = _window(x, y, 0.01, 0.08) * lit * (y > _STOREY_M)
    return glow


def house_fronts(
    noise: Noise, rng: np.random.Generator, x: FloatArray, y: FloatArray, blur: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """A row of house fronts with windows, doors, shop windows and roofs of different heights."""
    surface = np.zeros((*x.shape, 3), np.float32)
    solid = np.zeros(x.shape, bool)
    left = -90.0
    palette = np.array(
        [
            [175, 200, 215],
            [150, 170, 190],
            [95, 115, 170],
            [75, 90, 140],
            [190, 195, 195],
            [140, 180, 205],
            [165, 165, 150],
        ],
        np.float32,
    )
    while left < 90:
        bays = int(rng.integers(3, 6))
        right = left + bays * _BAY_M
        colour = palette[rng.integers(len(palette))] * float(rng.uniform(0.8, 1.08)) + rng.normal(
            0, 6, 3
        ).astype(np.float32)
        storeys = int(rng.integers(2, 5))
        height = storeys * _STOREY_M + 0.5
        brick, shop, door_bay = bool(rng.random() < 0.45), bool(rng.random() < 0.35), int(rng.integers(bays))
        trim = np.clip(colour * 1.25, 0, 240) if brick else np.full(3, 225, np.float32)
        shop_colour = rng.uniform(30, 150, 3).astype(np.float32)
        door_colour = rng.uniform(20, 120, 3).astype(np.float32)
        inside = (x >= left) & (x < right) & (y < height)
        if inside.any():
            part_x, part_y, part_blur = (values[inside][None] for values in (x, y, blur))
            local = part_x - left
            front = (
                texture.bricks(noise, part_x, part_y, part_blur, colour)
                if brick
                else texture.plaster(noise, part_x, part_y, colour)
            )
            front = mix(front, trim * 0.9, _window(local, part_y, part_blur, -0.10))
            glass = np.array([120, 102, 88], np.float32) * (
                0.55 + 0.5 * np.mod(part_y, _STOREY_M)[..., None] / _STOREY_M
            )
            curtain = (
                np.mod(
                    np.sin(np.floor(local / _BAY_M) * 5.1 + np.floor(part_y / _STOREY_M) * 9.7 + left) * 97.1,
                    1.0,
                )
                > 0.55
            ) & (np.mod(local, _BAY_M) < _BAY_M * 0.45)
            glass = np.where(curtain[..., None], np.array([185, 195, 200], np.float32) * 0.8, glass)
            front = mix(front, glass, _window(local, part_y, part_blur, 0.0))
            bars = np.maximum(
                lines(local + _BAY_M / 2, _BAY_M, 0.06, part_blur),
                lines(part_y - 1.95, _STOREY_M, 0.05, part_blur),
            )
            front = mix(front, (215, 218, 220), bars * _window(local, part_y, part_blur, 0.0))
            front = mix(
                front,
                trim,
                between(np.mod(part_y, _STOREY_M), 0.0, 0.10, part_blur) * (part_y > _STOREY_M * 0.9),
            )
            front = mix(front, trim * 0.75, between(part_y, height - 0.35, height, part_blur))
            front = mix(front, colour * 0.5, between(part_y, -1, 0.45, part_blur))
            if shop:
                pane = between(local, 0.4, right - left - 0.4, part_blur) * between(
                    part_y, 0.5, 2.3, part_blur
                )
                front = mix(
                    front,
                    np.array([88, 76, 66], np.float32)
                    * (0.6 + 0.35 * noise(part_x, part_y, 0.9, 2)[..., None]),
                    pane,
                )
                front = mix(
                    front,
                    shop_colour,
                    between(local, 0.2, right - left - 0.2, part_blur)
                    * between(part_y, 2.35, 2.95, part_blur),
                )
                front = mix(front, (60, 60, 62), lines(local, 1.6, 0.06, part_blur) * pane)
            middle = (door_bay + 0.5) * _BAY_M
            front = mix(
                front,
                trim,
                between(local, middle - 0.62, middle + 0.62, part_blur) * between(part_y, -1, 2.3, part_blur),
            )
            front = mix(
                front,
                door_colour,
                between(local, middle - 0.5, middle + 0.5, part_blur) * between(part_y, -1, 2.15, part_blur),
            )
            seam = np.exp(-np.minimum(local, right - left - local) / 0.10) * 0.35
            surface[inside] = (front * (1 - seam)[..., None])[0]
            solid |= inside
        left = right
    return surface, solid
