"""A TensorFlow SavedModel as a float `.tflite`. Runs in the worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from agent.errors import ModelError
from converter.load.float_model import FloatInputs, FloatModel, Loaded, LoadOptions, bound, shaped
from converter.load.saved_model_check import check_saved_model
from converter.load.to_tflite import function_to_tflite


def load_saved_model(path: Path, options: LoadOptions, samples: Sequence[FloatInputs]) -> Loaded:
    """Convert a SavedModel's `serving_default` signature.

    Raises:
        ModelError: it cannot be read, does more than compute, has no such signature, or holds operators that
            TFLite has not.
    """
    check_saved_model(path)
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            str(path), f"expected a SavedModel, got: {first[:240]}", "export it again"
        ) from error
    signatures = dict(loaded.signatures)
    if "serving_default" not in signatures:
        known = ", ".join(signatures) or "none"
        raise ModelError(
            str(path), f"expected a signature serving_default, got {known}", "export it with model.export()"
        )
    signature = signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    names, outputs = sorted(specs), sorted(signature.structured_outputs)
    shapes = []
    for name in names:
        spec = specs[name]
        if spec.dtype != tf.float32:
            raise ModelError(
                f"{path} input {name}",
                f"expected float32, got {spec.dtype.name}",
                "export without preprocessing",
            )
        shape = [None] if spec.shape.rank is None else [1, *spec.shape.as_list()[1:]]
        shape = list(options.input_shapes.get(name, shape))
        if len(shape) == 4 and options.image_size is not None:
            shape[1:3] = [size or own for size, own in zip(shape[1:3], options.image_size, strict=True)]
        if None in shape:
            raise ModelError(
                f"{path} input {name}",
                f"expected a static shape, got {shape}",
                "give width and height with --spec",
            )
        shapes.append([int(size) for size in shape if size is not None])

    def forward(*tensors: Any) -> list[Any]:
        result = signature(**dict(zip(names, tensors, strict=True)))
        return [tf.ensure_shape(result[name], result[name].shape) for name in outputs]

    expected = []
    for sample in samples:
        named = bound(sample, names, str(path))
        given = [
            tf.constant(shaped(named[name], shape, f"{path} input {name}"))
            for name, shape in zip(names, shapes, strict=True)
        ]
        result = signature(**dict(zip(names, given, strict=True)))
        expected.append(tuple(result[name].numpy() for name in outputs))
    content = function_to_tflite(forward, shapes, names, outputs, str(path))
    return Loaded(FloatModel(content, tuple(names), tuple(outputs), "SavedModel"), tuple(expected))
