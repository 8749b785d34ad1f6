"""Small changes of whole batches of crops, which classifiers and embeddings learn from alike."""

from __future__ import annotations

import numpy as np

from agent.records import ImageArray


def shifted_and_mirrored(
    images: ImageArray, reach_px: int, flip: bool, rng: np.random.Generator
) -> ImageArray:
    """Each picture moved at random, its edge repeated, and every second one mirrored.

    Args:
        images: (B, H, W, C) uint8.
        reach_px: farthest move in either direction.
        flip: mirror at all.
        rng: decides.
    """
    count, height, width, _ = images.shape
    if reach_px:
        padded = np.pad(images, ((0, 0), (reach_px, reach_px), (reach_px, reach_px), (0, 0)), "edge")
        down, right = rng.integers(0, 2 * reach_px + 1, (2, count, 1, 1))
        rows = down + np.arange(height)[None, :, None]
        columns = right + np.arange(width)[None, None, :]
        images = padded[np.arange(count)[:, None, None], rows, columns]
    if flip:
        mirrored = rng.random(count) < 0.5
        images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    return images
