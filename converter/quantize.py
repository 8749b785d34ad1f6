"""From a float `.tflite` with its ranges written in to full-integer int8. Runs in the worker.

TensorFlow's quantiser is used without its calibrator: ranges come from `converter.observe`, so that they can
be looked at, clipped and compared, and quantising again with other ranges costs a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from converter.tflite_edit.edit import named

IntegerType = Literal["int8", "uint8"]
OutputType = Literal["int8", "uint8", "float32"]


def quantize(
    content: bytes,
    inputs: Sequence[str],
    outputs: Sequence[str],
    input_type: IntegerType = "int8",
    output_type: OutputType = "int8",
    float_operators: Sequence[str] = (),
) -> bytes:
    """Quantise weights per channel and activations per tensor.

    Dense layers are quantised per tensor: newer TensorFlow does it per channel, but leaves the operator at a
    version that older runtimes accept and compute garbage with (top-1 agreement 0.19 on TFLite 2.7).

    Args:
        content: float `.tflite`; every activation has its range (`EditableModel.set_ranges`).
        inputs, outputs: names for the result's tensors, in the file's order.
        input_type: of all inputs.
        output_type: of all outputs.
        float_operators: operators to leave in float, by the name of a tensor that they write.

    Returns:
        The file's bytes, the same for the same arguments.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.util import modify_model_io_type

    quantized = mlir_quantize(
        content,
        fully_quantize=not float_operators,
        disable_per_channel_for_dense_layers=True,
        denylisted_nodes=set(float_operators) or None,
    )
    types = {"int8": tf.int8, "uint8": tf.uint8, "float32": tf.float32}
    try:
        quantized = modify_model_io_type(quantized, types[input_type], types[output_type])
    except ValueError:
        if not float_operators:
            raise
        # Outputs that come from a float operator stay float; the ModelSpec's reader finds that in the file.
        quantized = modify_model_io_type(quantized, types[input_type], tf.float32)
    return named(quantized, inputs, outputs)
