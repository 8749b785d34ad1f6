"""The motion model: one recurrent layer over a track's last observations, then one convolution.

See `models.architectures.recurrent` for how it is written.
"""

from __future__ import annotations

from typing import Any

from agent.track.motion_lstm import FEATURES, HORIZONS_S, STEPS
from models.architectures.kinds import Cell
from models.architectures.recurrent import run_cell

UNITS = 16


def build_motion_model(
    tracks: int, units: int = UNITS, batch: int | None = None, cell: Cell = Cell.LSTM
) -> Any:
    """The network.

    Args:
        tracks: side by side in one invocation.
        units: size of the hidden state.
        batch: None for training; 1 for the file that ships.
        cell: of the recurrent layer.

    Returns:
        keras.Model, (batch, STEPS, tracks, FEATURES) to (batch, 1, tracks, 2 × horizons). It starts with
        corrections of 0, which is the filter's own forecast.
    """
    import keras
    from keras import layers

    source = keras.Input(batch_shape=(batch, STEPS, tracks, FEATURES), name="observations")
    hidden = run_cell(cell, source, units)
    last = layers.Conv2D(2 * len(HORIZONS_S), 1, name="corrections", kernel_initializer="zeros")
    return keras.Model(source, last(hidden), name=f"motion_{cell}")
