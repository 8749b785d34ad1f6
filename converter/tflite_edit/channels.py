"""Channels of an activation: who reads them, and factors taken into the weights on either side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.tflite_edit.edit import EditableModel

OUT_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
"""Where the weights of a convolution have their output channels."""
PASSING = frozenset({"PAD", "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR"})
"""Operators that hand on a channel as it is, times a positive factor or not."""


def readers(model: EditableModel, tensor: int, offset: int) -> list[tuple[Any, int]] | None:
    """(convolution, first input channel) of all that reads a tensor; None if anything else does too."""
    if tensor in model.graph.outputs:
        return None
    found: list[tuple[Any, int]] = []
    for reader in model.consumers(tensor):
        kind = model.operator_name(reader)
        if kind in OUT_AXIS and reader.inputs[0] == tensor and model.constant(reader.inputs[1]) is not None:
            if (
                kind == "DEPTHWISE_CONV_2D"
                and model.shape(reader.inputs[1])[3] != model.shape(reader.inputs[0])[3]
            ):
                return None
            found.append((reader, offset))
            continue
        if kind in PASSING:
            further = readers(model, reader.outputs[0], offset)
        elif (
            kind == "CONCATENATION"
            and int(reader.builtinOptions.axis) % 4 == 3
            and reader.inputs.count(tensor) == 1
        ):
            before = reader.inputs[: reader.inputs.index(tensor)]
            further = readers(model, reader.outputs[0], offset + sum(model.shape(own)[3] for own in before))
        else:
            return None
        if further is None:
            return None
        found.extend(further)
    return found


def scale_outputs(model: EditableModel, convolution: Any, factor: NDArray[np.float32]) -> None:
    weights = model.weights(convolution.inputs[1])
    bias = model.weights(convolution.inputs[2])
    shape = [1, 1, 1, 1]
    shape[OUT_AXIS[model.operator_name(convolution)]] = -1
    model.give(convolution, 1, weights * factor.reshape(shape))
    model.give(convolution, 2, bias * factor)


def scale_inputs(model: EditableModel, convolution: Any, offset: int, factor: NDArray[np.float32]) -> None:
    weights = model.weights(convolution.inputs[1])
    weights[..., offset : offset + len(factor)] *= factor
    model.give(convolution, 1, weights)
