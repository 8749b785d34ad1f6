"""Trains tiny models of one Keras version; run as a program by the fixture `sequence_models`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.update({"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"})

import numpy as np


def main(version: str, folder: Path) -> None:
    if version == "2":
        import tf_keras as keras
    else:
        import keras
    layers = keras.layers
    import tensorflow as tf

    # More threads than free cores spin on each of the many tiny steps.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(1)
    rows, picture, volume = (28, 28), (28, 28, 1), (4, 28, 28, 1)
    causal = {"padding": "causal", "activation": "relu"}
    models = {
        ("lstm", "rows"): [keras.Input(rows), layers.LSTM(24)],
        ("gru", "rows"): [keras.Input(rows), layers.GRU(24)],
        ("tcn", "rows"): [
            keras.Input(rows),
            layers.Conv1D(16, 3, **causal),
            layers.Conv1D(16, 3, dilation_rate=2, **causal),
            layers.Conv1D(16, 3, dilation_rate=4, **causal),
            layers.Flatten(),
        ],
        ("conv3d", "volumes"): [
            keras.Input(volume),
            layers.Conv3D(6, 3, strides=(1, 2, 2), padding="same", activation="relu"),
            layers.MaxPooling3D(2),
            layers.Conv3D(8, (2, 3, 3), activation="relu"),
            layers.Flatten(),
        ],
        ("cnn", "pictures"): [
            keras.Input(picture),
            layers.Conv2D(8, 3, strides=2),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, activation="relu"),
            layers.Flatten(),
        ],
    }
    for (name, data), parts in models.items():
        with np.load(folder / f"{data}-train.npz") as arrays:
            x, y = arrays["x"], arrays["y"]
        model = keras.Sequential([*parts, layers.Dense(10, activation="softmax")])
        model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=4, batch_size=64, verbose=0)
        # Keras 2 mostly comes as .h5, Keras 3 as .keras; each kind of file is read by other code.
        model.save(
            folder
            / (f"{name}-2.h5" if version == "2" and name in ("lstm", "cnn") else f"{name}-{version}.keras")
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
