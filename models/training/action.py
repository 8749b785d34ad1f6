"""Trains an action model on examples of tracked scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import DataError, StorageError
from agent.records import FloatArray
from agent.vision.model_spec import ModelSpec, save_spec
from models.actions.example_file import load_examples
from models.actions.examples import ACTION_LABELS, ActionExamples, joined
from models.architectures.action import build_action_model, occupancy_maps
from models.architectures.kinds import ActionKind
from models.evaluate.classification import score_classes
from models.training.action_settings import ActionTraining
from models.training.fit import Fit, OnStep, Schedule, fit
from models.training.run_folder import RunFolder

_CALIBRATION_CALLS = 256
_SIGNED = [0, 5]
"""Features that change their sign when a scene is mirrored."""


@dataclass(frozen=True, slots=True)
class TrainedAction:
    """What came of a training.

    Args:
        model: path of the Keras file with the best weights, as it ships: many tracks side by side.
        spec: path of its ModelSpec.
        macro_f1: on the held-out examples, 0..1.
        epochs: that were run.
    """

    model: Path
    spec: Path
    macro_f1: float
    epochs: int


def train_action(settings: ActionTraining, on_step: OnStep | None = None) -> TrainedAction:
    """Train, or go on with a training that was killed, to the same end.

    Beside the weights and the ModelSpec the run's folder gets `calibration.npz` for the converter.

    Raises:
        DataError: the examples are not as expected.
        ConfigError: the folder holds a training with other settings.
        ModelError: the loss is no longer finite.
    """
    import keras
    import tensorflow as tf

    data, held_out = (joined(map(load_examples, files)) for files in (settings.data, settings.held_out))
    if len(data) < settings.batch_size:
        raise DataError(
            ", ".join(map(str, settings.data)),
            f"expected {settings.batch_size} examples or more, got {len(data)}", "lower batch_size",
        )  # fmt: skip
    run = RunFolder(settings.output, settings.model_dump(mode="json", exclude={"output"}))
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    model = build_action_model(settings.kind, len(ACTION_LABELS), 1, settings.units)
    schedule = Schedule(
        settings.epochs, len(data) // settings.batch_size, settings.learning_rate, settings.weight_decay,
        settings.patience,
    )  # fmt: skip
    trainer = Fit(model, _loss(settings, data), schedule)
    tracks = 1 if settings.kind is ActionKind.CONV3D else settings.tracks
    shipped = build_action_model(settings.kind, len(ACTION_LABELS), tracks, settings.units)

    def save(path: Path) -> None:
        shipped.set_weights(model.get_weights())
        shipped.save(path)

    done = fit(
        run, trainer, lambda epoch: _batches(data, settings, epoch),
        lambda: macro_f1(held_out, predict(model, settings.kind, held_out.features)),
        metric="macro_f1", on_step=on_step, save=save,
    )  # fmt: skip
    _save_calibration(run.path / "calibration.npz", data, settings.kind, tracks)
    spec_path = run.path / f"{settings.name}.json"
    save_spec(ModelSpec(name=settings.name, task="sequence", labels=tuple(ACTION_LABELS)), spec_path)
    return TrainedAction(done.model, spec_path, done.score, done.epochs)


def macro_f1(examples: ActionExamples, logits: FloatArray) -> float:
    """Mean F1 of the actions, 0..1."""
    found = logits.argmax(axis=1).astype(np.int64)
    return float(score_classes(tuple(ACTION_LABELS), examples.classes, found).f1.mean())


def predict(model: Any, kind: ActionKind, features: FloatArray, batch_size: int = 2048) -> FloatArray:
    """(N, classes) logits of a Keras model that takes one track at a time."""
    parts = [
        np.asarray(model(to_input(kind, features[start : start + batch_size]), training=False))
        for start in range(0, len(features), batch_size)
    ]
    logits: FloatArray = np.concatenate(parts).reshape(len(features), -1)
    return logits


def to_input(kind: ActionKind, features: FloatArray) -> FloatArray:
    """(N, STEPS, FEATURES) as a network of that kind takes them."""
    if kind is ActionKind.CONV3D:
        return occupancy_maps(features.astype(np.float64)).astype(np.float32)
    beside: FloatArray = np.expand_dims(features, 2)
    return beside


def _loss(settings: ActionTraining, data: ActionExamples) -> Any:
    """Cross-entropy in which rare actions count as much as frequent ones, half way."""
    import tensorflow as tf

    counts = np.maximum(np.bincount(data.classes, minlength=len(ACTION_LABELS)), 1)
    weights = tf.constant(np.sqrt(counts.mean() / counts), tf.float32)
    smooth = settings.label_smoothing

    def loss(classes: Any, outputs: Any) -> Any:
        logits = tf.reshape(outputs, [-1, len(ACTION_LABELS)])
        wanted = tf.one_hot(classes, len(ACTION_LABELS)) * (1 - smooth) + smooth / len(ACTION_LABELS)
        each = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
        return tf.reduce_mean(each * tf.gather(weights, classes))

    return loss


def _batches(data: ActionExamples, settings: ActionTraining, epoch: int) -> Iterator[tuple[FloatArray, Any]]:
    """All examples once in random order, half of them mirrored; seed and epoch decide everything."""
    rng = np.random.default_rng([settings.seed, epoch])
    order = rng.permutation(len(data))
    for start in range(0, len(order) - settings.batch_size + 1, settings.batch_size):
        rows = order[start : start + settings.batch_size]
        features = data.features[rows].copy()
        mirrored = rng.random(len(rows)) < 0.5
        features[..., _SIGNED] *= np.where(mirrored, -1, 1).astype(np.float32)[:, None, None]
        yield to_input(settings.kind, features), data.classes[rows]


def _save_calibration(path: Path, data: ActionExamples, kind: ActionKind, tracks: int) -> None:
    """Inputs as the shipped network sees them, for the converter."""
    rows = np.unique(np.linspace(0, len(data) - 1, _CALIBRATION_CALLS * tracks).astype(np.int64))
    rows = rows[: len(rows) // tracks * tracks]
    inputs = to_input(kind, data.features[rows])  # (N, STEPS, 1, FEATURES) or maps
    if kind is not ActionKind.CONV3D:
        grouped = inputs[:, :, 0].reshape(-1, tracks, *inputs.shape[1:2], inputs.shape[3])
        inputs = grouped.transpose(0, 2, 1, 3)  # (calls, STEPS, tracks, FEATURES)
    try:
        np.savez_compressed(path, x=inputs)
    except OSError as error:
        raise StorageError(str(path), f"expected to write arrays, got {error.strerror or error}") from error
