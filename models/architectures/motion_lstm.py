"""The motion model: one LSTM layer over a track's last observations, written out step by step.

Keras unrolls its own LSTM through UNPACK, which the Edge TPU does not take. Here every step is a 1×1
convolution, SPLITs and element-wise operators, all of which it takes. Tracks lie side by side like the
pixels of a row, so that one invocation serves many of them at a batch size of 1.

S. Hochreiter, J. Schmidhuber, Long Short-Term Memory, Neural Computation 1997; forget gates start open:
R. Jozefowicz et al., An Empirical Exploration of Recurrent Network Architectures, ICML 2015.
"""

from __future__ import annotations

from typing import Any

from agent.track.motion_lstm import FEATURES, HORIZONS_S, STEPS

UNITS = 16


def build_motion_lstm(tracks: int, units: int = UNITS, batch: int | None = None) -> Any:
    """The network.

    Args:
        tracks: side by side in one invocation.
        units: size of the hidden state.
        batch: None for training; 1 for the file that ships.

    Returns:
        keras.Model, (batch, STEPS, tracks, FEATURES) to (batch, 1, tracks, 2 × horizons). It starts with
        corrections of 0, which is the filter's own forecast.
    """
    import keras
    from keras import layers, ops

    source = keras.Input(batch_shape=(batch, STEPS, tracks, FEATURES), name="observations")
    drive = layers.Conv2D(4 * units, 1, name="drive", bias_initializer=_open_forget_gate(units))(source)
    feedback = layers.Conv2D(4 * units, 1, use_bias=False, name="feedback", kernel_initializer="orthogonal")
    hidden = cell = None
    for gates in ops.split(drive, STEPS, axis=1):  # (batch, 1, tracks, 4 × units) each
        total = gates if hidden is None else ops.add(gates, feedback(hidden))
        write, forget, read, candidate = ops.split(total, 4, axis=3)
        fresh = ops.multiply(ops.sigmoid(write), ops.tanh(candidate))
        cell = fresh if cell is None else ops.add(ops.multiply(ops.sigmoid(forget), cell), fresh)
        hidden = ops.multiply(ops.sigmoid(read), ops.tanh(cell))
    last = layers.Conv2D(2 * len(HORIZONS_S), 1, name="corrections", kernel_initializer="zeros")
    return keras.Model(source, last(hidden), name="motion_lstm")


def _open_forget_gate(units: int) -> Any:
    def initial(shape: Any, dtype: Any = None) -> Any:
        import numpy as np

        bias = np.zeros(shape, np.float32)
        bias[units : 2 * units] = 1.0
        return bias

    return initial
