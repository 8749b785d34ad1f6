"""Replacing what layers of a loaded Keras model compute, before it is traced.

A layer's `call` is exchanged on the instance; the model's graph, its weights and all other layers stay as
they are. Works alike for Keras 2 and 3, whose layers share the attribute names used here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from agent.errors import ModelError
from converter.sequence import recurrent
from converter.sequence.recurrent import Cell, Step, Weights
from converter.sequence.temporal import convolve_time
from converter.sequence.volume_layers import fold_volumes

Tensor: TypeAlias = Any
Layer: TypeAlias = Any


@dataclass
class StatePort:
    """One state of a stateful layer as an input and an output of the model; tensors are set while tracing."""

    name: str
    units: int
    given: Tensor = None
    left: Tensor = None


@dataclass
class Rewrite:
    """What was exchanged.

    Args:
        states: of stateful layers, in the order of the layers.
        notes: one sentence per kind of change.
        volumes: the model's input is (1, D, H, W·C) instead of (1, D, H, W, C).
    """

    states: list[StatePort] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    volumes: bool = False


def rewrite(model: Any, where: str) -> Rewrite:
    """Exchange recurrent, temporal and volumetric layers of a model in place.

    Args:
        model: a Keras 2 or 3 model.
        where: for messages.

    Raises:
        ModelError: a recurrent layer is used in a way that cannot be unrolled; the layer is named.
    """
    done = Rewrite()
    kinds: dict[str, int] = {}
    layers = flat_layers(model)
    if any(type(layer).__name__ == "Conv3D" for layer in layers):
        fold_volumes(layers, where)
        done.volumes = True
        kinds["3-D convolutions with frames as channels of 2-D ones"] = 1
    for layer in layers:
        kind = type(layer).__name__
        if kind == "Masking" or getattr(layer, "mask_zero", False):
            raise ModelError(
                f"{where} layer {layer.name}",
                "expected sequences without a mask, got steps that are left out by their values",
                "train on sequences of one length, or without the mask, so that the model learns the padding",
            )
        if kind in _STEPS:
            _check_input(layer, where)
            layer.call = _recurrent_call(layer, done)
            kinds[f"{kind} unrolled with 1×1 convolutions and SPLIT"] = 1
        elif kind == "Bidirectional":
            layer.call = _bidirectional_call(layer, where)
            kinds["Bidirectional layers as two unrolled ones"] = 1
        elif kind == "Conv1D":
            layer.call = _temporal_call(layer)
            kinds["Conv1D as 2-D convolutions with equal dilations"] = 1
        elif kind == "TimeDistributed" and type(layer.layer).__name__ == "Dense":
            layer.call = _every_step_call(layer)
            kinds["TimeDistributed dense layers over all steps at once"] = 1
    done.notes = list(kinds)
    return done


def flat_layers(model: Any) -> list[Layer]:
    """All layers, those of nested models too; those within a Bidirectional or RNN wrapper not."""
    found = []
    for layer in model.layers:
        found.extend(flat_layers(layer) if hasattr(layer, "layers") else [layer])
    return found


def weights_of(layer: Layer, name: str) -> Weights | None:
    """One weight as NumPy, or None."""
    variable = getattr(layer, name, None)
    return None if variable is None else np.asarray(variable.numpy(), np.float32)


def _weights(layer: Layer, name: str) -> Weights:
    return np.asarray(getattr(layer, name).numpy(), np.float32)


def _cell(layer: Layer) -> tuple[Cell, Step]:
    cell: Any = getattr(layer, "cell", layer)
    kind = type(layer).__name__
    step = _STEPS[kind]
    if kind == "GRU" and not cell.reset_after:
        step = recurrent.gru_reset_before_step
    kernel, recurrent_kernel = (_weights(cell, name) for name in ("kernel", "recurrent_kernel"))
    gate = getattr(cell, "recurrent_activation", cell.activation)
    return Cell(kernel, recurrent_kernel, weights_of(cell, "bias"), cell.activation, gate), step


def _recurrent_call(layer: Layer, done: Rewrite) -> Callable[..., Any]:
    cell, step = _cell(layer)
    names = ("h", "c") if type(layer).__name__ == "LSTM" else ("h",)
    ports = [StatePort(f"{layer.name}_{name}", cell.units) for name in names] if layer.stateful else []
    done.states.extend(ports)

    def call(inputs: Any, *args: Any, initial_state: Any = None, **kwargs: Any) -> Any:
        if isinstance(inputs, list | tuple):
            inputs, *given = inputs
            initial_state = given or initial_state
        if args and initial_state is None and isinstance(args[0], list | tuple):
            initial_state = args[0]
        states = [_as_state(state, cell.units) for state in _listed(initial_state)] or [
            port.given for port in ports
        ]
        outputs, last = recurrent.unroll(cell, step, inputs, states, bool(layer.go_backwards))
        for port, state in zip(ports, last, strict=False):
            port.left = state
        result = recurrent.stacked(outputs, cell.units) if layer.return_sequences else _flat(outputs[-1])
        return [result, *map(_flat, last)] if layer.return_state else result

    return call


def _bidirectional_call(layer: Layer, where: str) -> Callable[..., Any]:
    forward, backward = layer.forward_layer, layer.backward_layer
    for side in (forward, backward):
        if type(side).__name__ not in _STEPS or side.stateful or side.return_state:
            raise ModelError(
                f"{where} layer {layer.name}",
                "expected stateless LSTM, GRU or SimpleRNN within Bidirectional",
                "use those",
            )
    (cell, step), (cell_back, step_back) = _cell(forward), _cell(backward)

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        ahead, _ = recurrent.unroll(cell, step, inputs, [], bool(forward.go_backwards))
        back, _ = recurrent.unroll(cell_back, step_back, inputs, [], bool(backward.go_backwards))
        if forward.return_sequences:
            both = [recurrent.stacked(ahead, cell.units), recurrent.stacked(back[::-1], cell_back.units)]
        else:
            both = [_flat(ahead[-1]), _flat(back[-1])]
        merges: dict[str, Callable[[], Any]] = {
            "concat": lambda: tf.concat(both, -1), "sum": lambda: both[0] + both[1],
            "ave": lambda: (both[0] + both[1]) * 0.5, "mul": lambda: both[0] * both[1],
        }  # fmt: skip
        return merges[layer.merge_mode]() if layer.merge_mode else both

    return call


def _temporal_call(layer: Layer) -> Callable[..., Any]:
    kernel, bias = _weights(layer, "kernel"), weights_of(layer, "bias")

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        stride, dilation = int(layer.strides[0]), int(layer.dilation_rate[0])
        result = convolve_time(inputs, kernel, bias, stride, dilation, layer.padding, int(layer.groups))
        return layer.activation(result) if layer.activation is not None else result

    return call


def _every_step_call(layer: Layer) -> Callable[..., Any]:
    """A dense layer works on the last axis anyway; step by step it ends in a PACK, which does not map."""

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return layer.layer(inputs)

    return call


def _check_input(layer: Layer, where: str) -> None:
    shape = layer.input.shape if not isinstance(layer.input, list) else layer.input[0].shape
    if len(shape) != 3 or shape[1] is None or shape[2] is None:
        raise ModelError(
            f"{where} layer {layer.name}", f"expected sequences of a fixed length, got {tuple(shape)}",
            "build the model with Input((steps, features)); for one step at a time: steps "
            "1 and stateful=True",
        )  # fmt: skip


def _listed(states: Any) -> list[Any]:
    if states is None:
        return []
    return list(states) if isinstance(states, list | tuple) else [states]


def _as_state(state: Tensor, units: int) -> Tensor:
    return tf.reshape(state, [1, 1, 1, units])


def _flat(state: Tensor) -> Tensor:
    return tf.reshape(state, [1, int(state.shape[-1])])


_STEPS: dict[str, Step] = {
    "LSTM": recurrent.lstm_step,
    "GRU": recurrent.gru_step,
    "SimpleRNN": recurrent.simple_step,
}
