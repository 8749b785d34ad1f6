"""Batches of P identities with K crops each, several of one scene, and how their crops are varied."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from agent.records import FloatArray, ImageArray, IntArray
from models.architectures.pixels import to_input
from models.data.classification_set import ClassificationSet
from models.data.identities import groups_of
from models.data.shift import shifted_and_mirrored
from models.training.embedding_settings import EmbeddingTraining


class IdentityBatches:
    """Draws batches in which every crop has others of its identity, and of others that look alike.

    A. Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017 (P × K batches);
    identities of one scene share its light, so the network cannot tell them apart by that.

    Args:
        data: crops.
        settings: size of a batch, and how crops are varied.
    """

    def __init__(self, data: ClassificationSet, settings: EmbeddingTraining) -> None:
        self._data, self._settings = data, settings
        order = np.argsort(data.classes, kind="stable")
        counts = np.bincount(data.classes, minlength=len(data.labels))
        self._crops = np.split(order, np.cumsum(counts)[:-1])
        _, group_of = np.unique(groups_of(data.labels), return_inverse=True)
        usable = counts > 1
        self._groups = [
            found
            for group in range(int(group_of.max()) + 1)
            if len(found := np.flatnonzero((group_of == group) & usable)) > 1
        ]

    @property
    def size(self) -> int:
        """Crops in a whole batch."""
        s = self._settings
        return s.groups_per_batch * s.identities_per_group * s.crops_per_identity

    @property
    def groups(self) -> int:
        """Groups with two identities or more that were seen twice."""
        return len(self._groups)

    def epoch(self, number: int, steps: int) -> Iterator[tuple[FloatArray, IntArray]]:
        """Batches of (crops, identities); seed and epoch decide everything.

        Yields:
            (B, H, W, 3) float32 in -1..1 and (B,) int64; B is always `size`, filled up by crops drawn again.
        """
        settings = self._settings
        rng = np.random.default_rng([settings.seed, number])
        for _ in range(steps):
            rows: list[IntArray] = []
            images: list[ImageArray] = []
            while sum(map(len, images)) < self.size:
                group = self._groups[int(rng.integers(len(self._groups)))]
                rows.append(self._drawn(group, rng))
                images.append(other_camera(self._data.images[rows[-1]], settings.cameras, rng))
            chosen = np.concatenate(rows)[: self.size]
            varied = vary(np.concatenate(images)[: self.size], settings, rng)
            yield to_input(varied), self._data.classes[chosen]

    def _drawn(self, group: IntArray, rng: np.random.Generator) -> IntArray:
        """Rows of K crops of each of some identities of a group."""
        settings, rows = self._settings, []
        for identity in rng.permutation(group)[: settings.identities_per_group].tolist():
            crops = self._crops[identity]
            again = len(crops) < settings.crops_per_identity
            rows.append(rng.choice(crops, settings.crops_per_identity, replace=again))
        return np.concatenate(rows)


def other_camera(images: ImageArray, strength: float, rng: np.random.Generator) -> ImageArray:
    """(B, H, W, 3) crops of one scene as another camera would show them: colours, contrast, sharpness.

    All crops change alike, so who is who stays; generated scenes are more colourful than real cameras.

    Args:
        images: uint8.
        strength: 0..1; 0 leaves them as they are.
        rng: decides.
    """
    if strength <= 0:
        return images
    mix = np.eye(3) + strength * rng.normal(0.0, 0.15, (3, 3))
    grey = strength * rng.random()
    mix = (1 - grey) * mix + grey / 3
    contrast = np.exp(strength * rng.uniform(-1.2, 0.3))
    centre = 127.5 * (1 + strength * rng.uniform(-0.5, 0.4))
    matrix = np.column_stack((contrast * mix, centre - contrast * mix.sum(axis=1) * 127.5))
    width = images.shape[2]
    shown = cv2.transform(images.reshape(-1, width, 3), matrix).reshape(images.shape)
    share = 1.0 - strength * 0.7 * float(rng.random())
    small = max(round(width * share), 4), max(round(images.shape[1] * share), 8)
    size = width, images.shape[1]
    blurred = [cv2.resize(cv2.resize(own, small, interpolation=cv2.INTER_AREA), size) for own in shown]
    return np.asarray(np.stack(blurred), np.uint8)


def vary(images: ImageArray, settings: EmbeddingTraining, rng: np.random.Generator) -> ImageArray:
    """(B, H, W, 3) shifted, mirrored, lit otherwise and partly covered at random."""
    count = len(images)
    images = shifted_and_mirrored(images, settings.shift_px, settings.flip, rng)
    if settings.light > 0:
        gain = 1 + settings.light * rng.uniform(-1, 1, (count, 1, 1, 1)).astype(np.float32)
        shift = 127.5 * settings.light * rng.uniform(-1, 1, (count, 1, 1, 1)).astype(np.float32)
        images = np.clip((images - np.float32(127.5)) * gain + 127.5 + shift, 0, 255).astype(np.uint8)
    if settings.erase > 0:
        images = _covered(images, settings.erase, rng)
    return np.ascontiguousarray(images)


def _covered(images: ImageArray, often: float, rng: np.random.Generator) -> ImageArray:
    """Some of the crops behind a rectangle of one colour, of up to half their sides."""
    count, height, width, _ = images.shape
    side_y, side_x = (rng.integers(side // 8, side // 2 + 1, (count, 1, 1)) for side in (height, width))
    top, left = (
        (rng.random((count, 1, 1)) * (side - own)).astype(int)
        for side, own in ((height, side_y), (width, side_x))
    )
    y, x = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    hole = (y >= top) & (y < top + side_y) & (x >= left) & (x < left + side_x)
    hole &= (rng.random(count) < often)[:, None, None]
    colour = rng.integers(0, 256, (count, 1, 1, 3), np.uint8)
    covered: ImageArray = np.where(hole[..., None], colour, images)
    return covered
