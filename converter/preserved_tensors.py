"""Running a `.tflite` file operator by operator, with every intermediate tensor kept for reading.

XNNPACK and the arena both throw intermediate tensors away, so this runs TFLite's plain kernels: slower than
what a device runs, and equal to it up to one code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.records import FloatArray
from converter.tflite_model.reader import read_tflite
from converter.tflite_model.structure import INTEGER_CODES, Tensor


class PreservedTensors:
    """A loaded model whose tensors can all be read after a run.

    Args:
        path: a `.tflite` file.

    Raises:
        DataError: the file is no readable TFLite model.
        ModelError: the runtime refuses it.
    """

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.model = read_tflite(path)
        try:
            self._native = Interpreter(
                model_path=str(path),
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._native.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                str(path), f"expected a model that LiteRT runs, got: {_first_line(error)}"
            ) from error
        graph = self.model.main
        self.inputs = [graph.tensors[i] for i in graph.inputs]

    def run(self, values: Sequence[FloatArray]) -> None:
        """Run the model once, from a fresh state.

        Args:
            values: one array per model input, in its order, real values; they are quantised as the file says.

        Raises:
            ModelError: an array does not fit its input, or the model fails.
        """
        where = str(self.model.path)
        if len(values) != len(self.inputs):
            raise ModelError(where, f"expected {len(self.inputs)} inputs, got {len(values)}")
        try:
            self._native.reset_all_variables()
            for tensor, value in zip(self.inputs, values, strict=True):
                self._native.set_tensor(tensor.index, to_codes(value, tensor))
            self._native.invoke()
        except (ValueError, RuntimeError) as error:
            raise ModelError(where, f"expected a run, got: {_first_line(error)}") from error

    def read(self, tensor: Tensor) -> NDArray[Any] | None:
        """The content of a tensor after a run, as stored; None where the runtime kept none."""
        try:
            value: NDArray[Any] = self._native.get_tensor(tensor.index)
        except ValueError:
            return None
        return value


def to_codes(value: FloatArray, tensor: Tensor) -> NDArray[Any]:
    """Real values as an input tensor takes them: quantised where it is, and with its shape.

    A picture in NHWC is turned for a model that wants NCHW, and the other way round.
    """
    fitted = fit_layout(np.asarray(value, np.float32), tensor.shape)
    codes = INTEGER_CODES.get(tensor.dtype)
    if codes is None or tensor.quantization is None:
        return fitted.astype(tensor.dtype)
    scale, zero = tensor.quantization.scales[0], tensor.quantization.zero_points[0]
    result: NDArray[Any] = np.clip(np.rint(fitted / scale) + zero, *codes).astype(tensor.dtype)
    return result


def to_values(content: NDArray[Any], tensor: Tensor) -> FloatArray:
    """A tensor's content as real values, float32."""
    if tensor.quantization is None or tensor.is_float:
        return content.astype(np.float32)
    scale, zero = tensor.quantization.scales[0], tensor.quantization.zero_points[0]
    return (content.astype(np.float32) - np.float32(zero)) * np.float32(scale)


def fit_layout(value: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`value` with another shape of as many elements: channels moved last or first, or else reshaped."""
    if value.shape == shape:
        return value
    orders = {4: ((0, 2, 3, 1), (0, 3, 1, 2)), 3: ((0, 2, 1),)}
    if value.ndim == len(shape):
        for order in orders.get(value.ndim, ()):
            if tuple(value.shape[i] for i in order) == shape:
                return value.transpose(order)
    return value.reshape(shape)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
