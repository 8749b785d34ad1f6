"""The training loop that the smaller models share: AdamW, warm-up, cosine, checkpoints, early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import ModelError
from models.training.run_folder import RunFolder

OnStep = Callable[[str, int], None]
"""Told after each step what to show and how many steps there are in all."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Args:
        epochs: at most.
        steps: of an epoch.
        learning_rate: at the peak; rises over the first epoch, then falls as a cosine to 0.
        weight_decay: of kernels.
        patience: epochs without a better score after which the training ends.
    """

    epochs: int
    steps: int
    learning_rate: float
    weight_decay: float
    patience: int

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0 over all epochs."""
        total = self.steps * self.epochs
        warmup = min(self.steps, max(total // 10, 1))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


class Fit:
    """A network, its optimizer and the compiled step.

    Args:
        model: Keras model.
        loss: (targets, outputs) to a scalar.
        schedule: see there.
    """

    def __init__(self, model: Any, loss: Callable[[Any, Any], Any], schedule: Schedule) -> None:
        import keras
        import tensorflow as tf

        self.model = model
        self.schedule = schedule
        self._loss = loss
        self._optimizer = keras.optimizers.AdamW(
            schedule.learning_rate, weight_decay=schedule.weight_decay, clipnorm=5.0
        )
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._optimizer.build(model.trainable_variables)
        # All variables, those of the dropout's random numbers too, so that a resumed run drops the same.
        self.groups = {"model": model.variables, "optimizer": self._optimizer.variables}
        self._step = tf.function(self._one_step, reduce_retracing=True, autograph=False)

    def epoch(self, batches: Iterable[tuple[Any, Any]], epoch: int, on_step: OnStep | None) -> float:
        """One pass over the data.

        Args:
            batches: (inputs, targets), as many as the schedule's steps.
            epoch: its number, from 1.
            on_step: see `OnStep`.

        Returns:
            The mean loss.

        Raises:
            ModelError: the loss is no longer finite.
        """
        import tensorflow as tf

        schedule, total = self.schedule, 0.0
        for number, (inputs, targets) in enumerate(batches):
            rate = schedule.rate((epoch - 1) * schedule.steps + number)
            loss = float(self._step(inputs, targets, tf.constant(rate, tf.float32)))
            if not math.isfinite(loss):
                raise ModelError(
                    f"training, epoch {epoch}, step {number + 1}",
                    f"expected a finite loss, got {loss}",
                    "lower learning_rate",
                )
            total += loss
            if on_step is not None:
                text = f"epoch {epoch}/{schedule.epochs} loss {total / (number + 1):.3f}"
                on_step(text, schedule.steps * schedule.epochs)
        return total / max(schedule.steps, 1)

    def _one_step(self, inputs: Any, targets: Any, rate: Any) -> Any:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = self._loss(targets, self.model(inputs, training=True))
        variables = self.model.trainable_variables
        self._optimizer.learning_rate.assign(rate)
        self._optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came of a training.

    Args:
        model: path of the Keras file with the best weights.
        score: the best one.
        epochs: that were run.
    """

    model: Path
    score: float
    epochs: int


def fit(
    run: RunFolder,
    trainer: Fit,
    batches: Callable[[int], Iterable[tuple[Any, Any]]],
    judge: Callable[[], float],
    *,
    metric: str,
    on_step: OnStep | None = None,
    save: Callable[[Path], None] | None = None,
) -> Fitted:
    """Train, or go on with a training that was killed, to the same end.

    Args:
        run: folder of log, checkpoint and best weights.
        trainer: network and schedule.
        batches: of an epoch by its number, from 1; the same every time it is asked.
        judge: score of the network as it is, higher is better.
        metric: the score's name in the log.
        on_step: see `OnStep`.
        save: writes the network; None for the network as it is trained.

    Raises:
        ModelError: the loss is no longer finite.
    """
    schedule, best_weights = trainer.schedule, run.path / "best.keras"
    best, since_best, first = -1.0, 0, 1
    if run.has_checkpoint:
        meta = run.restore(trainer.groups)
        best, since_best, first = float(meta["best"]), int(meta["since_best"]), int(meta["epoch"]) + 1
    done = first - 1
    for epoch in range(first, schedule.epochs + 1):
        if since_best >= schedule.patience:
            break
        started = time.monotonic()
        loss = trainer.epoch(batches(epoch), epoch, on_step)
        score = judge()
        since_best += 1
        if score > best:
            best, since_best = score, 0
            (save or trainer.model.save)(best_weights)
        seconds = f"{time.monotonic() - started:.1f}"
        run.append({"epoch": epoch, "loss": f"{loss:.5f}", metric: f"{score:.4f}", "seconds": seconds})
        run.save(trainer.groups, {"epoch": epoch, "best": best, "since_best": since_best})
        done = epoch
    return Fitted(best_weights, best, done)
