"""What single operators ask for before the Edge TPU takes them.

Source: the table of supported operations at coral.ai/docs/edgetpu/models-intro; for runtimes before 13, its
older versions. Two limits are not documented and were found by comparing models before and after the
compiler: TRANSPOSE of more than 60,000 elements, and RESIZE_BILINEAR from 1×1 or by more than 8, stay on the
CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from converter.edgetpu.reason import GENERAL_ADVICE, Reason
from converter.tflite_model.structure import Operator, Tensor

MAX_TRANSPOSE_ELEMENTS = 60_000
MAX_SOFTMAX_ELEMENTS = 16_000
MAX_BILINEAR_FACTOR = 8

Tensors = Sequence[Tensor | None]
Rule = Callable[[Operator, Tensors, Tensors], Reason | None]


def present(tensors: Tensors) -> list[Tensor]:
    """Those that are not left out."""
    return [tensor for tensor in tensors if tensor is not None]


def _equal_dilation(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    height, width = operator.option("dilation_hfactor", 1), operator.option("dilation_wfactor", 1)
    if height != width:
        return Reason(
            "dilation",
            f"dilation {height}×{width} differs between height and width",
            "give both the same; where the kernel is 1 along an axis, its dilation changes nothing",
        )
    data, weights = inputs[0] if inputs else None, inputs[1] if len(inputs) > 1 else None
    if (
        operator.name == "CONV_2D"
        and data is not None
        and weights is not None
        and data.shape
        and weights.shape
    ):
        channels = weights.shape[-1]
        if channels and data.shape[-1] != channels:
            return Reason(
                "groups",
                f"a grouped convolution ({data.shape[-1] // channels} groups)",
                "use SPLIT, one CONV_2D per group and CONCATENATION, or one full CONV_2D with zeros",
            )
    return None


def _no_fused_activation(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    fused = operator.options.get("fused_activation_function", "NONE")
    if fused != "NONE":
        return Reason(
            "fused-activation", f"has a fused {fused}", f"put {fused} behind it as an operator of its own"
        )
    return None


def _concatenation(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    reason = _no_fused_activation(operator, inputs, outputs)
    if reason is not None:
        return reason
    constants = [tensor for tensor in present(inputs) if tensor.constant]
    if not constants:
        return None
    if len(inputs) == 2 and all(_all_zero(tensor) for tensor in constants):
        return None
    return Reason(
        "constant-input",
        "joins a constant; taken only with exactly 2 inputs of which the constant is all zeros",
        "use PAD for zeros, or ADD the constant to a padded tensor",
    )


def _all_zero(tensor: Tensor) -> bool:
    values = tensor.values()
    if values is None:
        return False
    zero = tensor.quantization.zero_points[0] if tensor.quantization else 0
    return bool(np.all(values == zero))


def _fully_connected(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    if operator.option("weights_format") != 0:
        return Reason("weights-format", "has shuffled weights", "convert with default weights")
    return _one_row(operator, outputs, "convert with a batch of 1; use a 1×1 CONV_2D for more rows")


def _one_row(operator: Operator, tensors: Sequence[Tensor | None], advice: str) -> Reason | None:
    for tensor in present(tensors):
        if tensor.shape and tensor.elements != tensor.shape[-1]:
            return Reason("rank", f"works on {list(tensor.shape)}, taken only with one row", advice)
    return None


def _softmax(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    data = inputs[0] if inputs else None
    if data is not None and data.elements > MAX_SOFTMAX_ELEMENTS:
        return Reason("size", f"{data.elements} elements, at most {MAX_SOFTMAX_ELEMENTS}", GENERAL_ADVICE)
    return _one_row(
        operator, inputs[:1], "take SOFTMAX out of the model: the order of scores is the same without it"
    )


def _axes(tensor: Tensor | None, rank: int) -> list[int] | None:
    values = tensor.values() if tensor is not None else None
    return None if values is None else [int(axis) % max(rank, 1) for axis in values.reshape(-1)]


def _reduction(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    data = inputs[0] if inputs else None
    if data is None or len(inputs) < 2:
        return None
    axes = _axes(inputs[1], len(data.shape)) or []
    if len(data.shape) > 1 and 0 in axes:
        return Reason("batch", "reduces over the batch", "keep the batch axis out of the reduction")
    last = len(data.shape) - 1
    if operator.name == "MEAN" and last in axes and data.shape[last] % 4:
        return Reason(
            "size",
            f"a mean over {data.shape[last]} channels, no multiple of 4",
            "pad the channels to a multiple of 4",
        )
    return None


def _batch_axis(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    """PACK and SPLIT along the batch."""
    if operator.name == "PACK":
        rank = len(outputs[0].shape) if outputs and outputs[0] is not None else 1
        axis = operator.option("axis") % max(rank, 1)
    else:
        data = inputs[1] if len(inputs) > 1 else None
        axes = _axes(inputs[0] if inputs else None, len(data.shape) if data is not None else 1)
        axis = axes[0] if axes else 1
        rank = len(data.shape) if data is not None else 1
    if axis == 0 and rank > 1:
        return Reason("batch", "works along the batch axis", "add a leading axis of 1 and use axis 1")
    return None


def _pad(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    values = inputs[1].values() if len(inputs) > 1 and inputs[1] is not None else None
    if values is not None and values.ndim == 2 and len(values) > 1 and np.any(values[0]):
        return Reason("batch", "pads the batch axis", "add a leading axis of 1")
    return None


def _strided_slice(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    strides = inputs[3].values() if len(inputs) > 3 and inputs[3] is not None else None
    if strides is not None and np.any(strides != 1):
        return Reason(
            "strides",
            f"strides {strides.reshape(-1).tolist()}, taken only with 1",
            "replace a slice with strides by a convolution with strides whose weights pick the pixels",
        )
    for mask in ("ellipsis_mask", "new_axis_mask"):
        if operator.option(mask):
            return Reason("strides", f"{mask} is set", "write out all axes of the slice")
    return None


def _transpose(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    data = inputs[0] if inputs else None
    if data is not None and data.elements > MAX_TRANSPOSE_ELEMENTS:
        return Reason(
            "size",
            f"{data.elements} elements; more than {MAX_TRANSPOSE_ELEMENTS} were never taken",
            "keep the model in NHWC so that it needs no TRANSPOSE, or transpose outside of it",
        )
    return None


def _resize_bilinear(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    data, result = inputs[0] if inputs else None, outputs[0] if outputs else None
    if (
        data is None
        or result is None
        or len(data.shape) != 4
        or len(result.shape) != 4
        or 0 in data.shape[1:3]
    ):
        return None
    height, width = data.shape[1:3]
    if (height, width) == (1, 1) and result.shape[1:3] != (1, 1):
        return Reason("size", "enlarges a single pixel", "let ADD or MUL broadcast the 1×1 tensor")
    factor = max(result.shape[1] / height, result.shape[2] / width)
    if factor > MAX_BILINEAR_FACTOR:
        return Reason(
            "size",
            f"enlarges by {factor:.3g}; more than {MAX_BILINEAR_FACTOR} was never taken",
            "enlarge in two steps",
        )
    return None


def _squeeze(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    """The table: [y][x][z] = 1,5,10 is taken, 5,1,10 is not."""
    data, result = inputs[0] if inputs else None, outputs[0] if outputs else None
    if data is None or result is None or _without_leading(data.shape) == _without_leading(result.shape):
        return None
    return Reason(
        "relayout",
        f"takes an axis of 1 out of the middle of {list(data.shape)}; only leading ones may go",
        "use RESHAPE",
    )


def _without_leading(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape from its first axis over 1 on."""
    return tuple(shape[next((i for i, size in enumerate(shape) if size != 1), len(shape)) :])


def _plane_reduction(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    """Before runtime 13: a MEAN over height and width only."""
    data = inputs[0] if inputs else None
    if data is None or len(inputs) < 2:
        return None
    last = len(data.shape) - 1
    if last in (_axes(inputs[1], len(data.shape)) or []):
        return Reason(
            "runtime",
            "a mean over channels needs Edge TPU runtime 13",
            "compile for runtime 13, or use a 1×1 CONV_2D with constant weights",
        )
    return None


def _plane_padding(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    """Before runtime 13: a PAD of height and width only."""
    values = inputs[1].values() if len(inputs) > 1 and inputs[1] is not None else None
    if values is not None and values.ndim == 2 and len(values) and np.any(values[-1]):
        return Reason(
            "runtime",
            "padding of channels needs Edge TPU runtime 13",
            "compile for runtime 13, or use CONCATENATION with a constant of zeros",
        )
    return None


def _prelu(operator: Operator, inputs: Tensors, outputs: Tensors) -> Reason | None:
    alpha = inputs[1] if len(inputs) > 1 else None
    if alpha is not None and any(size > 1 for size in alpha.shape[:-1]):
        return Reason("rank", f"slopes of shape {list(alpha.shape)}", "share the slopes over axes 1 and 2")
    return None


OPERATOR_RULES: dict[str, Rule] = {
    "AVERAGE_POOL_2D": _no_fused_activation,
    "CONCATENATION": _concatenation,
    "CONV_2D": _equal_dilation,
    "DEPTHWISE_CONV_2D": _equal_dilation,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _no_fused_activation,
    "MEAN": _reduction,
    "PACK": _batch_axis,
    "PAD": _pad,
    "PRELU": _prelu,
    "REDUCE_MAX": _reduction,
    "REDUCE_MIN": _reduction,
    "RESIZE_BILINEAR": _resize_bilinear,
    "SOFTMAX": _softmax,
    "SPLIT": _batch_axis,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "SUM": _reduction,
    "TRANSPOSE": _transpose,
}
"""What one operator asks for beyond the rules for all."""

RULES_BEFORE_13: dict[str, Rule] = {"MEAN": _plane_reduction, "PAD": _plane_padding}
"""What one operator asks for besides where the model must run on an Edge TPU runtime below 13."""
