"""Trains an appearance embedding: supervised contrastive loss over batches of identities; judged by mAP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import DataError, StorageError
from agent.vision.model_spec import save_spec
from models.architectures.embedding import EmbeddingShape, build_embedding, embedding_spec
from models.architectures.pixels import to_input
from models.data.classification_set import ClassificationSet, load_classification_set
from models.evaluate.embedding import embed_with_keras, score_set
from models.training.embedding_batches import IdentityBatches
from models.training.embedding_settings import EmbeddingTraining
from models.training.fit import Fit, OnStep, Schedule, fit
from models.training.run_folder import RunFolder

_CALIBRATION_CROPS = 512


@dataclass(frozen=True, slots=True)
class TrainedEmbedding:
    """What came of a training.

    Args:
        model: path of the Keras file with the best weights.
        spec: path of its ModelSpec.
        mean_ap: of held-out crops among those of their own scene, 0..1.
        epochs: that were run.
    """

    model: Path
    spec: Path
    mean_ap: float
    epochs: int


def train_embedding(settings: EmbeddingTraining, on_step: OnStep | None = None) -> TrainedEmbedding:
    """Train, or go on with a training that was killed, to the same end.

    Beside the weights and the ModelSpec the run's folder gets `calibration.npz` and `held_out.npz` for the
    converter.

    Args:
        settings: data, network and schedule.
        on_step: is told after each step what to show and how many steps there are in all.

    Raises:
        DataError: the crops are not as expected.
        ConfigError: the folder holds a training with other settings.
        ModelError: the loss is no longer finite.
    """
    import keras
    import tensorflow as tf

    shape = EmbeddingShape(settings.width, settings.height, settings.stem, settings.stages, settings.length)
    data, held_out = _load(settings.data, settings), _load(settings.held_out, settings)
    batches = IdentityBatches(data, settings)
    if len(data) < batches.size or not batches.groups:
        raise DataError(
            str(settings.data),
            f"expected {batches.size} crops or more and a group of two identities seen twice, "
            f"got {len(data)} crops and {batches.groups} such groups",
            "lower groups_per_batch, or name identities GROUP-NUMBER",
        )
    run = RunFolder(settings.output, settings.model_dump(mode="json", exclude={"output"}))
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    steps = len(data) // batches.size
    schedule = Schedule(
        settings.epochs, steps, settings.learning_rate, settings.weight_decay, settings.patience
    )
    trainer = Fit(build_embedding(shape), contrastive_loss(settings.temperature), schedule)

    def mean_ap() -> float:
        return score_set(lambda images: embed_with_keras(trainer.model, images), held_out)[
            "own scene"
        ].mean_ap

    done = fit(
        run, trainer, lambda epoch: batches.epoch(epoch, steps), mean_ap, metric="mean_ap", on_step=on_step
    )
    _save_inputs(run.path / "calibration.npz", data)
    _save_inputs(run.path / "held_out.npz", held_out)
    spec_path = run.path / f"{settings.name}.json"
    save_spec(embedding_spec(settings.name, shape), spec_path)
    return TrainedEmbedding(done.model, spec_path, done.score, done.epochs)


def contrastive_loss(temperature: float) -> Any:
    """(identities (B,), vectors (B, D)) to a scalar: pull those of one identity together, push others away.

    P. Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, eq. 2.
    """
    import tensorflow as tf

    def loss(identities: Any, vectors: Any) -> Any:
        unit = tf.math.l2_normalize(vectors, axis=1)
        alike = tf.matmul(unit, unit, transpose_b=True) / temperature  # (B, B)
        others = 1.0 - tf.eye(tf.shape(alike)[0])
        same = tf.cast(identities[:, None] == identities[None], tf.float32) * others
        alike -= tf.stop_gradient(tf.reduce_max(alike, axis=1, keepdims=True))
        log_share = alike - tf.math.log(tf.reduce_sum(tf.exp(alike) * others, axis=1, keepdims=True))
        positives = tf.maximum(tf.reduce_sum(same, axis=1), 1.0)
        return -tf.reduce_mean(tf.reduce_sum(same * log_share, axis=1) / positives)

    return loss


def _load(path: Path, settings: EmbeddingTraining) -> ClassificationSet:
    """Crops of the network's size.

    Raises:
        DataError: they are of another size, or grey.
    """
    data = load_classification_set(path, (settings.width, settings.height))
    expected = (settings.height, settings.width, 3)
    if data.images.shape[1:] != expected:
        raise DataError(
            str(path), f"expected crops of {expected}, got {data.images.shape[1:]}", "set width and height"
        )
    return data


def _save_inputs(path: Path, data: ClassificationSet) -> None:
    """Crops as the network sees them: what the converter reads."""
    rows = np.unique(np.linspace(0, len(data) - 1, min(len(data), _CALIBRATION_CROPS)).astype(np.int64))
    try:
        np.savez_compressed(path, x=to_input(data.images[rows]))
    except OSError as error:
        raise StorageError(str(path), f"expected to write arrays, got {error.strerror or error}") from error
