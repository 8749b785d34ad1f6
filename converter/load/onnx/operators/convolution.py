"""Conv and ConvTranspose, one and two spatial axes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from converter.load.onnx.arrange import channels_last
from converter.load.onnx.node import Node
from converter.load.onnx.operators.windows import same_pads, window_pads, zero_pad
from converter.load.onnx.values import Constant, Operand, Tensor, Value


def convolution(node: Node, inputs: list[Operand | None]) -> Operand:
    """Conv: normal, depthwise, or in groups (a convolution each: TFLite's grouped CONV_2D v6 is too
    new for TPUs).
    """
    value = channels_last(node.given(inputs, 0))
    weights = node.constant(inputs[1], "weights").astype(np.float32)  # (out, in / groups, *kernel)
    bias = (
        node.constant(inputs[2], "a bias").astype(np.float32)
        if len(inputs) > 2 and inputs[2] is not None
        else None
    )
    dims = weights.ndim - 2
    if dims not in (1, 2) or value.rank != dims + 2:
        node.fail(f"expected 1 or 2 spatial axes, got weights {weights.shape} for an input {value.shape}")
    strides = tuple(node.get("strides", [1] * dims))
    dilations = tuple(node.get("dilations", [1] * dims))
    groups = int(node.get("group", 1))
    channels = value.shape[1]
    if weights.shape[1] * groups != channels:
        node.fail(f"expected weights for {channels} input channels, got {weights.shape} in {groups} groups")
    tensor, pads = value.tensor, window_pads(node, value.shape[2:], weights.shape[2:], strides, dilations)
    if dims == 1:
        # (N, L, C) as a picture of width 1; TPUs want equal dilations, and along one row any will do.
        tensor = tf.expand_dims(tensor, 2)
        weights = weights[..., None]
        strides, dilations, pads = strides * 2, dilations * 2, (*pads, (0, 0))
    sizes = tuple(int(size) for size in tensor.shape[1:3])
    padding = "SAME" if pads == same_pads(sizes, weights.shape[2:], strides, dilations) else "VALID"
    if padding == "VALID":
        tensor = zero_pad(tensor, pads)
    if strides[0] != strides[1] and groups > 1:
        node.fail(f"expected equal strides in a grouped convolution, got {strides}")
    result = _grouped(tensor, weights, groups, strides, dilations, padding)
    if bias is not None:
        result = tf.nn.bias_add(result, bias)
    return Value(tf.squeeze(result, 2) if dims == 1 else result, channels_last=True)


def _grouped(
    tensor: Tensor,
    weights: Constant,
    groups: int,
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    padding: str,
) -> Tensor:
    """weights: (out, in / groups, kh, kw)."""
    kernel = np.transpose(weights, (2, 3, 1, 0))  # (kh, kw, in / groups, out)
    if groups == 1:
        return tf.nn.conv2d(tensor, kernel, strides, padding, dilations=dilations)
    if weights.shape[1] == 1:
        multiplier = weights.shape[0] // groups
        depthwise = kernel.reshape(*kernel.shape[:2], groups, multiplier)
        return tf.nn.depthwise_conv2d(tensor, depthwise, (1, *strides, 1), padding, dilations=dilations)
    parts = zip(tf.split(tensor, groups, -1), np.split(kernel, groups, -1), strict=True)
    return tf.concat(
        [tf.nn.conv2d(part, own, strides, padding, dilations=dilations) for part, own in parts], -1
    )


def transposed_convolution(node: Node, inputs: list[Operand | None]) -> Operand:
    """ConvTranspose with two spatial axes and one group: TensorFlow's, cut by what ONNX' pads take away."""
    value = channels_last(node.given(inputs, 0))
    weights = node.constant(inputs[1], "weights").astype(np.float32)  # (in, out, kh, kw)
    if weights.ndim != 4 or node.get("group", 1) != 1 or tuple(node.get("dilations", [1, 1])) != (1, 1):
        node.fail("expected 2 spatial axes, 1 group and no dilation")
    strides = tuple(node.get("strides", [1, 1]))
    extra = tuple(node.get("output_padding", [0, 0]))
    full = [
        (size - 1) * stride + length
        for size, stride, length in zip(value.shape[2:], strides, weights.shape[2:], strict=True)
    ]
    auto_pad = node.get("auto_pad", "NOTSET")
    if auto_pad not in ("NOTSET", "VALID"):
        node.fail(f"expected explicit pads, got auto_pad {auto_pad}")
    pads = [0] * 4 if auto_pad == "VALID" else [int(pad) for pad in node.get("pads", [0] * 4)]
    if "output_shape" in node.attributes or any(
        pad < more for pad, more in zip(pads[2:], extra, strict=True)
    ):
        node.fail("expected pads that are not below output_padding, and no output_shape")
    kernel = np.transpose(weights, (2, 3, 1, 0))  # (kh, kw, out, in)
    shape = (1, *full, kernel.shape[2])
    result = tf.nn.conv2d_transpose(value.tensor, kernel, shape, strides, "VALID")
    ends = [length - after + more for length, after, more in zip(full, pads[2:], extra, strict=True)]
    result = result[:, pads[0] : ends[0], pads[1] : ends[1], :]
    if len(inputs) > 2 and inputs[2] is not None:
        result = result + node.constant(inputs[2], "a bias").astype(np.float32)
    return Value(result, channels_last=True)
