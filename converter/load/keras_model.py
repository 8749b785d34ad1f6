"""A Keras model as a float `.tflite`. Runs in the worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from agent.errors import ModelError
from converter.load.float_model import FloatInputs, FloatModel, Loaded, LoadOptions, bound, shaped
from converter.load.keras_file import open_keras
from converter.load.to_tflite import function_to_tflite
from converter.sequence.rewrite import Rewrite, rewrite


def load_keras(path: Path, options: LoadOptions, samples: Sequence[FloatInputs]) -> Loaded:
    """Convert a `.keras` or `.h5` file, Keras 2 or 3.

    Args:
        samples: inputs whose outputs the original model computes, for comparison; by input name.

    Raises:
        ModelError: it cannot be read, or holds what cannot be converted; the layer is named.
    """
    model, version = open_keras(path, options)
    inputs, outputs = list(model.inputs), list(model.outputs)
    names = _names(inputs, [str(name) for name in getattr(model, "input_names", [])], "input")
    output_names = _names(outputs, [str(name) for name in getattr(model, "output_names", [])], "output")
    shapes = [_static(path, name, tensor.shape, options) for name, tensor in zip(names, inputs, strict=True)]
    expected = _originals(model, names, shapes, samples, str(path))
    changes = rewrite(model, str(path))
    entry_shapes = [_entry_shape(shape, changes) for shape in shapes]

    def forward(*tensors: Any) -> list[Any]:
        given = [
            tf.reshape(tensor, shape) for tensor, shape in zip(tensors[: len(shapes)], shapes, strict=True)
        ]
        for port, state in zip(changes.states, tensors[len(shapes) :], strict=True):
            port.given = tf.reshape(state, [1, 1, 1, port.units])
        result = model(given if len(given) > 1 else given[0], training=False)
        flat = tf.nest.flatten(result)
        return [*flat, *(tf.reshape(port.left, [1, port.units]) for port in changes.states)]

    state_inputs = [f"{port.name}_in" for port in changes.states]
    state_outputs = [f"{port.name}_out" for port in changes.states]
    content = function_to_tflite(
        forward,
        [*entry_shapes, *([1, port.units] for port in changes.states)],
        [*names, *state_inputs],
        [*output_names, *state_outputs],
        str(path),
    )
    states = tuple(zip(state_outputs, state_inputs, strict=True))
    notes = list(changes.notes)
    if changes.volumes:
        notes.append("volumes (1, D, H, W, C) enter as (1, D, H, W·C): the same numbers in the same order")
    return Loaded(
        FloatModel(
            content,
            (*names, *state_inputs),
            (*output_names, *state_outputs),
            f"Keras {version}",
            states,
            tuple(notes),
        ),
        expected,
    )


def _names(tensors: Sequence[Any], given: Sequence[str], role: str) -> list[str]:
    """Names without ":0" and paths, each once."""
    raw = list(given) if len(given) == len(tensors) else [str(tensor.name) for tensor in tensors]
    clean = [name.split(":")[0].split("/")[-1] or role for name in raw]
    return [name if clean.count(name) == 1 else f"{name}_{i}" for i, name in enumerate(clean)]


def _static(path: Path, name: str, shape: Sequence[Any], options: LoadOptions) -> tuple[int, ...]:
    """An input's shape with batch 1."""
    wanted = [1, *shape[1:]]
    given = options.input_shapes.get(name)
    if given is not None and len(given) == len(wanted):
        wanted = list(given)
    if None in wanted and len(wanted) == 4 and options.image_size is not None:
        wanted[1:3] = [size or own for size, own in zip(wanted[1:3], options.image_size, strict=True)]
    if None in wanted:
        shown = ["?" if size is None else size for size in wanted]
        hint = "give width and height with --spec, or build the model with a fixed Input"
        raise ModelError(f"{path} input {name}", f"expected a static shape, got {shown}", hint)
    return tuple(int(size) for size in wanted)


def _entry_shape(shape: tuple[int, ...], changes: Rewrite) -> list[int]:
    if len(shape) == 5 and changes.volumes:
        return [shape[0], shape[1], shape[2], shape[3] * shape[4]]
    return list(shape)


def _originals(
    model: Any,
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    samples: Sequence[FloatInputs],
    where: str,
) -> tuple[tuple[NDArray[Any], ...], ...]:
    """What the model as it was loaded computes."""
    results = []
    for sample in samples:
        stateful = [
            layer
            for layer in model.layers
            if getattr(layer, "stateful", False) and hasattr(layer, "reset_states")
        ]
        for layer in stateful:
            layer.reset_states()
        own = bound(sample, names, where)
        given = [
            tf.constant(shaped(own[name], shape, f"{where} input {name}"))
            for name, shape in zip(names, shapes, strict=True)
        ]
        outputs = tf.nest.flatten(model(given if len(given) > 1 else given[0], training=False))
        results.append(tuple(np.asarray(output) for output in outputs))
    return tuple(results)
