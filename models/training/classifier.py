"""Trains a classifier: AdamW, cosine learning rate, shifts and flips; measured after every epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import DataError, StorageError
from agent.records import FloatArray, ImageArray, IntArray
from agent.vision.model_spec import save_spec
from models.architectures.classifier import (
    ClassifierShape,
    build_classifier,
    classifier_spec,
)
from models.architectures.pixels import to_input
from models.data.classification_set import ClassificationSet, load_classification_set, split
from models.data.shift import shifted_and_mirrored
from models.training.classifier_settings import ClassifierTraining
from models.training.fit import Fit, OnStep, Schedule, fit
from models.training.run_folder import RunFolder

_CALIBRATION_PICTURES = 256


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """What came of a training.

    Args:
        model: path of the Keras file with the best weights.
        spec: path of its ModelSpec.
        accuracy: on the held-out pictures, 0..1.
        epochs: that were run.
    """

    model: Path
    spec: Path
    accuracy: float
    epochs: int


def train_classifier(settings: ClassifierTraining, on_step: OnStep | None = None) -> TrainedClassifier:
    """Train, or go on with a training that was killed, to the same end.

    Beside the weights and the ModelSpec the run's folder gets `calibration.npz` and `held_out.npz` for the
    converter.

    Args:
        settings: data, network and schedule.
        on_step: is told after each step what to show and how many steps there are in all.

    Raises:
        DataError: the pictures are not as expected.
        ConfigError: the folder holds a training with other settings.
        ModelError: the loss is no longer finite.
    """
    data, held_out = _load(settings)
    run = RunFolder(settings.output, settings.model_dump(mode="json", exclude={"output"}))
    shape, trainer = _trainer(settings, data)

    def accuracy() -> float:
        return float((predict(trainer.model, held_out).argmax(axis=1) == held_out.classes).mean())

    def batches(epoch: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        return _batches(data, settings, epoch)

    done = fit(run, trainer, batches, accuracy, metric="accuracy", on_step=on_step)
    _save_inputs(run.path / "calibration.npz", data.rows(_evenly(len(data), _CALIBRATION_PICTURES)))
    _save_inputs(run.path / "held_out.npz", held_out)
    spec_path = run.path / f"{settings.name}.json"
    save_spec(classifier_spec(settings.name, shape), spec_path)
    return TrainedClassifier(done.model, spec_path, done.score, done.epochs)


def _evenly(count: int, wanted: int) -> IntArray:
    """At most `wanted` of the numbers 0 … count - 1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))


def _save_inputs(path: Path, data: ClassificationSet) -> None:
    """Pictures as the network sees them, `x`, and their classes, `y`: what the converter reads."""
    try:
        np.savez_compressed(path, x=to_input(data.images), y=data.classes)
    except OSError as error:
        raise StorageError(str(path), f"expected to write arrays, got {error.strerror or error}") from error


def predict(model: Any, data: ClassificationSet, batch_size: int = 256) -> FloatArray:
    """(N, C) float32 probabilities of a Keras classifier."""
    parts = [
        np.asarray(model(to_input(data.images[start : start + batch_size]), training=False))
        for start in range(0, len(data), batch_size)
    ]
    return np.concatenate(parts)


def _load(settings: ClassifierTraining) -> tuple[ClassificationSet, ClassificationSet]:
    size = (settings.width, settings.height)
    data = load_classification_set(settings.data, size)
    if settings.held_out is None:
        data, held_out = split(data, settings.held_out_part, settings.seed)
    else:
        held_out = load_classification_set(settings.held_out, size, data.labels)
    if data.images.shape[1:] != held_out.images.shape[1:]:
        raise DataError(
            str(settings.held_out),
            f"expected pictures of {data.images.shape[1:]} as in {settings.data}, "
            f"got {held_out.images.shape[1:]}",
        )
    if len(data) < settings.batch_size:
        raise DataError(
            str(settings.data),
            f"expected {settings.batch_size} pictures or more for one batch, got {len(data)}",
            "lower batch_size",
        )
    return data, held_out


def _trainer(settings: ClassifierTraining, data: ClassificationSet) -> tuple[ClassifierShape, Fit]:
    """The network and what trains it."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    _, height, width, channels = data.images.shape
    shape = ClassifierShape(
        data.labels, width, height, channels == 1, settings.stem, settings.stages, settings.blocks,
        settings.dropout,
    )  # fmt: skip
    steps = len(data) // settings.batch_size
    schedule = Schedule(
        settings.epochs, steps, settings.learning_rate, settings.weight_decay,
        settings.patience,
    )  # fmt: skip
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
    # Else the statistics of a small data set's batches would still be those from before training.
    momentum = float(np.clip(1.0 - 4.0 / steps, 0.5, 0.95))
    return shape, Fit(build_classifier(shape, momentum), loss, schedule)


def _batches(
    data: ClassificationSet, settings: ClassifierTraining, epoch: int
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """All pictures once in random order, augmented, and the wanted probabilities; seed and epoch decide
    everything.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    order = rng.permutation(len(data))
    for start in range(0, len(order) - settings.batch_size + 1, settings.batch_size):
        rows = order[start : start + settings.batch_size]
        images = to_input(_augment(data.images[rows], settings, rng))
        wanted = np.eye(len(data.labels), dtype=np.float32)[data.classes[rows]]
        yield _mixed(images, wanted, settings.mixup, rng)


def _augment(images: ImageArray, settings: ClassifierTraining, rng: np.random.Generator) -> ImageArray:
    """(B, H, W, C) shifted, mirrored, recoloured and partly greyed at random."""
    count, height, width, _ = images.shape
    images = shifted_and_mirrored(images, settings.shift_px, settings.flip, rng)
    if settings.colour > 0:
        images = _recoloured(images, settings.colour, rng)
    if settings.erase > 0:
        side_y, side_x = max(height // 4, 1), max(width // 4, 1)
        top = rng.integers(0, height - side_y + 1, (count, 1, 1))
        left = rng.integers(0, width - side_x + 1, (count, 1, 1))
        y, x = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
        hole = (y >= top) & (y < top + side_y) & (x >= left) & (x < left + side_x)
        hole &= (rng.random(count) < settings.erase)[:, None, None]
        images = np.where(hole[..., None], np.uint8(128), images)
    return np.ascontiguousarray(images)


def _mixed(
    images: FloatArray, wanted: FloatArray, strength: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Each picture laid over another one, and the wanted probabilities likewise.

    H. Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018.
    """
    if strength <= 0:
        return images, wanted
    part = np.float32(rng.beta(strength, strength))
    other = rng.permutation(len(images))
    return part * images + (1 - part) * images[other], part * wanted + (1 - part) * wanted[other]


def _recoloured(images: ImageArray, reach: float, rng: np.random.Generator) -> ImageArray:
    """(B, H, W, C) with other brightness, contrast and colour balance each."""
    count, _, _, channels = images.shape
    gain = (
        1
        + reach * rng.uniform(-1, 1, (count, 1, 1, 1))
        + 0.3 * reach * rng.uniform(-1, 1, (count, 1, 1, channels))
    )
    shift = 127.5 * reach * rng.uniform(-1, 1, (count, 1, 1, 1))
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    changed: ImageArray = np.clip((images - mean) * gain + mean + shift, 0, 255).astype(np.uint8)
    return changed
