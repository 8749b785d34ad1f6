"""LSTM and GRU, unrolled by `converter.sequence.recurrent` so that every operator maps to an Edge TPU.

Source: the ONNX operator specification (LSTM-14, GRU-14); gates stand there as i, o, f, c and z, r, h.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from converter.load.onnx.arrange import plain
from converter.load.onnx.node import Node
from converter.load.onnx.values import Constant, Moved, Operand, Tensor, Value
from converter.sequence import recurrent
from converter.sequence.recurrent import Cell, Step, Weights

_DEFAULT_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}
_LSTM_INPUTS, _GRU_INPUTS = 8, 6


def lstm(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """LSTM of one direction: outputs (T, 1, 1, H), last h and last c (1, 1, H)."""
    given = [*inputs, *[None] * (_LSTM_INPUTS - len(inputs))]
    if given[7] is not None:
        node.fail("expected an LSTM without peepholes, got input P", "train it without")
    if node.get("input_forget", 0):
        node.fail("expected input_forget 0, got 1", "export it with a forget gate of its own")
    kernel, recurrent_kernel, bias = _weights(node, given, gates=4)
    # ONNX has i, o, f, c where the cell has i, f, c, o.
    kernel, recurrent_kernel = (_reordered(own, (0, 2, 3, 1)) for own in (kernel, recurrent_kernel))
    joined = None if bias is None else _reordered(bias.sum(axis=0), (0, 2, 3, 1))
    cell = Cell(kernel, recurrent_kernel, joined, tf.tanh, tf.sigmoid)
    return _run(node, given[0], cell, recurrent.lstm_step, (given[5], given[6]), given[4])


def gru(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """GRU of one direction, its reset before or after the product: outputs (T, 1, 1, H), last h (1, 1, H)."""
    given = [*inputs, *[None] * (_GRU_INPUTS - len(inputs))]
    kernel, recurrent_kernel, bias = _weights(node, given, gates=3)
    after = bool(node.get("linear_before_reset", 0))
    if bias is not None and not after:
        bias = bias.sum(axis=0)
    cell = Cell(kernel, recurrent_kernel, bias, tf.tanh, tf.sigmoid)
    step = recurrent.gru_step if after else recurrent.gru_reset_before_step
    return _run(node, given[0], cell, step, (given[5],), given[4])


def _weights(
    node: Node, inputs: Sequence[Operand | None], gates: int
) -> tuple[Weights, Weights, Weights | None]:
    """Kernel (in, gates · H), recurrent kernel (H, gates · H) and both biases (2, gates · H)."""
    if node.get("direction", "forward") == "bidirectional":
        node.fail("expected one direction, got bidirectional", "export two layers, one of them reversed")
    wanted = _DEFAULT_ACTIVATIONS[node.op_type]
    names = tuple(node.get("activations", wanted))
    if tuple(_text(name).lower() for name in names) != tuple(name.lower() for name in wanted):
        node.fail(
            f"expected activations {', '.join(wanted)}, got {', '.join(map(_text, names))}", "train it so"
        )
    if node.get("clip") is not None:
        node.fail("expected no clip, got one", "export it without")
    kernel, recurrent_kernel = (
        node.constant(inputs[i], name).astype(np.float32)[0].T
        for i, name in ((1, "weights W"), (2, "weights R"))
    )
    if recurrent_kernel.shape[1] != gates * recurrent_kernel.shape[0]:
        node.fail(f"expected R of (1, {gates} H, H), got {recurrent_kernel.T[None].shape}")
    bias = inputs[3]
    return (
        kernel,
        recurrent_kernel,
        None if bias is None else node.constant(bias, "a bias").astype(np.float32).reshape(2, -1),
    )


def _run(
    node: Node,
    operand: Operand | None,
    cell: Cell,
    step: Step,
    initial: Sequence[Operand | None],
    lengths: Operand | None,
) -> list[Operand]:
    if operand is None:
        node.fail("expected an input, got none")
    batch_first = bool(node.get("layout", 0))
    shape = operand.shape
    length = shape[1] if batch_first else shape[0]
    if len(shape) != 3 or shape[0 if batch_first else 1] != 1:
        node.fail(f"expected one sequence at a time, got shape {shape}", "export it with batch size 1")
    if lengths is not None and (node.constant(lengths, "sequence_lens") != length).any():
        node.fail(f"expected sequences of {length} steps, got others", "export it without sequence_lens")
    sequence = tf.reshape(plain(operand), [1, length, shape[2]])
    backwards = node.get("direction", "forward") == "reverse"
    outputs, states = recurrent.unroll(cell, step, sequence, _states(cell, initial), backwards)
    ordered = outputs[::-1] if backwards else outputs
    every = (1, length, 1, cell.units) if batch_first else (length, 1, 1, cell.units)
    joined = tf.concat(ordered, axis=1) if length > 1 else ordered[0]
    # Only written down: steps as a batch over 1 would end what maps, and mostly one step is picked.
    sequences = Moved.of(Value(joined)).then(
        lambda index: index.reshape(every), lambda tensor: tf.reshape(tensor, every)
    )
    return [sequences, *(Value(tf.reshape(state, [1, 1, cell.units])) for state in states)]


def _states(cell: Cell, initial: Sequence[Operand | None]) -> list[Tensor]:
    """States before the first step; none where all of them are zero."""
    if all(own is None or (isinstance(own, np.ndarray) and not own.any()) for own in initial):
        return []
    shape = [1, 1, 1, cell.units]
    return [tf.zeros(shape) if own is None else tf.reshape(plain(own), shape) for own in initial]


def _reordered(weights: Constant, order: Sequence[int]) -> Weights:
    """Gates, which lie side by side in the last axis, in another order."""
    parts = np.split(weights, len(order), axis=-1)
    joined: Weights = np.concatenate([parts[i] for i in order], axis=-1)
    return joined


def _text(name: object) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
