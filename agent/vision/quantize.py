"""Integers and the real numbers they stand for: real = scale · (code - zero_point).

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, eq. 1; the TFLite quantisation specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.records import FloatArray


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a model file says of one of its inputs or outputs.

    Args:
        name: the tensor's name in the file.
        shape: with the batch axis.
        dtype: float32, int8, uint8, …
        scale: step of one code; 0 when the tensor is not quantised.
        zero_point: code of 0.0.
        producer: (operator, position among that operator's outputs) which writes the tensor, e.g.
            ("TFLite_Detection_PostProcess", 2); ("", 0) where it is not known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0
    producer: tuple[str, int] = ("", 0)

    @property
    def quantized(self) -> bool:
        """True when the tensor holds codes."""
        return self.scale > 0.0

    def __str__(self) -> str:
        return f"{self.name} {self.dtype.name} {self.shape}"


def quantize(values: NDArray[Any], tensor: TensorInfo) -> NDArray[Any]:
    """Real numbers as codes of the tensor, rounded half to even and clipped to its dtype.

    Args:
        values: any shape, real numbers.
        tensor: not quantised: the numbers only change their dtype.
    """
    if not tensor.quantized:
        return values.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    codes = np.rint(values / tensor.scale) + tensor.zero_point
    clipped: NDArray[Any] = np.clip(codes, limits.min, limits.max).astype(tensor.dtype)
    return clipped


def dequantize(codes: NDArray[Any], tensor: TensorInfo) -> FloatArray:
    """The real numbers, float32, that codes of the tensor stand for; those of a float tensor as they are."""
    if not tensor.quantized:
        return codes.astype(np.float32, copy=False)
    # Exact: a difference of two codes fits float32, so only the product is rounded.
    return (codes.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)


def min_code(min_value: float, tensor: TensorInfo) -> float:
    """The smallest number in the tensor's own domain that stands for at least `min_value`.

    So that `array >= min_code(...)` is `dequantize(array) >= min_value` without dequantising. The result
    may lie outside the dtype when no code, or every code, reaches `min_value`; see `at_least`.
    """
    if not tensor.quantized:
        return min_value
    wanted = np.float32(min_value)
    code = float(np.ceil(float(wanted) / tensor.scale)) + tensor.zero_point
    # Division and multiplication round differently: of the neighbours, the dequantised value decides.
    for nearby in (code - 1, code):
        if np.float32(nearby - tensor.zero_point) * np.float32(tensor.scale) >= wanted:
            return nearby
    return code + 1


def at_least(codes: NDArray[Any], min_value: float, tensor: TensorInfo) -> NDArray[np.bool_]:
    """Where the codes stand for `min_value` or more; compared as integers, nothing is dequantised."""
    bound = min_code(min_value, tensor)
    if not tensor.quantized:
        return np.asarray(codes >= np.float32(bound))
    limits = np.iinfo(tensor.dtype)
    if bound > limits.max:
        return np.zeros(codes.shape, np.bool_)
    # A bound of the array's own dtype keeps NumPy 1 and 2 from widening the array.
    return np.asarray(codes >= np.array(max(bound, limits.min), dtype=tensor.dtype))


def pixel_codes(
    mean: tuple[float, ...], std: tuple[float, ...], channels: int, tensor: TensorInfo
) -> NDArray[Any]:
    """What each of the 256 pixel values enters the model as: (pixel - mean) / std, quantised.

    Args:
        mean, std: one number, or one per channel in the model's channel order.
        channels: of the model's input.
        tensor: the input; uint8, int8 or a float type.

    Returns:
        (256, channels) in the tensor's dtype.
    """
    pixels = np.arange(256, dtype=np.float64)[:, None]
    real = np.broadcast_to((pixels - np.asarray(mean)) / np.asarray(std), (256, channels))
    return quantize(real, tensor)
