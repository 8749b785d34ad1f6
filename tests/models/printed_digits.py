"""Digits as print shows them: a small set that a network learns in seconds."""

from __future__ import annotations

import cv2
import numpy as np

from agent.records import ImageArray, IntArray

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)


def printed_digits(count: int, seed: int) -> tuple[ImageArray, IntArray]:
    """(N, 28, 28) uint8 noisy printed digits, and which they are."""
    rng = np.random.default_rng(seed)
    digits = rng.integers(0, 10, count)
    images = np.zeros((count, 28, 28), np.uint8)
    for image, digit in zip(images, digits.tolist(), strict=True):
        font, scale = FONTS[rng.integers(len(FONTS))], float(rng.uniform(0.7, 0.9))
        place = (int(rng.integers(3, 9)), int(rng.integers(20, 25)))
        cv2.putText(image, str(digit), place, font, scale, 255, 2)
    noisy = images + rng.normal(0, 12, images.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), digits
