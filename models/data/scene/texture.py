"""Procedural surfaces: asphalt, paving, grass, walls, windows; colour as a function of metres."""

from __future__ import annotations

import cv2
import numpy as np

from agent.records import FloatArray

_TABLE = 256
_ROW = 1024


class Noise:
    """Value noise: a table of random numbers, interpolated and repeated.

    Args:
        rng: fills the table.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        table = rng.random((_TABLE, _TABLE)).astype(np.float32)
        self._table = np.pad(table, ((0, 1), (0, 1)), "wrap")

    def __call__(self, x: FloatArray, y: FloatArray, cell_m: float, octaves: int = 1) -> FloatArray:
        """(H, W) in about -1..1 at metres `x`, `y`; each octave halves the cell and the weight."""
        # OpenCV remaps pictures of less than 32,767 columns; the points are laid out as one of 1,024.
        short = -x.size % _ROW
        flat_x, flat_y = (np.pad(values.ravel(), (0, short)).reshape(-1, _ROW) for values in (x, y))
        total = np.zeros(flat_x.shape, np.float32)
        weight, norm = 1.0, 0.0
        for octave in range(octaves):
            scale = 2.0**octave / cell_m
            # Octaves are taken from different places of the table, so that they do not line up.
            shift = 37.3 * octave
            at_x = np.mod(flat_x * scale + shift, _TABLE).astype(np.float32)
            at_y = np.mod(flat_y * scale + shift, _TABLE).astype(np.float32)
            total += weight * cv2.remap(self._table, at_x, at_y, cv2.INTER_LINEAR)
            norm += weight
            weight *= 0.55
        return (total.ravel()[: x.size].reshape(x.shape) / norm - 0.5) * 2.0


def lines(position: FloatArray, every_m: float, width_m: float, blur_m: FloatArray | float) -> FloatArray:
    """0..1: how much of a pixel is covered by lines that repeat.

    Args:
        position: metres across the lines.
        every_m, width_m: of the lines.
        blur_m: size of a pixel on the surface, so that far lines fade rather than flicker.
    """
    offset = np.abs(np.mod(position + every_m / 2, every_m) - every_m / 2)
    edge = np.maximum(blur_m, 1e-3)
    inside = np.clip((width_m / 2 - offset) / edge + 0.5, 0.0, 1.0)
    share = np.minimum(width_m / every_m, 1.0)
    fade = np.clip(edge / every_m * 1.5 - 0.5, 0.0, 1.0)
    covered: FloatArray = inside * (1 - fade) + share * fade
    return covered


def between(position: FloatArray, low: float, high: float, blur_m: FloatArray | float) -> FloatArray:
    """0..1: how much of a pixel lies between two positions."""
    edge = np.maximum(blur_m, 1e-3)
    covered: FloatArray = np.clip((position - low) / edge + 0.5, 0.0, 1.0) * np.clip(
        (high - position) / edge + 0.5, 0.0, 1.0
    )
    return covered


def mix(base: FloatArray, colour: FloatArray | tuple[float, float, float], part: FloatArray) -> FloatArray:
    """Lay a colour over a surface: (H, W, 3), (3,) or (H, W, 3), (H, W) in 0..1."""
    mixed: FloatArray = base + (np.asarray(colour, np.float32) - base) * part[..., None]
    return mixed


def plain(
    shape: tuple[int, ...], colour: tuple[float, float, float], grain: FloatArray, depth: float
) -> FloatArray:
    """(H, W, 3) one colour with grain of a depth in grey levels."""
    surface: FloatArray = (
        np.broadcast_to(np.array(colour, np.float32), (*shape, 3)) * (1 + grain * depth)[..., None]
    )
    return surface


def asphalt(noise: Noise, x: FloatArray, z: FloatArray, blur_m: FloatArray, tone: float) -> FloatArray:
    """(H, W, 3) a worn road."""
    fine = noise(x, z, 0.05) * np.clip(1 - blur_m * 12, 0.15, 1)
    stains = noise(x, z, 1.7, 3)
    patches = (noise(x * 0.6, z, 3.1, 2) > 0.42) * 0.08
    base = plain(x.shape, (tone * 1.02, tone, tone * 0.98), 0.10 * fine + 0.10 * stains - patches, 1.0)
    crack = (np.abs(noise(x, z, 1.3, 3)) < 0.012).astype(np.float32)
    return mix(base, (tone * 0.6,) * 3, crack * np.clip(0.6 - blur_m * 8, 0, 1))


def paving(
    noise: Noise, x: FloatArray, z: FloatArray, blur_m: FloatArray, tone: float, slab_m: float
) -> FloatArray:
    """(H, W, 3) slabs with joints, each a little different."""
    row = np.floor(z / slab_m)
    shifted = x + np.mod(row, 2) * slab_m / 2
    column = np.floor(shifted / slab_m)
    each = np.mod(np.sin(row * 12.9898 + column * 78.233) * 43758.5453, 1.0) - 0.5
    each = each * np.clip(1.3 - blur_m / slab_m * 1.6, 0, 1)
    grain = (
        0.14 * each + 0.06 * noise(x, z, 0.06) * np.clip(1 - blur_m * 10, 0, 1) + 0.08 * noise(x, z, 2.3, 3)
    )
    base = plain(x.shape, (tone * 0.94, tone * 0.98, tone), grain.astype(np.float32), 1.0)
    joints = np.maximum(lines(shifted, slab_m, 0.018, blur_m), lines(z, slab_m, 0.018, blur_m))
    return mix(base, (tone * 0.5, tone * 0.52, tone * 0.53), joints * 0.8)


def grass(noise: Noise, x: FloatArray, z: FloatArray, blur_m: FloatArray, dryness: float) -> FloatArray:
    """(H, W, 3) a lawn."""
    blades = noise(x, z * 0.6, 0.07, 2) * np.clip(1 - blur_m * 7, 0.15, 1)
    patches = noise(x, z, 1.9, 4)
    green = (
        np.array([48, 98, 78], np.float32) * (1 - dryness) + np.array([82, 135, 148], np.float32) * dryness
    )
    base = np.broadcast_to(green, (*x.shape, 3)) * (1 + 0.32 * blades + 0.30 * patches)[..., None]
    return mix(base, (70, 120, 140), np.clip(patches - 0.2, 0, 1) * 0.7)


def bricks(noise: Noise, x: FloatArray, y: FloatArray, blur_m: FloatArray, colour: FloatArray) -> FloatArray:
    """(H, W, 3) a brick wall."""
    row = np.floor(y / 0.075)
    shifted = x + np.mod(row, 2) * 0.12
    each = np.mod(np.sin(row * 7.31 + np.floor(shifted / 0.24) * 3.17) * 9731.7, 1.0) - 0.5
    near = np.clip(1 - blur_m * 14, 0, 1)
    grain = (0.25 * each * near + 0.10 * noise(x, y, 1.1, 3)).astype(np.float32)
    base = colour * (1 + grain)[..., None]
    joints = np.maximum(lines(shifted, 0.24, 0.012, blur_m), lines(y, 0.075, 0.012, blur_m))
    return mix(base, (150, 158, 165), joints * 0.55)


def plaster(noise: Noise, x: FloatArray, y: FloatArray, colour: FloatArray) -> FloatArray:
    """(H, W, 3) a painted wall with weather stains."""
    stains = noise(x * 2.2, y * 0.5, 1.2, 4)
    surface: FloatArray = colour * (1 + 0.07 * stains + 0.02 * noise(x, y, 0.05))[..., None]
    return surface
