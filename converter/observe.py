"""What values the activations of a float model take on calibration samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detect.interpreter import _without_info_lines
from agent.errors import ModelError
from converter.load.float_model import FloatInputs
from converter.tflite_edit.edit import EditableModel

BINS = 2048
_MAX_COUNTED = 16_384
"""Values of one tensor and sample that are counted in its histogram; larger tensors are thinned out
evenly.
"""
_HISTOGRAM_SAMPLES = 32
"""Samples whose values are counted; the range is that of all samples."""


@dataclass(frozen=True, eq=False)
class Activation:
    """One tensor's values over all samples.

    Args:
        name: as the float file names it.
        low, high: smallest and largest value.
        counts: (BINS,) histogram between them.
    """

    name: str
    low: float
    high: float
    counts: NDArray[np.int64]

    @property
    def centres(self) -> NDArray[np.float64]:
        """Middle value of each bin."""
        width = (self.high - self.low) / len(self.counts)
        return self.low + width * (np.arange(len(self.counts)) + 0.5)


def run_float(content: bytes, where: str, threads: int = 2, keep_all: bool = False) -> Any:
    """A LiteRT interpreter on a float model of ours.

    Raises:
        ModelError: LiteRT refuses it.
    """
    from ai_edge_litert.interpreter import Interpreter

    with _without_info_lines(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all tensors needs memory is known and wanted
        try:
            interpreter = Interpreter(
                model_content=content, num_threads=threads, experimental_preserve_all_tensors=keep_all
            )
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                where, f"expected a model that LiteRT loads, got {str(error).splitlines()[0]}"
            ) from error
    return interpreter


def feed(interpreter: Any, inputs: FloatInputs) -> None:
    """Write one sample into a float interpreter; states that it does not name are zero."""
    for details in interpreter.get_input_details():
        value = inputs.get(details["name"])
        shape = tuple(details["shape"])
        interpreter.set_tensor(
            details["index"],
            np.zeros(shape, np.float32) if value is None else np.asarray(value, np.float32).reshape(shape),
        )


def _is_kept(model: EditableModel, tensor: int) -> bool:
    """Whether anything reads a tensor: LiteRT keeps no memory for others (the unused gate of a first
    LSTM step).
    """
    return tensor in model.graph.outputs or bool(model.consumers(tensor))


def observe(
    content: bytes,
    samples: Sequence[FloatInputs] | Callable[[], Iterable[FloatInputs]],
    where: str,
    states: Sequence[tuple[str, str]] = (),
    progress: Callable[[str, int], None] | None = None,
) -> dict[int, Activation]:
    """Run all samples twice: for the ranges, then for the histograms between them.

    Args:
        content: float `.tflite`.
        samples: or what yields them anew for each of the two rounds.
        where: for messages.
        states: (output, input) names; each sample continues from the states that the one before left, so that
            recurrent states are seen as they become in use.
        progress: called with the stage's name and the number of samples done.

    Returns:
        By tensor index of the file.

    Raises:
        ModelError: a sample makes the model compute what is not finite; the tensor is named.
    """
    interpreter = run_float(content, where, keep_all=True)
    edited = EditableModel(content)
    tensors = [tensor for tensor in edited.activations() if _is_kept(edited, tensor)]
    again = samples if callable(samples) else lambda: samples
    outputs = {details["name"]: details["index"] for details in interpreter.get_output_details()}
    low = dict.fromkeys(tensors, np.inf)
    high = dict.fromkeys(tensors, -np.inf)

    def each(stage: str, limit: int | None) -> Iterable[None]:
        left: dict[str, NDArray[np.float32]] = {}
        for count, sample in enumerate(again(), 1):
            feed(interpreter, {**left, **sample})
            interpreter.invoke()
            left = {name: interpreter.get_tensor(outputs[output]) for output, name in states}
            yield
            if progress is not None:
                progress(stage, count)
            if count == limit:
                return

    for _ in each("activation ranges", None):
        for tensor in tensors:
            values = interpreter.get_tensor(tensor)
            low[tensor], high[tensor] = (
                min(low[tensor], float(values.min())),
                max(high[tensor], float(values.max())),
            )
            if not np.isfinite(high[tensor] - low[tensor]):
                raise ModelError(
                    f"{where} tensor {edited.name(tensor)}", f"expected finite values, got "
                    f"{low[tensor]}..{high[tensor]}",
                    "no int8 scale can hold them: clip that layer, or pad with zeros instead of -inf",
                )  # fmt: skip
    counts = {tensor: np.zeros(BINS, np.int64) for tensor in tensors}
    for _ in each("activation histograms", _HISTOGRAM_SAMPLES):
        for tensor in tensors:
            values = interpreter.get_tensor(tensor).reshape(-1)
            values = values[:: max(values.size // _MAX_COUNTED, 1)]
            span = high[tensor] - low[tensor]
            if span > 0:
                bins = ((values - low[tensor]) * (BINS / span)).astype(np.int64)
                counts[tensor] += np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)
    return {
        tensor: Activation(edited.name(tensor), low[tensor], high[tensor], counts[tensor])
        for tensor in tensors
    }
