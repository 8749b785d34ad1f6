"""LSTM, GRU and simple recurrent layers, unrolled with 1×1 convolutions and SPLIT.

TFLite's fused LSTM keeps a hidden state between calls, newer converters crash on loops, and Keras' own
`unroll=True` emits UNPACK, of which an Edge TPU runs nothing. Written like this every operator maps.

Sources: Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997; Cho et al., "Learning Phrase
Representations using RNN Encoder–Decoder", 2014 (GRU); gate order and `reset_after` as in Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Tensor: TypeAlias = Any
Weights: TypeAlias = NDArray[np.float32]
Activation: TypeAlias = Callable[[Tensor], Tensor]
States: TypeAlias = list[Tensor]
"""Each (1, 1, 1, units); empty means zeros, whose products are left out."""


@dataclass(frozen=True, eq=False)
class Cell:
    """Weights of one recurrent layer.

    Args:
        kernel: (features, gates · units).
        recurrent: (units, gates · units).
        bias: (gates · units,), or (2, gates · units) for a GRU that resets after its product; None for none.
        activation: of the candidate (tanh).
        gate_activation: of the gates (sigmoid).
    """

    kernel: Weights
    recurrent: Weights
    bias: Weights | None
    activation: Activation
    gate_activation: Activation

    @property
    def units(self) -> int:
        """Size of the state."""
        return len(self.recurrent)


Step: TypeAlias = Callable[[Cell, Tensor, States], States]
"""(cell, the input's product with the kernel (1, 1, 1, gates · units), states) to the next states,
output first.
"""


def unroll(
    cell: Cell, step: Step, sequence: Tensor, states: States, backwards: bool = False
) -> tuple[list[Tensor], States]:
    """Run a cell over a sequence.

    Args:
        sequence: (1, T, features).
        states: before the first step.
        backwards: from the last element to the first.

    Returns:
        T outputs (1, 1, 1, units) in the order of computation, and the states after the last step.
    """
    length, features = int(sequence.shape[1]), int(sequence.shape[2])
    # One product for all steps; the bias of a convolution costs nothing.
    product = dense(tf.reshape(sequence, [1, length, 1, features]), cell.kernel, _input_bias(cell))
    parts = tf.split(product, length, axis=1) if length > 1 else [product]
    outputs = []
    for part in parts[::-1] if backwards else parts:
        states = step(cell, part, states)
        outputs.append(states[0])
    return outputs, states


def lstm_step(cell: Cell, product: Tensor, states: States) -> States:
    """i, f, g, o = W x + U h + b; c' = σ(f)·c + σ(i)·tanh(g); h' = σ(o)·tanh(c')."""
    if not states:
        # There is nothing to forget, and a SPLIT with an output that nobody reads would stay in float.
        new_in, new, new_out = (
            tf.slice(product, [0, 0, 0, gate * cell.units], [1, 1, 1, cell.units]) for gate in (0, 2, 3)
        )
        carry = cell.gate_activation(new_in) * cell.activation(new)
        return [cell.gate_activation(new_out) * cell.activation(carry), carry]
    gates = tf.split(product + dense(states[0], cell.recurrent), 4, axis=-1)
    inward, forget, outward = (cell.gate_activation(gates[i]) for i in (0, 1, 3))
    carry = forget * states[1] + inward * cell.activation(gates[2])
    return [outward * cell.activation(carry), carry]


def gru_step(cell: Cell, product: Tensor, states: States) -> States:
    """z, r gates; n = tanh(W x + r·(U h + b)); h' = n + z·(h - n). Resets after the product, as cuDNN
    does.
    """
    bias = cell.bias[1] if cell.bias is not None and cell.bias.ndim == 2 else None
    update, reset, new = tf.split(product, 3, axis=-1)
    if states:
        update_h, reset_h, new_h = tf.split(dense(states[0], cell.recurrent, bias), 3, axis=-1)
        update = cell.gate_activation(update + update_h)
        candidate = cell.activation(new + cell.gate_activation(reset + reset_h) * new_h)
        return [candidate + update * (states[0] - candidate)]
    # With a zero state only the recurrent biases are left of its product.
    if bias is not None:
        update_b, reset_b, new_b = np.split(bias, 3)
        candidate = cell.activation(new + cell.gate_activation(reset + reset_b) * new_b)
        return [candidate - cell.gate_activation(update + update_b) * candidate]
    candidate = cell.activation(new)
    return [candidate - cell.gate_activation(update) * candidate]


def gru_reset_before_step(cell: Cell, product: Tensor, states: States) -> States:
    """z, r gates; n = tanh(W x + U (r·h)); h' = n + z·(h - n), as in Cho et al."""
    update, reset, new = tf.split(product, 3, axis=-1)
    if not states:
        candidate = cell.activation(new)
        return [candidate - cell.gate_activation(update) * candidate]
    gates, candidates = np.split(cell.recurrent, [2 * cell.units], axis=-1)
    update_h, reset_h = tf.split(dense(states[0], gates), 2, axis=-1)
    update = cell.gate_activation(update + update_h)
    kept = cell.gate_activation(reset + reset_h) * states[0]
    candidate = cell.activation(new + dense(kept, candidates))
    return [candidate + update * (states[0] - candidate)]


def simple_step(cell: Cell, product: Tensor, states: States) -> States:
    """h' = tanh(W x + U h + b)."""
    return [cell.activation(product + dense(states[0], cell.recurrent) if states else product)]


def dense(tensor: Tensor, weights: Weights, bias: Weights | None = None) -> Tensor:
    """(1, T, 1, in) by (in, out) as a 1×1 convolution."""
    result = tf.nn.conv2d(tensor, weights[None, None].astype(np.float32), 1, "VALID")
    return result if bias is None else tf.nn.bias_add(result, bias.astype(np.float32))


def stacked(outputs: Sequence[Tensor], units: int) -> Tensor:
    """Outputs of all steps as (1, T, units)."""
    joined = tf.concat(outputs, axis=1) if len(outputs) > 1 else outputs[0]
    return tf.reshape(joined, [1, len(outputs), units])


def _input_bias(cell: Cell) -> Weights | None:
    return cell.bias[0] if cell.bias is not None and cell.bias.ndim == 2 else cell.bias
