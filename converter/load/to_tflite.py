"""A traced TensorFlow function as a float `.tflite`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from agent.errors import ModelError
from converter.tflite_edit.edit import EditableModel, named


def function_to_tflite(
    function: Callable[..., Sequence[Any]],
    shapes: Sequence[Sequence[int]],
    inputs: Sequence[str],
    outputs: Sequence[str],
    where: str,
) -> bytes:
    """Trace a function with static shapes and convert it.

    Batch 1 in a concrete function: with a free batch every shape in the file is dynamic, and neither the
    quantiser nor an Edge TPU can do much with it.

    Args:
        function: tensors to tensors; called once.
        shapes: of each input, batch included.
        inputs, outputs: names for the file's tensors.
        where: for messages.

    Raises:
        ModelError: an operator of it does not exist in TFLite.
    """
    signature = [tf.TensorSpec(shape, tf.float32, name=f"input_{i}") for i, shape in enumerate(shapes)]
    holder = tf.Module()
    holder.function = tf.function(function, input_signature=signature, autograph=False)
    concrete = holder.function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], holder)
    try:
        content = converter.convert()
    except ConverterError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        cause = next(
            (line for line in lines if "op is" in line or "Op" in line), lines[0] if lines else "no reason"
        )
        raise ModelError(
            where, f"expected operators that TFLite has, got: {cause[:300]}", "replace that layer"
        ) from error
    return named(_in_order(content), inputs, outputs)


def _in_order(content: bytes) -> bytes:
    """Inputs and outputs by number; TensorFlow sorts their names, so that output_10 comes before output_2."""
    edited = EditableModel(content)
    for signature in edited.model.signatureDefs or []:
        for entries, tensors in (
            (signature.inputs, edited.graph.inputs),
            (signature.outputs, edited.graph.outputs),
        ):
            if len(entries) == len(tensors):
                ordered = sorted(entries, key=lambda entry: int(entry.name.decode().rsplit("_", 1)[1]))
                tensors[:] = [int(entry.tensorIndex) for entry in ordered]
    return edited.content()
