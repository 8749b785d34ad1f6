"""Pictures as faulty cameras deliver them, and as healthy ones do in bad light, made from real frames."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.records import ImageArray

Spoil = Callable[[ImageArray, float, np.random.Generator], ImageArray]
"""Picture, seconds since the change began, randomness → picture."""


def _bytes(values: NDArray[np.floating]) -> ImageArray:
    return np.clip(values, 0, 255).astype(np.uint8)


def _noisy(values: NDArray[np.floating], sigma: float, rng: np.random.Generator) -> ImageArray:
    """Sensor noise: the same in all channels, since cameras smooth colour."""
    return _bytes(values + rng.normal(0.0, sigma, (*values.shape[:2], 1)))


def black(image: ImageArray, _s: float, rng: np.random.Generator) -> ImageArray:
    """The lens cap is on, the gain is low."""
    return _noisy(np.zeros(image.shape), 1.5, rng)


def black_with_gain(image: ImageArray, _s: float, rng: np.random.Generator) -> ImageArray:
    """The lens cap is on, the gain is high."""
    return _noisy(np.full(image.shape, 10.0), 6.0, rng)


def grey(image: ImageArray, _s: float, rng: np.random.Generator) -> ImageArray:
    """A card before the lens."""
    return _noisy(np.full(image.shape, 128.0), 1.5, rng)


def _hand(image: ImageArray) -> NDArray[np.float64]:
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    light = 0.3 + 0.5 * x / width + 0.2 * np.sin(5.0 * y / height)
    return light[..., None] * np.array([40.0, 55.0, 120.0])


def hand(image: ImageArray, _s: float, rng: np.random.Generator) -> ImageArray:
    """A hand over the lens: dark, reddish, out of focus."""
    return _noisy(_hand(image), 4.0, rng)


def most_of_it(image: ImageArray, _s: float, rng: np.random.Generator) -> ImageArray:
    """A hand over nine tenths of the lens."""
    edge = round(0.9 * image.shape[1])
    spoiled = image.copy()
    spoiled[:, :edge] = _noisy(_hand(image), 3.0, rng)[:, :edge]
    return spoiled


def blurred(sigma: float) -> Spoil:
    """Out of focus by a Gaussian of `sigma` px at 640 px width."""

    def spoil(image: ImageArray, _s: float, _rng: np.random.Generator) -> ImageArray:
        return cv2.GaussianBlur(image, (0, 0), sigma * image.shape[1] / 640)  # type: ignore[return-value]

    return spoil


def noise(image: ImageArray, _s: float, rng: np.random.Generator) -> ImageArray:
    """What a decoder makes of a buffer that was never written."""
    return rng.integers(0, 256, image.shape, np.uint8)


def shifted(share: float) -> Spoil:
    """The camera was turned by a share of the picture's width."""

    def spoil(image: ImageArray, _s: float, _rng: np.random.Generator) -> ImageArray:
        return np.roll(image, round(share * image.shape[1]), axis=1)

    return spoil


def turned(image: ImageArray, _s: float, _rng: np.random.Generator) -> ImageArray:
    """The camera hangs at 15 degrees."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 15.0, 1.0)
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT)  # type: ignore[return-value]


def fog(over_s: float) -> Spoil:
    """Fog that takes seven eighths of the contrast within `over_s`."""

    def spoil(image: ImageArray, since_s: float, rng: np.random.Generator) -> ImageArray:
        depth = 0.88 * min(1.0, since_s / over_s)
        return _noisy(image * (1.0 - depth) + 190.0 * depth, 1.0, rng)

    return spoil


def dusk(over_s: float) -> Spoil:
    """Light that falls to a tenth within `over_s`, with the noise of the gain that rises."""

    def spoil(image: ImageArray, since_s: float, rng: np.random.Generator) -> ImageArray:
        light = 1.0 - 0.9 * min(1.0, since_s / over_s)
        return _noisy(image * light, 1.0 + 4.0 * (1.0 - light), rng)

    return spoil


def lamp_out(image: ImageArray, _s: float, rng: np.random.Generator) -> ImageArray:
    """A room whose lamp is switched off."""
    return _noisy(image * 0.25, 4.0, rng)


def infrared(image: ImageArray, _s: float, rng: np.random.Generator) -> ImageArray:
    """Night mode: grey, lit from the camera, leaves bright, smoothed and noisy."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    beam = np.exp(-(((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) / 0.25))
    level = image[..., 1] * 0.6 + image[..., 2] * 0.4
    leaves = np.maximum(image[..., 1].astype(np.float64) - image[..., 2], 0.0) * 2.0
    lit = cv2.GaussianBlur((level * 0.6 + leaves) * beam, (0, 0), width / 640)
    return _noisy(np.repeat(lit[..., None], 3, axis=2), 4.0, rng)


def coarse_coding(image: ImageArray, _s: float, _rng: np.random.Generator) -> ImageArray:
    """A stream that was given a fifth of its bits."""
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_COLOR)  # type: ignore[return-value]


def shaking(image: ImageArray, _s: float, rng: np.random.Generator) -> ImageArray:
    """A mast in the wind: one per cent of the picture to and fro."""
    reach = 0.01 * image.shape[1]
    return np.roll(image, (round(rng.normal(0, reach / 2)), round(rng.normal(0, reach))), (0, 1))


def rain(image: ImageArray, _s: float, rng: np.random.Generator) -> ImageArray:
    """Drops as bright lines, and less contrast."""
    wet = _bytes(image * 0.7 + 40.0)
    height, width = image.shape[:2]
    for _ in range(300):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        cv2.line(wet, (x, y), (x + 2, y + round(height / 20)), (200, 200, 200), 1)
    return wet


def glare(image: ImageArray, _s: float, _rng: np.random.Generator) -> ImageArray:
    """Headlights or a low sun over a third of the picture."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    glow = 400.0 * np.exp(-(((x - 0.3 * width) ** 2 + (y - 0.5 * height) ** 2) / (0.22 * width) ** 2))
    return _bytes(image + glow[..., None])


def exposure(image: ImageArray, since_s: float, _rng: np.random.Generator) -> ImageArray:
    """Automatic exposure that hunts."""
    return _bytes(image * (1.0 + 0.4 * np.sin(since_s / 3.0)))


FAULTS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "black": (black, ("black",)),
    "black, high gain": (black_with_gain, ("black", "covered")),
    "grey card": (grey, ("covered",)),
    "hand over the lens": (hand, ("covered",)),
    "hand over 9/10": (most_of_it, ("covered", "moved")),
    "blur 3 px": (blurred(3.0), ("blurred",)),
    "blur 6 px": (blurred(6.0), ("blurred",)),
    "blur 12 px": (blurred(12.0), ("blurred", "covered")),
    "noise only": (noise, ("garbage",)),
    "shifted by 15 %": (shifted(0.15), ("moved",)),
    "turned by 15 degrees": (turned, ("moved",)),
}
"""Name: what it does, and the states that tell of it. Blur is a Gaussian's sigma at 640 px width."""

HARMLESS: dict[str, tuple[Spoil, float]] = {
    "fog within 10 minutes": (fog(600.0), 700.0),
    "fog within 1 minute": (fog(60.0), 300.0),
    "dusk within 20 minutes": (dusk(1200.0), 1300.0),
    "dusk within 1 minute": (dusk(60.0), 300.0),
    "lamp switched off": (lamp_out, 200.0),
    "infrared switched on": (infrared, 300.0),
    "a fifth of the bits": (coarse_coding, 200.0),
    "shaking": (shaking, 200.0),
    "rain": (rain, 200.0),
    "glare": (glare, 200.0),
    "exposure hunts": (exposure, 200.0),
}
"""Name: what befalls healthy cameras, for how many seconds it is shown. No state may tell of it."""
