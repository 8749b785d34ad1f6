"""Trains a classifier: AdamW, cosine learning rate, shifts and flips; measured after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import DataError, ModelError, StorageError
from agent.records import FloatArray, ImageArray, IntArray
from agent.vision.model_spec import save_spec
from models.architectures.classifier import (
    PIXEL_MEAN,
    PIXEL_STD,
    ClassifierShape,
    build_classifier,
    classifier_spec,
)
from models.data.classification_set import ClassificationSet, load_classification_set, split
from models.training.classifier_settings import ClassifierTraining
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


def train_classifier(
    settings: ClassifierTraining, on_step: Callable[[str, int], None] | None = None
) -> TrainedClassifier:
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
    trainer = _Trainer(settings, data)
    best, since_best, first = -1.0, 0, 1
    if run.has_checkpoint:
        meta = run.restore(trainer.groups)
        best, since_best, first = float(meta["best"]), int(meta["since_best"]), int(meta["epoch"]) + 1
    best_weights = run.path / "best.keras"
    done = first - 1
    for epoch in range(first, settings.epochs + 1):
        if since_best >= settings.patience:
            break
        started = time.monotonic()
        loss = trainer.epoch(data, epoch, on_step)
        accuracy = float((predict(trainer.model, held_out).argmax(axis=1) == held_out.classes).mean())
        since_best += 1
        if accuracy > best:
            best, since_best = accuracy, 0
            trainer.model.save(best_weights)
        run.append(
            {
                "epoch": epoch,
                "loss": f"{loss:.5f}",
                "accuracy": f"{accuracy:.4f}",
                "seconds": f"{time.monotonic() - started:.1f}",
            }
        )
        run.save(trainer.groups, {"epoch": epoch, "best": best, "since_best": since_best})
        done = epoch
    _save_inputs(run.path / "calibration.npz", data.rows(_evenly(len(data), _CALIBRATION_PICTURES)))
    _save_inputs(run.path / "held_out.npz", held_out)
    spec_path = run.path / f"{settings.name}.json"
    save_spec(classifier_spec(settings.name, trainer.shape), spec_path)
    return TrainedClassifier(best_weights, spec_path, best, done)


def _evenly(count: int, wanted: int) -> IntArray:
    """At most `wanted` of the numbers 0 … count - 1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))


def _save_inputs(path: Path, data: ClassificationSet) -> None:
    """Pictures as the network sees them, `x`, and their classes, `y`: what the converter reads."""
    try:
        np.savez_compressed(path, x=to_input(data.images), y=data.classes)
    except OSError as error:
        raise StorageError(str(path), f"expected to write arrays, got {error.strerror or error}") from error


def to_input(images: ImageArray) -> FloatArray:
    """(N, H, W, 1 or 3) uint8, BGR, as the model's float32 RGB in -1..1."""
    scaled: FloatArray = (images[..., ::-1].astype(np.float32) - np.float32(PIXEL_MEAN)) / np.float32(
        PIXEL_STD
    )
    return scaled


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


class _Trainer:
    """The network, the optimizer and the compiled step."""

    def __init__(self, settings: ClassifierTraining, data: ClassificationSet) -> None:
        import keras
        import tensorflow as tf

        self._settings = settings
        keras.utils.set_random_seed(settings.seed)
        if settings.deterministic:
            tf.config.experimental.enable_op_determinism()
        _, height, width, channels = data.images.shape
        self.shape = ClassifierShape(
            data.labels, width, height, channels == 1, settings.stem, settings.stages, settings.dropout
        )
        self.model = build_classifier(self.shape)
        self.steps = len(data) // settings.batch_size
        self._optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._optimizer.build(self.model.trainable_variables)
        self._loss = keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
        # All variables, those of the dropout's random numbers too, so that a resumed run drops the same.
        self.groups = {"model": self.model.variables, "optimizer": self._optimizer.variables}
        self._step = tf.function(self._one_step, reduce_retracing=True, autograph=False)

    def epoch(self, data: ClassificationSet, epoch: int, on_step: Callable[[str, int], None] | None) -> float:
        """One pass over the data; returns the mean loss."""
        import tensorflow as tf

        settings = self._settings
        total = self.steps * settings.epochs
        sum_of_losses = 0.0
        for number, (images, classes) in enumerate(_batches(data, settings, epoch)):
            step = (epoch - 1) * self.steps + number
            warmup = min(self.steps, max(total // 10, 1))
            part = (
                (step + 1) / warmup
                if step < warmup
                else 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
            )
            loss = float(
                self._step(to_input(images), classes, tf.constant(settings.learning_rate * part, tf.float32))
            )
            if not math.isfinite(loss):
                raise ModelError(
                    f"training, epoch {epoch}, step {number + 1}",
                    f"expected a finite loss, got {loss}",
                    "lower learning_rate",
                )
            sum_of_losses += loss
            if on_step is not None:
                on_step(f"epoch {epoch}/{settings.epochs} loss {sum_of_losses / (number + 1):.3f}", total)
        return sum_of_losses / max(self.steps, 1)

    def _one_step(self, images: Any, classes: Any, rate: Any) -> Any:
        import tensorflow as tf

        wanted = tf.one_hot(classes, len(self.shape.labels))
        with tf.GradientTape() as tape:
            loss = self._loss(wanted, self.model(images, training=True))
        variables = self.model.trainable_variables
        self._optimizer.learning_rate.assign(rate)
        self._optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss


def _batches(
    data: ClassificationSet, settings: ClassifierTraining, epoch: int
) -> Iterator[tuple[ImageArray, IntArray]]:
    """All pictures once in random order, augmented; seed and epoch decide everything."""
    rng = np.random.default_rng([settings.seed, epoch])
    order = rng.permutation(len(data))
    for start in range(0, len(order) - settings.batch_size + 1, settings.batch_size):
        rows = order[start : start + settings.batch_size]
        yield _augment(data.images[rows], settings, rng), data.classes[rows]


def _augment(images: ImageArray, settings: ClassifierTraining, rng: np.random.Generator) -> ImageArray:
    """(B, H, W, C) shifted, mirrored and partly greyed at random."""
    count, height, width, _ = images.shape
    reach = settings.shift_px
    if reach:
        padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), "edge")
        down, right = rng.integers(0, 2 * reach + 1, (2, count, 1, 1))
        rows = down + np.arange(height)[None, :, None]
        columns = right + np.arange(width)[None, None, :]
        images = padded[np.arange(count)[:, None, None], rows, columns]
    if settings.flip:
        mirrored = rng.random(count) < 0.5
        images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    if settings.erase > 0:
        side_y, side_x = max(height // 4, 1), max(width // 4, 1)
        top = rng.integers(0, height - side_y + 1, (count, 1, 1))
        left = rng.integers(0, width - side_x + 1, (count, 1, 1))
        y, x = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
        hole = (y >= top) & (y < top + side_y) & (x >= left) & (x < left + side_x)
        hole &= (rng.random(count) < settings.erase)[:, None, None]
        images = np.where(hole[..., None], np.uint8(128), images)
    return np.ascontiguousarray(images)
