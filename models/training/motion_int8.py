"""The motion model as the agent runs it: full-integer `.tflite`, many tracks side by side."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from agent.records import FloatArray
from agent.track.motion_lstm import FEATURES, STEPS
from models.architectures.kinds import Cell
from models.architectures.motion_lstm import UNITS, build_motion_model

TRACKS = 16
"""Tracks per invocation of the file that ships."""


def to_int8(model: Any, features: FloatArray, units: int = UNITS, cell: Cell = Cell.LSTM) -> bytes:
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

    def samples() -> Iterator[list[FloatArray]]:
        for start in range(0, len(features) - TRACKS + 1, TRACKS):
            yield [features[start : start + TRACKS].transpose(1, 0, 2)[None].astype(np.float32)]

    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")  # the examples give them
        content: bytes = converter.convert()
    return content


def run_int8(content: bytes, features: FloatArray) -> FloatArray:
    """Corrections (N, horizons, 2) of a `.tflite` file, through the agent's interpreter."""
    from agent.detect.interpreter import Interpreter
    from agent.track.motion_lstm import MotionModel

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "motion.tflite"
        path.write_bytes(content)
        found = MotionModel(Interpreter(path, threads=1))(np.asarray(features, np.float64))
        return found.astype(np.float32)
