"""Convolutions over (depth, height, width) as convolutions over pictures whose channels hold the frames.

Folded, (1, D, H, W, C) is (1, H, W, D·C): channel d·C + c holds channel c of frame d. A Conv3D is then one
Conv2D whose weights are zero where input and output frame lie too far apart: exact, and within what int8 and
Edge TPUs know. CONV_3D itself stays in floating point whatever the converter is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Tensor: TypeAlias = Any


def fold(volume: Tensor, frames: int, size: tuple[int, int], channels: int) -> Tensor:
    """(1, D, H, W·C), the input's memory as it is, to (1, H, W, D·C), by SPLIT, RESHAPE and CONCATENATION."""
    parts = tf.split(volume, frames, axis=1) if frames > 1 else [volume]
    pictures = [tf.reshape(part, [1, *size, channels]) for part in parts]
    return tf.concat(pictures, -1) if frames > 1 else pictures[0]


def unfold(folded: Tensor, frames: int) -> list[Tensor]:
    """The frames, (1, H, W, C) each."""
    return tf.split(folded, frames, axis=-1) if frames > 1 else [folded]


def flatten(folded: Tensor, frames: int) -> Tensor:
    """(1, D·H·W·C) in the order that Flatten gives (1, D, H, W, C)."""
    flat = [tf.reshape(frame, [1, -1]) for frame in unfold(folded, frames)]
    return tf.concat(flat, -1) if frames > 1 else flat[0]


def convolve_volume(
    folded: Tensor, kernel: NDArray[np.float32], bias: NDArray[np.float32] | None, frames: int,
    strides: Sequence[int], dilations: Sequence[int], padding: str,
) -> tuple[Tensor, int]:  # fmt: skip
    """Conv3D of a folded volume.

    Args:
        kernel: (kd, kh, kw, in, out).
        frames: D of the input.
        strides, dilations: (d, h, w).
        padding: "valid" or "same".

    Returns:
        The folded result and its number of frames.
    """
    depth, height, width, channels, filters = kernel.shape
    before, out_frames = _window(frames, depth, strides[0], dilations[0], padding)
    banded = np.zeros((height, width, frames, channels, out_frames, filters), np.float32)
    for out_frame in range(out_frames):
        for tap in range(depth):
            frame = out_frame * strides[0] - before + tap * dilations[0]
            if 0 <= frame < frames:
                banded[:, :, frame, :, out_frame, :] = kernel[tap]
    weights = banded.reshape(height, width, frames * channels, out_frames * filters)
    result = tf.nn.conv2d(folded, weights, strides[1:], padding.upper(), dilations=dilations[1:])
    if bias is not None:
        result = tf.nn.bias_add(result, np.tile(bias, out_frames).astype(np.float32))
    return result, out_frames


def pool_volume(
    folded: Tensor, frames: int, window: Sequence[int], strides: Sequence[int], padding: str, kind: str
) -> tuple[Tensor, int]:
    """MaxPooling3D or AveragePooling3D (`kind` "max" or "average"): over each frame, then across frames."""
    before, out_frames = _window(frames, window[0], strides[0], 1, padding)
    pool: Callable[..., Tensor] = tf.nn.max_pool2d if kind == "max" else tf.nn.avg_pool2d
    pooled = unfold(pool(folded, window[1:], strides[1:], padding.upper()), frames)
    result = []
    for out_frame in range(out_frames):
        first = out_frame * strides[0] - before
        group = pooled[max(first, 0) : first + window[0]]
        if kind == "max":
            result.append(reduce(tf.maximum, group))
        else:
            result.append(reduce(tf.add, group) * np.float32(1 / len(group)) if len(group) > 1 else group[0])
    return (tf.concat(result, -1) if len(result) > 1 else result[0]), out_frames


def global_pool_volume(folded: Tensor, frames: int, kind: str) -> Tensor:
    """GlobalMaxPooling3D or GlobalAveragePooling3D: (1, C)."""
    height, width = int(folded.shape[1]), int(folded.shape[2])
    pool: Callable[..., Tensor] = tf.nn.max_pool2d if kind == "max" else tf.nn.avg_pool2d
    pooled, _ = pool_volume(
        pool(folded, (height, width), 1, "VALID"), frames, (frames, 1, 1), (1, 1, 1), "valid", kind
    )
    return tf.reshape(pooled, [1, -1])


def _window(size: int, length: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """(padding before, number of windows) along one axis, as TensorFlow counts them."""
    reach = (length - 1) * dilation + 1
    if padding == "valid":
        return 0, (size - reach) // stride + 1
    count = -(-size // stride)
    return max((count - 1) * stride + reach - size, 0) // 2, count
