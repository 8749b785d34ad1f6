"""Convolutions along time as convolutions over a picture of width 1."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Tensor: TypeAlias = Any


def convolve_time(
    sequence: Tensor,
    kernel: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    stride: int,
    dilation: int,
    padding: str,
    groups: int = 1,
) -> Tensor:
    """Conv1D of (1, T, in) by (k, in / groups, out), as a CONV_2D over (1, T, 1, in).

    Both dilations are set though one row needs one: an Edge TPU takes equal dilations only.

    Args:
        padding: "valid", "same", or "causal" (k - 1 zeros before).
    """
    length, features = int(sequence.shape[1]), int(sequence.shape[2])
    picture = tf.reshape(sequence, [1, length, 1, features])
    if padding == "causal":
        picture = tf.pad(picture, [(0, 0), ((len(kernel) - 1) * dilation, 0), (0, 0), (0, 0)])
    mode = "SAME" if padding == "same" else "VALID"
    kernels = np.split(
        kernel[:, None].astype(np.float32), groups, axis=-1
    )  # (k, 1, in / groups, out / groups) each
    parts = tf.split(picture, groups, -1) if groups > 1 else [picture]
    done = [
        tf.nn.conv2d(part, own, stride, mode, dilations=[dilation, dilation])
        for part, own in zip(parts, kernels, strict=True)
    ]
    result = tf.concat(done, -1) if groups > 1 else done[0]
    if bias is not None:
        result = tf.nn.bias_add(result, bias.astype(np.float32))
    return tf.reshape(result, [1, int(result.shape[1]), int(result.shape[3])])
