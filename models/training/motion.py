"""Trains the motion model on generated trajectories and writes it as an int8 `.tflite` file with its card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import StorageError
from agent.track.kalman import Float64Array
from agent.track.motion_lstm import FEATURES, HORIZONS_S, STEPS, TICK_S
from models.architectures.kinds import Cell
from models.architectures.motion_lstm import UNITS, build_motion_model
from models.motion.trajectories import make_examples

TRACKS = 16
"""Tracks per invocation of the file that ships."""


@dataclass(frozen=True, slots=True)
class TrainedMotion:
    """What came of a training.

    Args:
        model: the `.tflite` file; its card lies beside it as `.json`.
        kalman, floating, int8: error of the forecast at each horizon on generated trajectories that were not
            trained on, box heights: without a correction, and with that of either model.
    """

    model: Path
    kalman: tuple[float, ...]
    floating: tuple[float, ...]
    int8: tuple[float, ...]
    horizons_s: tuple[float, ...] = HORIZONS_S


def train_motion(
    output: Path,
    *,
    examples: int = 60000,
    epochs: int = 20,
    units: int = UNITS,
    cell: Cell = Cell.LSTM,
    seed: int = 1,
    on_epoch: Callable[[str], None] | None = None,
) -> TrainedMotion:
    """Train, convert, measure, write.

    Args:
        output: the `.tflite` file.
        examples: generated examples; a tenth is held out.
        epochs: passes over them.
        units: size of the hidden state.
        cell: of the recurrent layer.
        seed: of everything that is drawn.
        on_epoch: called with a line after each epoch.

    Raises:
        StorageError: the output cannot be written.
    """
    import keras

    keras.utils.set_random_seed(seed)
    data = make_examples(np.random.default_rng(seed), examples)
    order = np.random.default_rng(seed + 1).permutation(len(data.features))
    held = len(order) // 10
    test, train = order[:held], order[held:]
    model = build_motion_model(1, units, cell=cell)
    spread = np.abs(data.corrections[train]).mean(axis=(0, 2)).repeat(2)  # each horizon counts the same

    def loss(truth: Any, found: Any) -> Any:
        return keras.losses.huber(truth / spread, found / spread, delta=1.0)

    steps = epochs * max(1, len(train) // _BATCH)
    rate = keras.optimizers.schedules.CosineDecay(4e-3, steps)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss)
    model.fit(
        data.features[train][:, :, None],
        data.corrections[train].reshape(len(train), 1, 1, -1),
        batch_size=_BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda n, logs: _tell(on_epoch, n, logs))],
    )
    content = to_int8(model, data.features[train[:4000]], units, cell)
    found = model.predict(data.features[test][:, :, None], batch_size=4096, verbose=0)
    truth = data.corrections[test]
    trained = TrainedMotion(
        output,
        _errors(truth),
        _errors(truth - found.reshape(truth.shape)),
        _errors(truth - run_int8(content, data.features[test])),
    )
    _write(output, content, _card(trained, content, examples, epochs, units, cell, seed))
    return trained


_BATCH = 256


def _tell(on_epoch: Callable[[str], None] | None, number: int, logs: dict[str, float] | None) -> None:
    if on_epoch is not None:
        on_epoch(f"epoch {number + 1} loss {(logs or {}).get('loss', float('nan')):.4f}")


def _errors(residual: Float64Array) -> tuple[float, ...]:
    """Mean distance at each horizon."""
    return tuple(
        round(float(value), 4) for value in np.hypot(residual[..., 0], residual[..., 1]).mean(axis=0)
    )


def to_int8(model: Any, features: Float64Array, units: int = UNITS, cell: Cell = Cell.LSTM) -> bytes:
    """The trained network as a full-integer `.tflite`, `TRACKS` side by side, a batch of 1.

    Args:
        model: from `build_motion_model`.
        features: (N, STEPS, FEATURES) to calibrate with.
        units, cell: as the model was built with.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shipped = build_motion_model(TRACKS, units, batch=1, cell=cell)
    shipped.set_weights(model.get_weights())
    signature = tf.TensorSpec((1, STEPS, TRACKS, FEATURES), tf.float32, name="observations")
    concrete = tf.function(lambda x: shipped(x, training=False)).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(concrete)  # a variable would be read while calibrating
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]

    def samples() -> Iterator[list[Float64Array]]:
        for start in range(0, len(features) - TRACKS + 1, TRACKS):
            yield [features[start : start + TRACKS].transpose(1, 0, 2)[None].astype(np.float32)]

    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content: bytes = converter.convert()
    return content


def run_int8(content: bytes, features: Float64Array) -> Float64Array:
    """Corrections (N, horizons, 2) of a `.tflite` file, through the agent's interpreter."""
    import tempfile

    from agent.detect.interpreter import Interpreter
    from agent.track.motion_lstm import MotionModel

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "motion.tflite"
        path.write_bytes(content)
        return MotionModel(Interpreter(path, threads=1))(np.asarray(features, np.float64))


def _card(
    trained: TrainedMotion, content: bytes, examples: int, epochs: int, units: int, cell: Cell, seed: int
) -> dict[str, Any]:
    """The ModelSpec with provenance, as every shipped model has one."""
    figures = {"kalman": trained.kalman, "float": trained.floating, "int8": trained.int8}
    shown = "; ".join(f"{name} {', '.join(map(str, values))}" for name, values in figures.items())
    return {
        "schema_version": 1,
        "name": f"motion-{cell}",
        "task": "sequence",
        "provenance": {
            "source": (
                f"trained on {examples} generated trajectories (models/motion/trajectories.py): "
                f"{cell.upper()} of {units} units over {STEPS} observations {TICK_S} s apart; error of the "
                "forecast in box heights on held-out generated ones after "
                f"{', '.join(map(str, HORIZONS_S))} s: {shown}"
            ),
            "licence": "Apache-2.0",
            "command": "edgetrack-models train motion "
            f"--examples {examples} --epochs {epochs} --units {units} --cell {cell} --seed {seed}",
            "seed": seed,
            "sha256": hashlib.sha256(content).hexdigest(),
            "converter": "TensorFlow Lite, int8, 4,000 calibration examples",
        },
    }


def _write(output: Path, content: bytes, card: dict[str, Any]) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(content)
        output.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            str(output), f"expected a file that can be written, got {error.strerror}"
        ) from error
