"""Writes models with TensorFlow, honest and hostile ones; called in the worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf


class Module(tf.Module):  # type: ignore[misc]
    """x·w, and perhaps something on the side."""

    def __init__(self, victim: str, how: str) -> None:
        super().__init__()
        self.weight = tf.Variable(2.0)
        self.victim = victim
        self.how = how

    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        if self.how == "write":
            tf.io.write_file(self.victim, "owned")
        elif self.how == "python":
            x = tf.numpy_function(lambda value: value, [x], tf.float32)
        elif self.how == "save":
            tf.raw_ops.SaveV2(prefix=self.victim, tensor_names=["w"], shape_and_slices=[""], tensors=[x])
        elif self.how == "print":
            tf.print(x, output_stream=f"file://{self.victim}")
        return {"y": tf.reshape(x, [1, 4]) * self.weight}


def save_module(path: Path, victim: Path, how: str) -> None:
    """A SavedModel; `how` is "write", "python", "save", "print" or "honest"."""
    module = Module(str(victim), how)
    tf.saved_model.save(module, str(path), signatures=module.__call__)


def save_keras_2(path: Path) -> None:
    """A .h5 or .keras of Keras 2 with functions of TensorFlow in it, as many models have them."""
    import tf_keras

    x = tf_keras.Input((4,), batch_size=1)
    joined = tf.concat([tf.nn.relu(x), x[:, :2] * 2.0 + 1.0], axis=-1)
    y = tf_keras.layers.Dense(3)(tf.reshape(tf.math.tanh(joined), [1, 6]))
    tf_keras.Model(x, tf_keras.backend.softmax(y)).save(path)


def save_keras_3(path: Path) -> None:
    """A .keras of Keras 3 with functions of Keras in it."""
    import keras

    x = keras.Input((4,), batch_size=1)
    joined = keras.ops.concatenate([keras.ops.relu(x), x[:, :2] * 2.0 + 1.0], axis=-1)
    regular = keras.regularizers.L2(1e-4)
    y = keras.layers.Dense(3, activation=keras.activations.swish, kernel_regularizer=regular)(joined)
    keras.Model(x, keras.layers.BatchNormalization()(y)).save(path)


def save_mixed(path: Path, version: int) -> None:
    """A convolution and a dense layer, computed in float16 with weights of float32."""
    import keras
    import tf_keras

    own: Any = keras if version == 3 else tf_keras
    own.mixed_precision.set_global_policy("mixed_float16")
    own.utils.set_random_seed(1)
    layers = own.layers
    model = own.Sequential(
        [
            layers.Input((12, 12, 3)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax", dtype="float32"),
        ]
    )
    own.mixed_precision.set_global_policy("float32")
    model.save(path)


def save_masked(path: Path) -> None:
    """An LSTM behind a mask."""
    import keras

    layers = keras.layers
    keras.Sequential([layers.Input((5, 3)), layers.Masking(name="padding"), layers.LSTM(4)]).save(path)
