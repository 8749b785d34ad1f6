"""A `.tflite` network over the last moments of many tracks, which lie side by side in one invocation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.vision.quantize import TensorInfo

Float64Array: TypeAlias = NDArray[np.float64]
_INT8, _FLOAT = np.dtype(np.int8), np.dtype(np.float32)


class Interpreter(Protocol):
    """What runs a `.tflite` file; `agent.detect.interpreter.Interpreter` is one."""

    @property
    def inputs(self) -> Sequence[TensorInfo]: ...
    @property
    def outputs(self) -> Sequence[TensorInfo]: ...
    def input_view(self, index: int) -> NDArray[Any]: ...
    def output(self, index: int) -> NDArray[Any]: ...
    def invoke(self) -> None: ...


class SequenceModel:
    """Runs any number of tracks through a network of a fixed batch.

    Args:
        interpreter: of a model with one int8 or float32 input (1, steps, B, features) and one output
            (1, 1, B, results); B tracks lie side by side like pixels, which suits the Edge TPU.
        name: for messages.
        steps, features: of a track, oldest step first.
        results: numbers per track.
        advice: what to do about a model that does not fit.

    Raises:
        ModelError: the model is of another shape or type.
    """

    def __init__(
        self, interpreter: Interpreter, name: str, steps: int, features: int, results: int, advice: str
    ) -> None:
        source, target = interpreter.inputs[0], interpreter.outputs[0]
        batch = source.shape[2] if len(source.shape) == 4 else 0
        expected = (1, steps, batch, features), (1, 1, batch, results)
        if batch < 1 or (tuple(source.shape), tuple(target.shape)) != expected:
            raise ModelError(
                name,
                f"expected (1, {steps}, B, {features}) to (1, 1, B, {results}), "
                f"got {tuple(source.shape)} to {tuple(target.shape)}",
                advice,
            )
        for tensor in (source, target):
            if np.dtype(tensor.dtype) not in (_INT8, _FLOAT):
                raise ModelError(name, f"expected int8 or float32, got {tensor.dtype}", advice)
        self._interpreter = interpreter
        self._batch, self._results = batch, results
        self._source, self._target = source, target

    def __call__(self, features: Float64Array) -> Float64Array:
        """Results of all tracks.

        Args:
            features: (N, steps, features), N may be 0.

        Returns:
            (N, results).
        """
        found = np.empty((len(features), self._results))
        for start in range(0, len(features), self._batch):
            part = features[start : start + self._batch]
            values = part.transpose(1, 0, 2)
            if self._source.dtype == _INT8:
                values = np.rint(values / self._source.scale) + self._source.zero_point
                values = np.clip(values, -128, 127)
            # The view is not kept: a runtime refuses to run while anyone holds one.
            self._interpreter.input_view(0)[0, :, : len(part)] = values
            self._interpreter.invoke()
            output = self._interpreter.output(0)[0, 0, : len(part)].astype(np.float64)
            if self._target.dtype == _INT8:
                output = (output - self._target.zero_point) * self._target.scale
            found[start : start + len(part)] = output
        return found
