"""Rank-1 and mean average precision of an appearance embedding: who is seen again?

Every crop is a query; the other crops are the gallery, ranked by cosine. Rank-1 is the part of the queries
whose first hit is of the same identity; mAP is the mean of their average precision (L. Zheng et al., Scalable
Person Re-identification: A Benchmark, ICCV 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.detect.embedder import Embedder, unit_rows
from agent.errors import DataError
from agent.geometry.boxes import ltwh_to_xyxy
from agent.records import BoolArray, FloatArray, ImageArray, IntArray
from agent.track.motchallenge import read_rows
from models.data.classification_set import ClassificationSet, load_classification_set
from models.data.identities import CROP_SIZE, Sighting, groups_of
from models.evaluate.annotations import read_video

Embed = Callable[[ImageArray], FloatArray]
"""(N, H, W, 3) uint8 BGR crops to (N, D) float32 rows."""
_QUERIES_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class EmbeddingScores:
    """How well identities are found again.

    Args:
        queries: crops that have another one of their identity in the gallery.
        rank1: 0..1.
        mean_ap: 0..1.
        chance: rank-1 of a random ranking.
    """

    queries: int
    rank1: float
    mean_ap: float
    chance: float


def score_embeddings(features: FloatArray, identities: IntArray, groups: IntArray) -> EmbeddingScores:
    """Rank every crop's gallery: all other crops of its group.

    Args:
        features: (N, D), any length.
        identities, groups: (N,).

    Raises:
        DataError: no crop has another one of its identity.
    """
    unit = unit_rows(features)
    first: list[BoolArray] = []
    precision: list[FloatArray] = []
    chance: list[FloatArray] = []
    for start in range(0, len(unit), _QUERIES_AT_ONCE):
        rows = np.arange(start, min(start + _QUERIES_AT_ONCE, len(unit)))
        allowed = groups[rows, None] == groups[None]
        allowed[np.arange(len(rows)), rows] = False
        right = allowed & (identities[rows, None] == identities[None])
        asked = right.any(axis=1)
        rows, allowed, right = rows[asked], allowed[asked], right[asked]
        cosine = np.where(allowed, unit[rows] @ unit.T, -np.inf)
        hits = np.take_along_axis(right, np.argsort(-cosine, axis=1, kind="stable"), axis=1)
        ranks = np.arange(1, hits.shape[1] + 1)
        at_hits = np.where(hits, hits.cumsum(axis=1) / ranks, 0.0)
        first.append(hits[:, 0])
        precision.append(at_hits.sum(axis=1) / hits.sum(axis=1))
        chance.append(right.sum(axis=1) / allowed.sum(axis=1))
    found = np.concatenate(first) if first else np.zeros(0, np.bool_)
    if not len(found):
        raise DataError("embedding", "expected two or more crops of an identity, got one of each")
    return EmbeddingScores(
        len(found),
        float(found.mean()),
        float(np.concatenate(precision).mean()),
        float(np.concatenate(chance).mean()),
    )


def score_set(embed: Embed, data: ClassificationSet) -> dict[str, EmbeddingScores]:
    """Scores by gallery: "own scene", what a tracker of one camera asks, and "all scenes"."""
    features = embed(data.images)
    _, group_of = np.unique(groups_of(data.labels), return_inverse=True)
    return {
        "own scene": score_embeddings(features, data.classes, group_of[data.classes].astype(np.int64)),
        "all scenes": score_embeddings(features, data.classes, np.zeros(len(data), np.int64)),
    }


def evaluate_embedding(model: Path, data: Path) -> dict[str, EmbeddingScores]:
    """Judge a `.tflite` bundle through the agent's own runtime, or a `.keras` file.

    Args:
        model: the file.
        data: `.npz` of `edgetrack-models identities`, or a folder with a subfolder for each identity.

    Raises:
        EdgetrackError: the model or the data are not as expected.
    """
    if model.suffix == ".keras":
        keras_model = _load_keras(model)
        return score_set(
            lambda images: embed_with_keras(keras_model, images), load_classification_set(data, CROP_SIZE)
        )
    embedder = Embedder(model)
    crops = load_classification_set(data, embedder.size)

    def embed(images: ImageArray) -> FloatArray:
        return np.concatenate([embedder.crop(np.ascontiguousarray(image)) for image in images])

    return score_set(embed, crops)


def embed_with_keras(model: Any, images: ImageArray, batch_size: int = 512) -> FloatArray:
    """(N, D) float32 of (N, H, W, 3) uint8 BGR crops."""
    from models.architectures.pixels import to_input

    parts = [
        np.asarray(model(to_input(images[start : start + batch_size]), training=False))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts)


def _load_keras(path: Path) -> Any:
    """A Keras model.

    Raises:
        DataError: the file is missing or no model.
    """
    import keras

    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(str(path), f"expected a Keras model, got: {reason}") from error


def video_sightings(video: Path, truth: Path, every: int) -> Iterator[Sighting]:
    """What MOTChallenge's truth says of every n-th frame of a video; all identities are one group.

    Raises:
        SourceError, DataError: the truth or the video cannot be read.
    """
    table = read_rows(truth)
    table = table[table[:, 6] != 0]
    numbers = np.unique(table[:, 0]).astype(int)
    for number, image in read_video(video, numbers[numbers % every == 0].tolist()):
        rows = table[table[:, 0] == number]
        names = tuple(f"{video.stem}-{int(own)}" for own in rows[:, 1])
        yield Sighting(image, ltwh_to_xyxy(rows[:, 2:6].astype(np.float32)), names)
