"""A detection model behind the detector's three phases."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detect.detector import AreaFilter, Prepared
from agent.detect.device_status import DeviceStatus, OnDevice
from agent.detect.runner import Runner
from agent.detect.settings import DetectorSettings
from agent.detect.sharing import ModelPool
from agent.errors import ConfigError, EdgetrackError, ModelError
from agent.records import Detections, Frame
from agent.vision.decode.decoder import Decoder
from agent.vision.infer_spec import read_spec_or_infer
from agent.vision.labels import read_labels
from agent.vision.letterbox import Letterbox
from agent.vision.model_spec import ModelSpec
from agent.vision.quantize import quantize


class TfliteDetector:
    """A detector model.

    Args:
        settings: of kind tflite.
        on_device: told when an Edge TPU is lost and when it is back; without it that is logged.
        models: that other cameras' detectors use too; without it the model is this one's alone.

    Raises:
        ModelError: the model, its spec, its labels or the runtime do not fit.
    """

    def __init__(
        self,
        settings: DetectorSettings,
        on_device: OnDevice | None = None,
        models: ModelPool | None = None,
    ) -> None:
        if settings.model is None:
            raise ConfigError("detector.model", "expected the path of a .tflite file, got none")
        labels = read_labels(settings.labels_file) if settings.labels_file else ()
        self._use = (models or ModelPool()).open(settings, on_device)
        self.interpreter: Runner = self._use.runner
        """The loaded model, which other detectors may use too."""
        try:
            self._bind(settings, settings.model, labels)
        except EdgetrackError:
            self._use.close()
            raise
        if self.interpreter.stateful and not self.spec.reset_before_invoke:
            self._use.keep_alone()

    def _bind(self, settings: DetectorSettings, model: Path, labels: tuple[str, ...]) -> None:
        """Find the way from a picture to the model's input, and from its outputs to detections."""
        self.spec: ModelSpec = read_spec_or_infer(
            model,
            self.interpreter.inputs,
            self.interpreter.outputs,
            self._run_blank,
            spec=settings.spec,
            labels=labels,
        )
        self._decoder = Decoder(
            self.spec,
            self.interpreter.outputs,
            min_score=settings.min_score,
            min_score_by_label=settings.min_score_by_label,
            wanted=settings.labels,
            labels_source=str(settings.labels_file or ""),
        )
        self.labels = self._decoder.labels
        self.score_levels = self.spec.score_levels
        self._states = _bind_states(self.spec, self.interpreter)
        inputs = self.interpreter.inputs
        self._remembered = [
            np.zeros(inputs[target].shape, inputs[target].dtype) for _, target, _ in self._states
        ]
        self._input = _picture_index(self.spec, self.interpreter, {target for _, target, _ in self._states})
        if self.spec.input is None:
            raise ModelError(self.spec.name, "expected `input` in the ModelSpec of a detector, got none")
        self._letterbox = Letterbox(self.spec.input, self.interpreter.inputs[self._input])
        self.input_size = (self.spec.input.width, self.spec.input.height)
        """(width, height) of the model's input in px."""
        self._area = AreaFilter(settings.min_area, settings.max_area)
        # Buffers that wait for their next frame. There are as many as were ever under way at once; a frame
        # that is dropped between phases takes its own with it.
        self._free: deque[tuple[NDArray[Any], list[NDArray[Any]]]] = deque()
        self.reset()

    @property
    def device_status(self) -> DeviceStatus | None:
        """The last report of the device; None where the model runs in this process."""
        return self.interpreter.status

    def prepare(self, frame: Frame) -> Prepared:
        """Letterbox a frame into a buffer of its own; may run beside `invoke` and `decode`."""
        prepared = Prepared(frame.size, frame.time_s)
        try:
            prepared.input, prepared.outputs = self._free.popleft()
        except IndexError:
            prepared.input = self._letterbox.new_buffer()
            prepared.outputs = [np.zeros(output.shape, output.dtype) for output in self.interpreter.outputs]
        prepared.placement = self._letterbox(frame.image, prepared.input)
        return prepared

    def invoke(self, prepared: Prepared) -> None:
        """Run the model, once it is this detector's turn, and keep its outputs with the frame.

        Raises:
            ModelError: the runtime or the device failed.
        """
        interpreter = self.interpreter
        if prepared.input is None:
            raise ValueError("prepared: expected a frame from prepare(), got one that was decoded already")
        with self._use.turn:
            np.copyto(interpreter.input_view(self._input), prepared.input)
            for (_, target, _), state in zip(self._states, self._remembered, strict=True):
                np.copyto(interpreter.input_view(target), state)
            if self.spec.reset_before_invoke:
                interpreter.reset_states()
            interpreter.invoke()
            for index, copy in enumerate(prepared.outputs):
                np.copyto(copy, interpreter.output(index))
        for (source, _, _), state in zip(self._states, self._remembered, strict=True):
            np.copyto(state, prepared.outputs[source])

    def decode(self, prepared: Prepared) -> Detections:
        """Read the detections; the frame's buffers go back to where `prepare` takes them."""
        if prepared.input is None or prepared.placement is None:
            raise ValueError("prepared: expected a frame from prepare(), got one that was decoded already")
        found = self._decoder(prepared.outputs)
        self._free.append((prepared.input, prepared.outputs))
        prepared.input = None
        prepared.outputs = []
        boxes = prepared.placement.to_frame(found.boxes)
        return self._area(Detections(boxes, found.scores, found.labels), prepared.frame_size)

    def detect(self, frame: Frame) -> Detections:
        """All three phases."""
        prepared = self.prepare(frame)
        self.invoke(prepared)
        return self.decode(prepared)

    def time_invoke_s(self, count: int) -> float:
        """Seconds of one invocation and no more, on what the inputs hold, while all other users wait.

        Raises:
            ModelError: the runtime or the device failed.
        """
        with self._use.turn:
            started_s = time.perf_counter()
            for _ in range(count):
                self.interpreter.invoke()
            return (time.perf_counter() - started_s) / count

    def reset(self) -> None:
        """Forget what a recurrent model remembers of earlier frames."""
        with self._use.turn:
            self.interpreter.reset_states()
        for (_, _, initial), state in zip(self._states, self._remembered, strict=True):
            state[...] = initial

    def close(self) -> None:
        """Give back the model, and with its last user the device and its process."""
        self._use.close()

    def _run_blank(self) -> Sequence[NDArray[Any]]:
        """Outputs for an input of zeros."""
        interpreter = self.interpreter
        with self._use.turn:
            for index, tensor in enumerate(interpreter.inputs):
                interpreter.input_view(index)[...] = tensor.zero_point
            interpreter.invoke()
            return [interpreter.output(index).copy() for index in range(len(interpreter.outputs))]


def _bind_states(spec: ModelSpec, interpreter: Runner) -> list[tuple[int, int, Any]]:
    """Of each state: the output it comes from, the input it goes to, and the code it starts with.

    Raises:
        ModelError: a tensor is missing, or the two differ in shape, dtype or quantisation.
    """
    outputs = {tensor.name: index for index, tensor in enumerate(interpreter.outputs)}
    inputs = {tensor.name: index for index, tensor in enumerate(interpreter.inputs)}
    bound = []
    for state in spec.states:
        if state.output not in outputs or state.input not in inputs:
            problem = f"expected output {state.output!r} and input {state.input!r}"
            raise ModelError(spec.name, f"{problem}, the file holds {list(outputs)} and {list(inputs)}")
        source = interpreter.outputs[outputs[state.output]]
        target = interpreter.inputs[inputs[state.input]]
        if (source.shape, source.dtype, source.scale, source.zero_point) != (
            target.shape,
            target.dtype,
            target.scale,
            target.zero_point,
        ):
            problem = f"expected a state's output and input to be alike, got {source} and {target}"
            raise ModelError(spec.name, problem, "convert the model again with equal quantisation for both")
        initial = quantize(np.array(state.initial), target).item()
        bound.append((outputs[state.output], inputs[state.input], initial))
    return bound


def _picture_index(spec: ModelSpec, interpreter: Runner, states: set[int]) -> int:
    """Position of the input that takes the picture.

    Raises:
        ModelError: the spec's name is none of the file's, or it names none and there are several.
    """
    name = spec.input.name if spec.input else None
    found = [
        index
        for index, tensor in enumerate(interpreter.inputs)
        if index not in states and name in (None, tensor.name)
    ]
    if len(found) != 1:
        names = [tensor.name for tensor in interpreter.inputs]
        raise ModelError(
            spec.name, f"expected one input named {name or 'in the ModelSpec'}, the file holds {names}"
        )
    return found[0]
