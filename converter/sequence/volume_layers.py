"""Keras layers on (D, H, W, C) volumes, exchanged for their folded twins; see `converter.sequence.volume`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from agent.errors import ModelError
from converter.sequence import volume

Layer: TypeAlias = Any
Shape: TypeAlias = tuple[int, ...]

_ELEMENTWISE = frozenset(
    {
        "Activation",
        "ReLU",
        "LeakyReLU",
        "ELU",
        "Dropout",
        "SpatialDropout3D",
        "GaussianNoise",
        "GaussianDropout",
        "Add",
        "Multiply",
        "Subtract",
        "Maximum",
        "Minimum",
        "Average",
        "Rescaling",
    }
)


def fold_volumes(layers: Sequence[Layer], where: str) -> None:
    """Exchange the `call` of every layer that sees a volume; the first one folds what comes in.

    Raises:
        ModelError: a layer on volumes has no folded twin; it is named.
    """
    for layer in layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        shape = _shape(layer.input)
        if len(shape) != 5:
            continue
        if None in shape[1:]:
            raise ModelError(
                f"{where} layer {layer.name}",
                f"expected a fixed volume, got {shape}",
                "build it with a fixed Input",
            )
        layer.input_spec = None
        if kind in _TWINS:
            layer.call = _folding(_TWINS[kind](layer, shape), shape)
        elif kind not in _ELEMENTWISE:
            known = ", ".join(sorted([*_TWINS, *_ELEMENTWISE]))
            raise ModelError(
                f"{where} layer {layer.name}",
                f"expected {known} on volumes, got {kind}",
                "replace that layer",
            )


def _folding(call: Callable[..., Any], shape: Shape) -> Callable[..., Any]:
    """A twin that also takes the volume as it enters the model."""
    _, frames, height, width, channels = shape

    def folding(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if len(inputs.shape) == 5:
            rows = tf.reshape(inputs, [1, frames, height, width * channels])
            inputs = volume.fold(rows, frames, (height, width), channels)
        return call(inputs)

    return folding


def _shape(tensors: Any) -> tuple[Any, ...]:
    return tuple((tensors[0] if isinstance(tensors, list | tuple) else tensors).shape)


def _triple(value: Any) -> tuple[int, int, int]:
    a, b, c = (value, value, value) if isinstance(value, int) else value
    return int(a), int(b), int(c)


def _convolution(layer: Layer, shape: Shape) -> Callable[..., Any]:
    kernel = np.asarray(layer.kernel.numpy(), np.float32)
    bias = None if layer.bias is None else np.asarray(layer.bias.numpy(), np.float32)
    if int(layer.groups) != 1 or layer.data_format != "channels_last":
        raise ModelError(f"layer {layer.name}", "expected one group and channels last", "rebuild it so")

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        result, _ = volume.convolve_volume(
            inputs,
            kernel,
            bias,
            shape[1],
            _triple(layer.strides),
            _triple(layer.dilation_rate),
            layer.padding,
        )
        return layer.activation(result) if layer.activation is not None else result

    return call


def _pool(kind: str) -> Callable[[Layer, Shape], Callable[..., Any]]:
    def twin(layer: Layer, shape: Shape) -> Callable[..., Any]:
        def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            window, strides = _triple(layer.pool_size), _triple(layer.strides or layer.pool_size)
            return volume.pool_volume(inputs, shape[1], window, strides, layer.padding, kind)[0]

        return call

    return twin


def _global_pool(kind: str) -> Callable[[Layer, Shape], Callable[..., Any]]:
    def twin(layer: Layer, shape: Shape) -> Callable[..., Any]:
        def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            result = volume.global_pool_volume(inputs, shape[1], kind)
            return tf.reshape(result, [1, 1, 1, 1, -1]) if layer.keepdims else result

        return call

    return twin


def _flatten(layer: Layer, shape: Shape) -> Callable[..., Any]:
    return lambda inputs, *args, **kwargs: volume.flatten(inputs, shape[1])


def _batch_normalization(layer: Layer, shape: Shape) -> Callable[..., Any]:
    variance, mean = np.asarray(layer.moving_variance.numpy()), np.asarray(layer.moving_mean.numpy())
    factor = 1.0 / np.sqrt(variance + layer.epsilon)
    factor = factor * np.asarray(layer.gamma.numpy()) if layer.gamma is not None else factor
    shift = (np.asarray(layer.beta.numpy()) if layer.beta is not None else 0.0) - mean * factor
    factors, shifts = (np.tile(row, shape[1]).astype(np.float32) for row in (factor, shift))
    return lambda inputs, *args, **kwargs: inputs * factors + shifts


_TWINS: dict[str, Callable[[Layer, Shape], Callable[..., Any]]] = {
    "Conv3D": _convolution,
    "MaxPooling3D": _pool("max"),
    "AveragePooling3D": _pool("average"),
    "GlobalMaxPooling3D": _global_pool("max"),
    "GlobalAveragePooling3D": _global_pool("average"),
    "Flatten": _flatten,
    "BatchNormalization": _batch_normalization,
}
