"""The motion model: one LSTM layer over a track's last observations, written out step by step.

Keras unrolls its own LSTM through UNPACK, which the Edge TPU does not take. Here every step is 1×1
convolutions, SPLITs and element-wise operators, all of which it takes. Tracks lie side by side like the
pixels of a row, so that one invocation serves a batch of them at a batch size of 1.

S. Hochreiter, J. Schmidhuber, Long Short-Term Memory, Neural Computation 1997.
"""

from __future__ import annotations

from typing import Any

from agent.track.motion_lstm import FEATURES, HORIZONS_S, STEPS

UNITS = 16


def build_motion_lstm(batch: int, units: int = UNITS) -> Any:
    """The network.

    Args:
        batch: tracks per invocation.
        units: size of the hidden state.

    Returns:
        keras.Model, (1, STEPS, batch, FEATURES) to (1, 1, batch, 2 × horizons).
    """
    import keras
    from keras import layers, ops

    gates_of = layers.Conv2D(4 * units, 1, name="gates", bias_initializer=_forget_bias(units))
    last = layers.Conv2D(2 * len(HORIZONS_S), 1, name="corrections", kernel_initializer="zeros")
    source = layers.Input(batch_shape=(None, STEPS, batch, FEATURES), name="observations")
    ticks = layers.Lambda(lambda x: ops.split(x, STEPS, axis=1), name="ticks")(source)
    split = layers.Lambda(lambda x: ops.split(x, 4, axis=3), name="split")
    hidden = cell = None
    for tick in ticks:
        if hidden is None:
            hidden = layers.Lambda(lambda x: ops.zeros_like(x[..., :1]) * ops.zeros((1, 1, 1, units)))(tick)
        gates = gates_of(layers.Concatenate(axis=3)([tick, hidden]))  # (1, 1, batch, 4 × units)
        write, forget, read, candidate = split(gates)
        fresh = ops.multiply(ops.sigmoid(write), ops.tanh(candidate))
        cell = fresh if cell is None else ops.add(ops.multiply(ops.sigmoid(forget), cell), fresh)
        hidden = ops.multiply(ops.sigmoid(read), ops.tanh(cell))
    return keras.Model(source, last(hidden), name="motion_lstm")
