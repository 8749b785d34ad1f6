"""One float model and the int8 files that are made of it with different means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.vision.model_spec import ModelSpec
from converter.calibration.samples import Samples
from converter.load.float_model import FloatInputs, FloatModel
from converter.observe import Activation, feed, observe, run_float
from converter.quantize import IntegerType, OutputType
from converter.ranges import RangeMethod, choose_ranges, join_ranges, limit_ranges
from converter.runtime_check import check_loads
from converter.tflite_edit.activations import logistic_limits
from converter.tflite_edit.dense_rows import with_rows_as_pictures
from converter.tflite_edit.edit import EditableModel
from converter.tflite_edit.scale_ratios import widened
from converter.tflite_edit.silu import silu_limits
from converter.worker import Worker

_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")

Progress = Callable[[str, int, int], None]
"""(stage, done, of)."""


@dataclass(frozen=True)
class Build:
    """How an int8 file is made.

    Args:
        method: name of the range method.
        ranges: of each activation.
        float_operators: left in float, by the name of a tensor that they write.
    """

    method: str
    ranges: RangeMethod
    float_operators: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """By activation tensor, one number per channel."""

    low: dict[int, NDArray[np.float64]]
    high: dict[int, NDArray[np.float64]]
    mean: dict[int, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class State:
    """A float content, its activations and their limits."""

    content: bytes
    observed: dict[int, Activation]
    limits: dict[int, tuple[float, float]]


class Engine:
    """Quantises one float model; each way costs well under a second once the activations are observed.

    Args:
        model: float, its outputs as they shall be.
        spec: of the bundle; names states and output roles.
        samples: for calibration.
        worker: that runs TensorFlow.
        folder: for files.
        source: the model's path, for messages.
        input_type, output_type: of the int8 files.
        progress: see `Progress`.
    """

    def __init__(
        self,
        model: FloatModel,
        spec: ModelSpec,
        samples: Samples,
        worker: Worker,
        folder: Path,
        source: Path,
        input_type: IntegerType = "int8",
        output_type: OutputType = "int8",
        progress: Progress | None = None,
    ) -> None:
        self.model, self.spec, self.folder, self.source = model, spec, folder, source
        self._samples, self._worker, self._progress = samples, worker, progress
        self._types = input_type, output_type
        self._count = 0
        self.content = with_rows_as_pictures(model.content)
        self._observed: dict[int, Activation] | None = None
        edited = EditableModel(self.content)
        self.limits: dict[int, tuple[float, float]] = {**logistic_limits(edited), **silu_limits(edited)}
        """Bounds of single activations beyond which nothing depends on their value."""
        self.float_path = folder / "float.tflite"
        self.float_path.write_bytes(model.content)

    @property
    def activations(self) -> dict[int, Activation]:
        """What the activations do on the calibration samples; observed once for each content."""
        if self._observed is None:
            self._observed = observe(
                self.content, self._each(), str(self.source), self.model.states, self._count_samples
            )
        return self._observed

    def change(self, content: bytes, limits: dict[int, tuple[float, float]] | None = None) -> None:
        """Go on with another float content: same function, other weights."""
        self.content, self._observed = content, None
        self.limits = limits if limits is not None else self.limits

    def state(self) -> State:
        """What `restore` goes back to."""
        return State(self.content, self.activations, self.limits)

    def restore(self, state: State) -> None:
        """Go back to how things were."""
        self.content, self._observed, self.limits = state.content, state.observed, state.limits

    def rewritten_path(self) -> Path:
        """The float content as it is quantised now, in a file: what the int8 file's layers stand for."""
        path = self.folder / "rewritten.tflite"
        path.write_bytes(self.content)
        return path

    def correct(self, content: bytes) -> None:
        """Go on with a content whose ranges stay as they were (corrected biases)."""
        self.content = content

    def build(self, how: Build) -> Path:
        """Write an int8 file.

        Raises:
            ModelError: the quantiser failed or crashed, or the runtime does not load what it made.
        """
        edited = EditableModel(self.content)
        states = self._state_groups(edited)
        ranges = join_ranges(limit_ranges(choose_ranges(self.activations, how.ranges), self.limits), states)
        edited.set_ranges(join_ranges(widened(edited, ranges, states), states))
        content = self._worker.call(
            "converter.quantize:quantize",
            edited.content(),
            self.model.inputs,
            self.model.outputs,
            *self._types,
            how.float_operators,
            on=self.source,
        )
        self._count += 1
        path = self.folder / f"int8-{self._count}.tflite"
        path.write_bytes(content)
        check_loads(path, self._worker, self.source)
        return path

    def channel_statistics(self, tensors: Sequence[int], max_samples: int = 24) -> ChannelStatistics:
        """Of some activations, the smallest, largest and mean value of each channel (last axis)."""
        interpreter = run_float(self.content, str(self.source), keep_all=True)
        low: dict[int, NDArray[np.float64]] = {}
        high, total = dict(low), dict(low)
        count = 0
        for count, sample in zip(range(1, max_samples + 1), self._each()(), strict=False):
            feed(interpreter, sample)
            interpreter.invoke()
            for tensor in tensors:
                values = interpreter.get_tensor(tensor)
                rows = values.reshape(-1, values.shape[-1] if values.ndim else 1)
                low[tensor] = np.minimum(low.get(tensor, np.inf), rows.min(axis=0))
                high[tensor] = np.maximum(high.get(tensor, -np.inf), rows.max(axis=0))
                total[tensor] = total.get(tensor, 0.0) + rows.mean(axis=0, dtype=np.float64)
            self._count_samples("channel statistics", count)
        return ChannelStatistics(low, high, {tensor: value / count for tensor, value in total.items()})

    def tail(self) -> tuple[str, ...]:
        """Names of what the last operators before each output write: the part that may stay in float.

        Neither what reads an input nor the first layer with weights is ever among them: else nothing would be
        quantised, or an input be left without a scale.
        """
        edited = EditableModel(self.content)
        states = {output for output, _ in self.model.states}
        inputs, layers = set(edited.graph.inputs), edited.named(*_LAYERS)
        names: dict[str, None] = {}
        for tensor, output in zip(edited.graph.outputs, self.model.outputs, strict=True):
            producer = edited.producer(tensor)
            while producer is not None and output not in states:
                if any(producer is own for own in layers[:1]) or not inputs.isdisjoint(producer.inputs):
                    break
                names[edited.name(producer.outputs[0])] = None
                if edited.operator_name(producer) in _LAYERS:
                    break
                producer = edited.producer(producer.inputs[0])
        return tuple(names)

    def samples(self, count: int) -> list[list[NDArray[np.float32]]]:
        """The first calibration samples as arrays in the order of the float model's inputs."""
        edited = EditableModel(self.content)
        shapes = [edited.shape(tensor) for tensor in edited.graph.inputs]
        return [
            [
                np.asarray(sample.get(name, np.zeros(shape)), np.float32).reshape(shape)
                for name, shape in zip(self.model.inputs, shapes, strict=True)
            ]
            for _, sample in zip(range(count), self._each()(), strict=False)
        ]

    def _each(self) -> Callable[[], Iterator[FloatInputs]]:
        return self._samples.bound(self.model.inputs, [name for _, name in self.model.states])

    def _count_samples(self, stage: str, done: int) -> None:
        if self._progress is not None:
            self._progress(stage, done, self._samples.count)

    def _state_groups(self, edited: EditableModel) -> list[tuple[int, ...]]:
        """A state's output and input get one scale, so that its codes can be handed on as they are."""
        inputs = dict(zip(self.model.inputs, edited.graph.inputs, strict=True))
        outputs = dict(zip(self.model.outputs, edited.graph.outputs, strict=True))
        return [(outputs[output], inputs[name]) for output, name in self.model.states]


def names_of(tensors: Sequence[str]) -> str:
    """Names for a sentence, the first few."""
    return ", ".join(tensors[:4]) + (f" and {len(tensors) - 4} more" if len(tensors) > 4 else "")
