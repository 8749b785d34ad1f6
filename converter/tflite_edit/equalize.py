"""Cross-layer equalisation: weight channels of very different size brought closer, without changing the
function.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, eq.
11: with ranges r1, r2 of a channel's weights in two layers in a row, s = sqrt(r1·r2) / r2; W1 and b1 are
divided by s, W2 multiplied. ReLU passes s through; ReLU6 does not, so such pairs are left alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converter.tflite_edit.edit import EditableModel

_OUT_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
_PASSING = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)
_MAX_FACTOR = 64.0


def equalize(model: EditableModel, rounds: int = 3) -> int:
    """Equalise all pairs of convolutions in a row, in place; returns how many pairs there are."""
    pairs = _pairs(model)
    for _ in range(rounds):
        for first, second in pairs:
            _equalize_pair(model, first, second)
    return len(pairs)


def _pairs(model: EditableModel) -> list[tuple[Any, Any]]:
    pairs = []
    for first in model.named(*_OUT_AXIS):
        output = first.outputs[0]
        consumers = model.consumers(output)
        if (
            output in model.graph.outputs
            or len(consumers) != 1
            or first.builtinOptions.fusedActivationFunction not in _PASSING
        ):
            continue
        second = consumers[0]
        plain = model.operator_name(second) == "CONV_2D" or (
            model.operator_name(second) == "DEPTHWISE_CONV_2D"
            and second.builtinOptions.depthMultiplier in (0, 1)
        )
        if (
            not plain
            or second.inputs[0] != output
            or model.shape(second.inputs[1])[3] != model.shape(output)[3]
        ):
            continue
        if all(model.constant(own.inputs[1]) is not None for own in (first, second)):
            pairs.append((first, second))
    return pairs


def _equalize_pair(model: EditableModel, first: Any, second: Any) -> None:
    weights_1, weights_2 = model.weights(first.inputs[1]), model.weights(second.inputs[1])
    axis_1 = _OUT_AXIS[model.operator_name(first)]
    range_1 = np.abs(weights_1).max(axis=tuple(i for i in range(4) if i != axis_1))
    range_2 = np.abs(weights_2).max(axis=(0, 1, 2))
    usable = (range_1 > 1e-8) & (range_2 > 1e-8)
    factor = np.where(usable, np.sqrt(range_1 * range_2) / np.where(usable, range_2, 1.0), 1.0)
    factor = np.clip(factor, 1 / _MAX_FACTOR, _MAX_FACTOR).astype(np.float32)
    shape = [1, 1, 1, 1]
    shape[axis_1] = -1
    model.give(first, 1, weights_1 / factor.reshape(shape))
    model.give(second, 1, weights_2 * factor)
    if len(first.inputs) > 2 and (bias := model.constant(first.inputs[2])) is not None:
        model.give(first, 2, bias / factor)
