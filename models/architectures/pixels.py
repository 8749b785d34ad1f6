"""Pixels as our picture networks take them: RGB in -1..1."""

from __future__ import annotations

import numpy as np

from agent.records import FloatArray, ImageArray

PIXEL_MEAN, PIXEL_STD = 127.5, 127.5
"""A pixel p enters as (p - mean) / std."""


def to_input(images: ImageArray) -> FloatArray:
    """(…, H, W, 1 or 3) uint8, BGR, as float32 RGB in -1..1."""
    mean, std = np.float32(PIXEL_MEAN), np.float32(PIXEL_STD)
    scaled: FloatArray = (images[..., ::-1].astype(np.float32) - mean) / std
    return scaled
