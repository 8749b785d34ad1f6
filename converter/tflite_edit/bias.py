"""Bias correction: what rounding the weights adds to a layer's mean output is taken off its bias.

Source: Nagel et al., ICCV 2019, eq. 16: E[Δy] = ΔW · E[x], with E[x] the mean input of each channel. It looks
at one layer's own rounding only, so that errors of layers before are not counted twice.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from converter.tflite_edit.edit import EditableModel

_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def layer_inputs(model: EditableModel) -> list[int]:
    """The activations whose means are needed."""
    inputs = dict.fromkeys(operator.inputs[0] for operator in model.named(*_LAYERS))
    return [tensor for tensor in inputs if model.constant(tensor) is None]


def correct_biases(model: EditableModel, means: Mapping[int, NDArray[np.float64]]) -> int:
    """Correct all convolutions and dense layers in place.

    Args:
        means: by activation tensor, the mean of each of its channels (last axis) over samples and places.

    Returns:
        How many layers were corrected.
    """
    corrected = 0
    for operator in model.named(*_LAYERS):
        mean, weights = means.get(operator.inputs[0]), model.constant(operator.inputs[1])
        bias = model.constant(operator.inputs[2]) if len(operator.inputs) > 2 else None
        if mean is None or weights is None or bias is None:
            continue
        kind = model.operator_name(operator)
        rounded = _rounded(weights, {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}.get(kind))
        change = (rounded - weights).astype(np.float64)
        if kind == "DEPTHWISE_CONV_2D":
            repeats = weights.shape[3] // len(mean)
            shift = change.sum(axis=(0, 1, 2)) * np.repeat(mean, repeats)
        elif change.shape[-1] != len(mean):
            continue
        else:
            shift = (change * mean).reshape(len(weights), -1).sum(axis=1)
        model.give(operator, 2, (bias - shift).astype(np.float32))
        corrected += 1
    return corrected


def _rounded(weights: NDArray[np.float32], axis: int | None) -> NDArray[np.float32]:
    """Weights as int8 holds them: symmetric, -127..127, a scale per slice of `axis` or one for all."""
    axes = None if axis is None else tuple(i for i in range(weights.ndim) if i != axis)
    largest = np.abs(weights).max(axis=axes, keepdims=axes is not None)
    scale = np.maximum(largest / 127, 1e-12)
    result: NDArray[np.float32] = (np.rint(weights / scale) * scale).astype(np.float32)
    return result
