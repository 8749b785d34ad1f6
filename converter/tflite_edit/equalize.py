"""Equalisation of channels through ReLU: those of very different size brought closer, without changing the
function.

An activation has one int8 scale for all its channels, so that a channel that reaches 1 beside one that
reaches 100 is left with three codes. A convolution's output channels can be divided by factors s, as ReLU
passes them through (ReLU6 does not), where all that reads them multiplies its weights by s.

The producer pays nothing, as its weights have a scale per output channel, nor does a depthwise reader. One
that sums channels shares a scale among their weights, so there the difficulty is split. With a the reach of a
channel and w that of the weights which read it,

    s = a^share / w^(1 - share)

Sources: Nagel et al., ICCV 2019 (the rewriting, for weights alone); Xiao et al., "SmoothQuant", ICML 2023,
eq. 4 (from activations to weights, share 0.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converter.tflite_edit.channels import OUT_AXIS, readers, scale_inputs, scale_outputs
from converter.tflite_edit.edit import EditableModel

_THROUGH = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)
_MAX_FACTOR = 64.0
_SILENT = 1e-4
"""A channel that reaches less, of the largest, is left as it is."""


def equalisable_outputs(model: EditableModel) -> list[int]:
    """The activations whose smallest and largest values `equalize` asks for."""
    return [producer.outputs[0] for producer, _ in _equalisable(model)]


def equalize(
    model: EditableModel,
    low_of: Mapping[int, NDArray[Any]],
    high_of: Mapping[int, NDArray[Any]],
    share: float,
) -> int:
    """Equalise the output of every convolution whose readers can take up the factors, in place.

    Args:
        low_of, high_of: by activation tensor (`equalisable_outputs`), the smallest and largest value of each
            channel.
        share: 0..1, how much of the difficulty moves from activations to weights.

    Returns:
        How many outputs were equalised.
    """
    found = _equalisable(model)
    for producer, reading in found:
        tensor = producer.outputs[0]
        reach = np.maximum(np.abs(low_of[tensor]), np.abs(high_of[tensor]))
        factor = _factors(reach, _weights_reach(model, reading, len(reach)), share)
        scale_outputs(model, producer, 1 / factor)
        for reader, offset in reading:
            scale_inputs(model, reader, offset, factor)
    return len(found)


def _equalisable(model: EditableModel) -> list[tuple[Any, list[tuple[Any, int]]]]:
    """(convolution, what reads it as `readers` gives that)."""
    found = []
    for producer in model.named(*OUT_AXIS):
        reading = readers(model, producer.outputs[0], 0)
        if (
            reading
            and producer.builtinOptions.fusedActivationFunction in _THROUGH
            and len(producer.inputs) == 3
            and all(model.constant(own) is not None for own in producer.inputs[1:])
        ):
            found.append((producer, reading))
    return found


def _weights_reach(
    model: EditableModel, reading: list[tuple[Any, int]], channels: int
) -> NDArray[np.float64] | None:
    """Of the weights that read each channel, the largest part of its scale; None if none is summed."""
    reaches = []
    for reader, offset in reading:
        if model.operator_name(reader) == "CONV_2D":
            weights = np.abs(model.weights(reader.inputs[1])).max(axis=(1, 2))
            parts = weights / np.maximum(weights.max(axis=1, keepdims=True), 1e-12)
            reaches.append(parts.max(axis=0)[offset : offset + channels])
    return np.max(reaches, axis=0).astype(np.float64) if reaches else None


def _factors(
    reach: NDArray[np.float64], weights: NDArray[np.float64] | None, share: float
) -> NDArray[np.float32]:
    """Factors that leave the largest channel's reach as it was."""
    usable = reach > _SILENT * reach.max()
    if weights is None:
        factor = reach / max(float(reach.max()), 1e-12)
    else:
        usable &= weights > 1e-8
        factor = reach**share / np.where(usable, weights, 1.0) ** (1.0 - share)
    if not usable.any():
        return np.ones(len(reach), np.float32)
    factor = factor / np.median(factor[usable])
    factor = np.where(usable, np.clip(factor, 1 / _MAX_FACTOR, _MAX_FACTOR), 1.0)
    return np.asarray(factor * ((reach / factor).max() / reach.max()), np.float32)
