"""Running a `.tflite` on ready inputs, float or integer, as real numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detect.interpreter import Interpreter
from agent.errors import DataError
from agent.records import FloatArray
from agent.vision.quantize import dequantize, quantize


class Runner:
    """One model, fed with real numbers by input name; recurrent states are carried when asked to.

    Args:
        path: of the `.tflite`.
        states: (output, input) names that carry a state from call to call.
        reset_before_invoke: the file keeps a state of its own that must not live between calls.
        runtime: see `Interpreter`.
        threads: of the CPU.
    """

    def __init__(
        self,
        path: Path,
        *,
        states: tuple[tuple[str, str], ...] = (),
        reset_before_invoke: bool = False,
        runtime: str = "auto",
        threads: int = 2,
    ) -> None:
        self.path = path
        self.interpreter = Interpreter(path, runtime=runtime, threads=threads)
        self.inputs, self.outputs = self.interpreter.inputs, self.interpreter.outputs
        self._states = states
        self._reset = reset_before_invoke
        self._left: dict[str, NDArray[Any]] = {}

    def codes(self, sample: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run one sample; outputs as the file gives them, copied.

        Args:
            sample: real numbers by input name; "" stands for the only input that is no state.

        Raises:
            DataError: an input has another number of elements.
        """
        for index, tensor in enumerate(self.inputs):
            value = sample.get(tensor.name, sample.get("") if not self._is_state(tensor.name) else None)
            if tensor.name in self._left:
                value = self._left[tensor.name]
            if value is None:
                value = np.zeros(tensor.shape, np.float32)
            if np.size(value) != np.prod(tensor.shape):
                raise DataError(
                    f"{self.path.name} input {tensor.name}",
                    f"expected shape {tensor.shape}, got {np.shape(value)}",
                )
            self.interpreter.input_view(index)[...] = quantize(
                np.asarray(value, np.float32).reshape(tensor.shape), tensor
            )
        if self._reset:
            self.interpreter.reset_states()
        self.interpreter.invoke()
        results = [np.array(self.interpreter.output(index)) for index in range(len(self.outputs))]
        by_name = {tensor.name: index for index, tensor in enumerate(self.outputs)}
        self._left = {
            name: dequantize(results[by_name[out]], self.outputs[by_name[out]]) for out, name in self._states
        }
        return results

    def __call__(self, sample: Mapping[str, NDArray[Any]]) -> list[FloatArray]:
        """Run one sample; outputs as real numbers, copied."""
        return [
            dequantize(codes, tensor) for codes, tensor in zip(self.codes(sample), self.outputs, strict=True)
        ]

    def _is_state(self, name: str) -> bool:
        return any(name == own for _, own in self._states)

    def forget(self) -> None:
        """Begin a new sequence: states are zero again."""
        self._left = {}
