"""Writes untrained sequence models of Keras 3; called in the worker."""

from __future__ import annotations

from pathlib import Path

import keras


def save_tagger(path: Path, steps: int, features: int, each_step: bool) -> None:
    """An LSTM that answers at every step, through a Dense or a TimeDistributed(Dense)."""
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(3)
    layers = [
        keras.Input((steps, features)),
        keras.layers.LSTM(5, return_sequences=True),
        keras.layers.TimeDistributed(dense) if each_step else dense,
    ]
    keras.Sequential(layers).save(path)
