"""Trains a detector: AdamW, cosine learning rate, averaged weights, measured on a held-out set."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import DataError, ModelError
from agent.vision.model_spec import ModelSpec, save_spec
from models.architectures.detector import DetectorShape, build_detector, detector_spec
from models.data.detection_set import DetectionSet
from models.data.formats import load_detection_set
from models.evaluate.keras_detection import measure_keras_detector
from models.training.detection_batches import Augmentation, Batch, PictureCache, epoch_batches
from models.training.detector_loss import LossWeights, cell_grid, detector_loss
from models.training.detector_settings import DetectorTraining
from models.training.run_folder import RunFolder

_AVERAGED_PART = 0.04
"""Part of the training over which weights are averaged (Polyak & Juditsky, 1992)."""


@dataclass(frozen=True, slots=True)
class TrainedDetector:
    """What came of a training.

    Args:
        model: path of the Keras file with the best averaged weights.
        spec: path of its ModelSpec.
        ap50: mean over the classes on the held-out set.
        epochs: that were run.
    """

    model: Path
    spec: Path
    ap50: float
    epochs: int


def train_detector(
    settings: DetectorTraining, on_step: Callable[[str, int], None] | None = None
) -> TrainedDetector:
    """Train, or go on with a training that was killed.

    With the same settings a training that was killed and goes on ends at the same weights as one that was
    not: exactly with `deterministic`, otherwise but for the order in which threads add.

    Args:
        settings: data, network and schedule.
        on_step: is told after each step what to show and how many steps there are in all.

    Raises:
        DataError: labels or pictures are not as expected.
        ConfigError: the folder holds a training with other settings.
        ModelError: the loss is no longer finite.
    """
    data, held_out = _load(settings)
    run = RunFolder(settings.output, settings.model_dump(mode="json", exclude={"output"}))
    trainer = _Trainer(settings, data.labels, len(data))
    best, since_best, first = -1.0, 0, 1
    if run.has_checkpoint:
        meta = run.restore(trainer.groups)
        best, since_best, first = float(meta["best"]), int(meta["since_best"]), int(meta["epoch"]) + 1
    else:
        trainer.begin()
    best_weights = run.path / "best.keras"
    done = first - 1
    for epoch in range(first, settings.epochs + 1):
        if since_best >= settings.patience:
            break
        started = time.monotonic()
        losses = trainer.epoch(data, epoch, on_step)
        row: dict[str, Any] = {
            "epoch": epoch, "score_loss": f"{losses[0]:.5f}", "box_loss": f"{losses[1]:.5f}",
            "learning_rate": f"{trainer.learning_rate(epoch * trainer.steps):.6f}", "ap50": "", "ap": "",
        }  # fmt: skip
        if epoch % settings.measure_every == 0 or epoch == settings.epochs:
            scores = measure_keras_detector(trainer.averaged, trainer.spec, held_out)
            row |= {"ap50": f"{scores.mean.ap50:.4f}", "ap": f"{scores.mean.ap:.4f}"}
            since_best += 1
            if scores.mean.ap50 > best:
                best, since_best = scores.mean.ap50, 0
                trainer.averaged.save(best_weights)
        row["seconds"] = f"{time.monotonic() - started:.1f}"
        run.append(row)
        run.save(trainer.groups, {"epoch": epoch, "best": best, "since_best": since_best})
        done = epoch
    spec_path = run.path / f"{settings.name}.json"
    save_spec(trainer.spec, spec_path)
    return TrainedDetector(best_weights, spec_path, best, done)


def _load(settings: DetectorTraining) -> tuple[DetectionSet, DetectionSet]:
    data, held_out = load_detection_set(settings.data), load_detection_set(settings.held_out)
    if settings.labels:
        data, held_out = data.only(settings.labels), held_out.only(settings.labels)
    if data.labels != held_out.labels:
        raise DataError(
            str(settings.held_out),
            f"expected the classes {', '.join(data.labels)} as in {settings.data}, "
            f"got {', '.join(held_out.labels)}",
            "name the classes that both have in `labels`",
        )
    if len(data) < settings.batch_size:
        raise DataError(
            str(settings.data),
            f"expected {settings.batch_size} pictures or more for one batch, got {len(data)}",
            "lower batch_size",
        )
    shared = {sample.path.resolve() for sample in data.samples} & {
        sample.path.resolve() for sample in held_out.samples
    }
    if shared:
        raise DataError(
            str(settings.held_out),
            f"expected other pictures than in {settings.data}, both hold {min(shared).name}",
        )
    return data, held_out


class _Trainer:
    """The network, its averaged copy, the optimizer and the compiled step."""

    def __init__(self, settings: DetectorTraining, labels: tuple[str, ...], pictures: int) -> None:
        import keras
        import tensorflow as tf

        self._settings = settings
        self._read = PictureCache()
        keras.utils.set_random_seed(settings.seed)
        if settings.deterministic:
            tf.config.experimental.enable_op_determinism()
        shape = DetectorShape(
            labels,
            settings.width,
            settings.height,
            settings.stem,
            settings.stages,
            settings.depths,
            settings.neck,
            settings.fine,
        )
        self._grid = cell_grid(settings.width, settings.height, shape.strides)
        self.spec: ModelSpec = detector_spec(settings.name, shape)
        self.model = build_detector(shape)
        self.averaged = build_detector(shape)
        self.steps = pictures // settings.batch_size
        self._optimizer = keras.optimizers.AdamW(
            settings.learning_rate, weight_decay=settings.weight_decay, clipnorm=10.0
        )
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._optimizer.build(self.model.trainable_variables)
        self.groups = {
            "model": self.model.weights,
            "averaged": self.averaged.weights,
            "optimizer": self._optimizer.variables,
        }
        # One graph for any number of objects: a resumed training would differ in the last bits with two.
        size, rate = settings.batch_size, tf.TensorSpec((), tf.float32)
        signature = [
            tf.TensorSpec((size, settings.height, settings.width, 3), tf.float32),
            tf.TensorSpec((size, None, 4), tf.float32),
            tf.TensorSpec((size, None), tf.int32),
            tf.TensorSpec((size, None), tf.float32),
            rate,
            rate,
        ]
        self._step = tf.function(self._one_step, input_signature=signature, autograph=False)

    def begin(self) -> None:
        """Take the weights to start from, if any; the averaged ones start as the network's.

        Raises:
            ModelError: the file to start from holds no such network.
        """
        if self._settings.start_from is not None:
            self._load_weights(self._settings.start_from)
        for average, weight in zip(self.averaged.weights, self.model.weights, strict=True):
            average.assign(weight)

    def _load_weights(self, path: Path) -> None:
        import keras

        try:
            given = keras.saving.load_model(path, compile=False)
        except (OSError, ValueError) as error:
            raise ModelError(
                str(path), f"expected a Keras model, got {str(error).splitlines()[0]}"
            ) from error
        known = {layer.name: layer.get_weights() for layer in given.layers if layer.weights}
        wanted = [layer for layer in self.model.layers if layer.weights]
        same = [
            layer
            for layer in wanted
            if [weight.shape for weight in layer.weights]
            == [weight.shape for weight in known.get(layer.name, [])]
        ]
        if len(same) < len(wanted) / 2:
            problem = (
                f"expected this detector's {len(wanted)} layers, got {len(same)} of their names and shapes"
            )
            raise ModelError(str(path), problem, "give the same stem, stages, depths, neck and classes")
        for layer in same:
            layer.set_weights(known[layer.name])

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then a cosine down to a hundredth."""
        total = self.steps * self._settings.epochs
        warmup = min(self._settings.warmup_steps, total // 4)
        if step < warmup:
            return self._settings.learning_rate * (step + 1) / warmup
        part = min((step - warmup) / max(total - warmup, 1), 1.0)
        return self._settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))

    def epoch(
        self, data: DetectionSet, epoch: int, on_step: Callable[[str, int], None] | None
    ) -> tuple[float, float]:
        """One pass over the data.

        Returns:
            Mean score loss and box loss.
        """
        settings = self._settings
        plain = epoch > settings.epochs - settings.plain_epochs
        augment = Augmentation(settings.mosaic, settings.zoom, settings.clutter)
        batches = epoch_batches(
            data, (settings.width, settings.height), settings.batch_size, seed=settings.seed, epoch=epoch,
            augment=None if plain else augment, read=self._read,
            most_objects=settings.most_objects,
        )  # fmt: skip
        sums = np.zeros(2)
        for number, batch in enumerate(batches):
            step = (epoch - 1) * self.steps + number
            losses = self._run(batch, step)
            sums += losses
            if not np.isfinite(sums).all():
                raise ModelError(
                    f"training, epoch {epoch}, step {number + 1}",
                    f"expected a finite loss, got {losses.sum()}",
                    "lower learning_rate, or look for faulty labels",
                )
            if on_step is not None:
                text = f"epoch {epoch}/{settings.epochs} loss {sums.sum() / (number + 1):.3f}"
                on_step(text, self.steps * settings.epochs)
        mean = sums / max(self.steps, 1)
        return float(mean[0]), float(mean[1])

    def _run(self, batch: Batch, step: int) -> Any:
        import tensorflow as tf

        rate = tf.constant(self.learning_rate(step), tf.float32)
        span = max(_AVERAGED_PART * self.steps * self._settings.epochs, 1.0)
        keep = tf.constant(min(1 - 1 / span, (1 + step) / (10 + step)), tf.float32)
        # Padding that no picture of the batch needs would cost a tenth of the step.
        most = max(int(np.count_nonzero(batch.kind, axis=1).max()), 1)
        objects = (batch.boxes[:, :most], batch.labels[:, :most], batch.kind[:, :most])
        losses = self._step(batch.images, *objects, rate, keep)
        return np.array([float(loss) for loss in losses])

    def _one_step(
        self, images: Any, boxes: Any, labels: Any, kind: Any, rate: Any, keep: Any
    ) -> tuple[Any, Any]:
        import tensorflow as tf

        weights = LossWeights()
        with tf.GradientTape() as tape:
            outputs = self.model(images, training=True)
            score_loss, box_loss = detector_loss(outputs, boxes, labels, kind, self._grid, weights)
            loss = weights.scores * score_loss + weights.boxes * box_loss
        variables = self.model.trainable_variables
        self._optimizer.learning_rate.assign(rate)
        self._optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        for average, weight in zip(self.averaged.weights, self.model.weights, strict=True):
            average.assign(average * keep + weight * (1.0 - keep))
        return score_loss, box_loss
