"""LSTM and GRU over the history of many tracks, written out step by step.

Keras unrolls its own cells through UNPACK, which the Edge TPU does not take. Here every step is a 1×1
convolution, SPLITs and element-wise operators, all of which it takes. Tracks lie side by side like the pixels
of a row, so that one invocation serves many of them at a batch size of 1.

S. Hochreiter, J. Schmidhuber, Long Short-Term Memory, Neural Computation 1997; forget gates start open:
R. Jozefowicz et al., An Empirical Exploration of Recurrent Network Architectures, ICML 2015. GRU: K. Cho et
al., Learning Phrase Representations using RNN Encoder-Decoder, EMNLP 2014, in cuDNN's order (reset after).
"""

from __future__ import annotations

from typing import Any

from models.architectures.kinds import Cell


def run_cell(cell: Cell, source: Any, units: int) -> Any:
    """The last hidden state of a recurrent layer.

    Args:
        cell: its kind.
        source: (batch, T, tracks, features) Keras tensor.
        units: size of the hidden state.

    Returns:
        (batch, 1, tracks, units).
    """
    return _lstm(source, units) if cell is Cell.LSTM else _gru(source, units)


def _lstm(source: Any, units: int) -> Any:
    """i, f, o, g = W x + U h + b; c' = σ(f)·c + σ(i)·tanh(g); h' = σ(o)·tanh(c')."""
    import numpy as np
    from keras import layers, ops

    enter = layers.Conv2D(4 * units, 1, name="drive")
    drive = enter(source)
    enter.bias.assign(np.repeat(np.array([0, 1, 0, 0], np.float32), units))
    feedback = layers.Conv2D(4 * units, 1, use_bias=False, name="feedback", kernel_initializer="orthogonal")
    hidden = carry = None
    for gates in ops.split(drive, source.shape[1], axis=1):  # (batch, 1, tracks, 4 × units) each
        if hidden is None:
            # There is nothing to forget, and an output of a SPLIT that nobody reads would stay in float.
            write, read, candidate = (gates[..., n * units : (n + 1) * units] for n in (0, 2, 3))
            carry = ops.multiply(ops.sigmoid(write), ops.tanh(candidate))
        else:
            write, forget, read, candidate = ops.split(ops.add(gates, feedback(hidden)), 4, axis=3)
            fresh = ops.multiply(ops.sigmoid(write), ops.tanh(candidate))
            carry = ops.add(ops.multiply(ops.sigmoid(forget), carry), fresh)
        hidden = ops.multiply(ops.sigmoid(read), ops.tanh(carry))
    return hidden


def _gru(source: Any, units: int) -> Any:
    """z, r, n = W x + b, the same of h; n' = tanh(n + σ(r + r_h)·n_h); h' = n' + σ(z + z_h)·(h - n')."""
    from keras import layers, ops

    drive = layers.Conv2D(3 * units, 1, name="drive")(source)
    feedback = layers.Conv2D(3 * units, 1, name="feedback", kernel_initializer="orthogonal")
    hidden = None
    for gates in ops.split(drive, source.shape[1], axis=1):  # (batch, 1, tracks, 3 × units) each
        if hidden is None:
            update, new = gates[..., :units], gates[..., 2 * units :]
            candidate = ops.tanh(new)
            hidden = ops.subtract(candidate, ops.multiply(ops.sigmoid(update), candidate))
            continue
        update, reset, new = ops.split(gates, 3, axis=3)
        update_h, reset_h, new_h = ops.split(feedback(hidden), 3, axis=3)
        candidate = ops.tanh(ops.add(new, ops.multiply(ops.sigmoid(ops.add(reset, reset_h)), new_h)))
        kept = ops.multiply(ops.sigmoid(ops.add(update, update_h)), ops.subtract(hidden, candidate))
        hidden = ops.add(candidate, kept)
    return hidden
