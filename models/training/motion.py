"""Trains the motion model and writes it as an int8 `.tflite` file with its card.

It learns from generated trajectories, and from users' own recordings where they give some.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import ModelError, StorageError
from agent.records import FloatArray
from agent.track.motion_lstm import HORIZONS_S, STEPS, TICK_S
from models.architectures.motion_lstm import build_motion_model
from models.motion.examples import Examples, joined, mean_errors
from models.training.fit import Fit, OnStep, Schedule, fit
from models.training.motion_data import MotionData
from models.training.motion_int8 import run_int8, to_int8
from models.training.motion_settings import MotionTraining
from models.training.run_folder import RunFolder

_CALIBRATION_EXAMPLES = 4000


@dataclass(frozen=True, slots=True)
class ForecastScores:
    """Final displacement errors (FDE) after each of `HORIZONS_S`, box heights; NaN where no truth is known.

    Args:
        name: of the examples.
        examples: how many.
        kalman: of the filter alone.
        floating, int8: of the filter with the model's correction, before and after the conversion.
    """

    name: str
    examples: int
    kalman: tuple[float, ...]
    floating: tuple[float, ...]
    int8: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TrainedMotion:
    """What came of a training.

    Args:
        model: the `.tflite` file; its card lies beside it as `.json`.
        epochs: that were run.
        scores: on what was held out, generated first.
    """

    model: Path
    epochs: int
    scores: tuple[ForecastScores, ...]


def train_motion(settings: MotionTraining, data: MotionData, on_step: OnStep | None = None) -> TrainedMotion:
    """Train, or go on with a training that was killed, to the same end; then convert, measure, write.

    Args:
        settings: network and schedule.
        data: from `load_motion_data` with the same settings.
        on_step: is told after each step what to show and how many steps there are in all.

    Raises:
        ConfigError: the run's folder holds a training with other settings or recordings.
        ModelError: the loss is no longer finite.
        StorageError: the output cannot be written.
    """
    import keras
    import tensorflow as tf

    run = RunFolder(settings.folder, _decisive(settings, data))
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    model = build_motion_model(1, settings.units, cell=settings.cell)
    schedule = Schedule(
        settings.epochs,
        data.steps(settings),
        settings.learning_rate,
        settings.weight_decay,
        settings.patience,
    )
    trainer = Fit(model, _loss(data.generated), schedule)

    def skill() -> float:
        parts = (data.choose_generated, data.choose_recorded)
        return float(np.mean([_skill(model, part) for part in parts if len(part)]))

    def batches(epoch: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        return data.batches(settings, epoch)

    done = fit(run, trainer, batches, skill, metric="skill", on_step=on_step)
    model.load_weights(done.model)
    content = to_int8(model, _calibration(data, settings.seed), settings.units, settings.cell)
    scores = tuple(_scores(name, part, model, content) for name, part in data.held_out.items())
    _write(settings.output, content, _card(settings, data, scores, content))
    return TrainedMotion(settings.output, done.epochs, scores)


def _decisive(settings: MotionTraining, data: MotionData) -> dict[str, Any]:
    """What must be the same when a training goes on: of recordings their bytes, not where they lie."""
    named: dict[str, Any] = settings.model_dump(
        mode="json", exclude={"output", "run", "recordings", "held_out"}
    )
    return {**named, "recordings": [one.sha256 for one in data.recordings]}


def _loss(data: Examples) -> Any:
    """Huber's, in units of each horizon's mean, so that each counts the same; unknown truths do not count."""
    import tensorflow as tf

    spread = np.nanmean(np.abs(data.corrections), axis=(0, 2))[None, :, None].astype(np.float32)

    def loss(truth: Any, found: Any) -> Any:
        known = tf.math.is_finite(truth)
        residual = tf.where(known, truth - tf.reshape(found, tf.shape(truth)), 0.0) / spread
        size = tf.abs(residual)
        each = tf.where(size <= 1.0, 0.5 * tf.square(residual), size - 0.5)
        return tf.reduce_sum(each) / tf.maximum(tf.reduce_sum(tf.cast(known, tf.float32)), 1.0)

    return loss


def predict(model: Any, features: FloatArray, batch_size: int = 4096) -> FloatArray:
    """Corrections (N, horizons, 2) of a Keras model that takes one track at a time."""
    parts = [
        np.asarray(model(features[start : start + batch_size, :, None], training=False))
        for start in range(0, len(features), batch_size)
    ]
    found: FloatArray = np.concatenate(parts).reshape(len(features), len(HORIZONS_S), 2)
    return found


def _skill(model: Any, examples: Examples) -> float:
    """Share of the filter's error that the model takes away, mean of the horizons; at most 1.

    Raises:
        ModelError: a forecast is not finite.
    """
    found = predict(model, examples.features)
    if not np.isfinite(found).all():
        raise ModelError("training", "expected finite forecasts, got nan or inf", "lower learning_rate")
    before, after = mean_errors(examples.corrections), mean_errors(examples.corrections - found)
    pairs = zip(before, after, strict=True)
    left = np.mean([b / max(a, 1e-9) for a, b in pairs if not math.isnan(a)])
    return max(1.0 - float(left), -0.999)  # the loop takes -1 for none at all


def _calibration(data: MotionData, seed: int) -> FloatArray:
    """(N, STEPS, FEATURES) of what was learnt from, as much recorded as generated where there is enough."""
    rng = np.random.default_rng([seed, 4])
    recorded = min(len(data.recorded), _CALIBRATION_EXAMPLES // 2)
    parts = [
        part[rng.permutation(len(part))[:count]]
        for part, count in (
            (data.generated, _CALIBRATION_EXAMPLES - recorded),
            (data.recorded, recorded),
        )
    ]
    features = joined(parts).features
    drawn: FloatArray = features[rng.permutation(len(features))]
    return drawn


def _scores(name: str, examples: Examples, model: Any, content: bytes) -> ForecastScores:
    truth, features = examples.corrections, examples.features
    return ForecastScores(
        name,
        len(examples),
        mean_errors(truth),
        mean_errors(truth - predict(model, features)),
        mean_errors(truth - run_int8(content, features)),
    )


def _card(
    settings: MotionTraining, data: MotionData, scores: tuple[ForecastScores, ...], content: bytes
) -> dict[str, Any]:
    """The ModelSpec with provenance, as every shipped model has one."""
    learnt = f"{settings.examples} generated trajectories (models/motion/trajectories.py)"
    if data.recordings:
        learnt += f" and {len(data.recorded)} moments of recorded tracks, {settings.repeat} times an epoch"
    shown = "; ".join(f"held out, {score.name} ({score.examples}): {_listed(score)}" for score in scores)
    given = settings.model_dump(mode="json", exclude_defaults=True, exclude={"run", "deterministic"})
    words = " ".join(f"--set {key}={Path(str(value)).name}" for key, value in given.items())
    return {
        "schema_version": 1,
        "name": f"motion-{settings.cell}",
        "task": "sequence",
        "provenance": {
            "source": (
                f"trained on {learnt}: {settings.cell.upper()} of {settings.units} units over {STEPS} "
                f"observations {TICK_S} s apart; FDE in box heights after "
                f"{', '.join(map(str, HORIZONS_S))} s, {shown}"
            ),
            "licence": "of the recordings' owner" if data.recordings else "Apache-2.0",
            "command": f"edgetrack-models train motion {words}",
            "seed": settings.seed,
            "sha256": hashlib.sha256(content).hexdigest(),
            "converter": f"TensorFlow Lite, int8, {_CALIBRATION_EXAMPLES:,} calibration examples",
        },
    }


def _listed(score: ForecastScores) -> str:
    figures = {"Kalman": score.kalman, "float": score.floating, "int8": score.int8}
    return "; ".join(
        f"{name} {', '.join(f'{value:.4f}' for value in values)}" for name, values in figures.items()
    )


def _write(output: Path, content: bytes, card: dict[str, Any]) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(content)
        output.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            str(output), f"expected a file that can be written, got {error.strerror}"
        ) from error
