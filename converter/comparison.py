"""Comparing an int8 file, whoever made it, with the float model that it came from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from agent.vision.labels import read_labels
from agent.vision.model_spec import ModelSpec, load_spec, spec_path
from converter.calibration.samples import preprocess
from converter.conversion_report import example_picture
from converter.edgetpu.verdict import judge
from converter.latency import time_model
from converter.layer_error import LayerError, layer_errors, worst_layers
from converter.load.float_model import Loaded, LoadOptions
from converter.load.source import model_kind
from converter.observe import run_float
from converter.parity.datasets import ArraySet, PictureSet, open_dataset
from converter.parity.measure import Limits, Parity, Progress, Side, measure
from converter.report.content import Accuracy, ExamplePicture, FileSize, Latency, ReportContent
from converter.tflite_model.float_islands import float_islands
from converter.tflite_model.reader import read_tflite
from converter.tflite_model.scales import scale_warnings
from converter.worker import Worker

_LAYER_SAMPLES = 4
_EXAMPLES = 4


@dataclass(frozen=True)
class CompareRequest:
    """What a user asks for; see `edgetrack-convert compare --help`."""

    reference: Path
    int8: Path
    data: Path
    labels: Path | None = None
    spec: Path | None = None
    names: Path | None = None
    limits: Limits = field(default_factory=Limits)
    every: int = 1
    limit: int | None = None


def compare(request: CompareRequest, progress: Progress | None = None) -> ReportContent:
    """Measure both and look for the layers that lose most.

    Raises:
        EdgetrackError: a file or the data cannot be used.
    """
    tell = progress or (lambda stage, done, of: None)
    int8_file = read_tflite(request.int8)
    kind = model_kind(request.reference)
    beside = spec_path(request.int8)
    spec = load_spec(request.spec or beside) if request.spec or beside.exists() else None
    spec = spec or ModelSpec(name=request.int8.stem, task="sequence")
    if request.names is not None:
        spec = spec.model_copy(update={"labels": read_labels(request.names)})
    dataset = open_dataset(request.data, request.labels, request.every, request.limit)
    with tempfile.TemporaryDirectory(prefix="edgetrack-compare-") as name, Worker() as worker:
        reference = request.reference
        if kind != "tflite":
            tell(f"loading {reference.name}", 0, 0)
            size = (spec.input.height, spec.input.width) if spec.input else None
            loaded: Loaded = worker.call(
                "converter.load.source:load_float", reference, LoadOptions(image_size=size), [], on=reference
            )
            reference = Path(name) / "float.tflite"
            reference.write_bytes(loaded.model.content)
        # In the worker: a runtime may crash on a file that somebody else wrote.
        parity: Parity = worker.call(
            "converter.comparison:measure_files", reference, spec, request, on=request.int8,
            progress=lambda text: _passed_on(tell, text),
        )  # fmt: skip
        tell("layers", 0, 0)
        layers, latencies = worker.call(
            "converter.comparison:look_into", reference, spec, request, on=request.int8
        )
        verdict = judge(int8_file)
        # A file with equalised channels differs from its original within, and does the same.
        causes = _causes(layers) if parity.failures else []
        warnings = (
            *parity.doubts,
            *causes,
            *(f"stays in float: {island.text}" for island in float_islands(int8_file.main)),
            *(f"{own.tensor}: {own.text}; {own.advice}" for own in scale_warnings(int8_file.main)),
        )
        return ReportContent(
            title=f"{request.int8.name} against {request.reference.name}",
            verdict="failed" if parity.failures else "passed",
            summary=_summary(parity.failures, causes),
            accuracy=parity.accuracy,
            sizes=(
                FileSize("float", reference.stat().st_size),
                FileSize("int8", request.int8.stat().st_size),
            ),
            latencies=latencies,
            layers=tuple(layers),
            edgetpu=verdict,
            examples=_examples(dataset, parity, spec),
            warnings=tuple(dict.fromkeys(warnings)),
        )


def measure_files(
    reference: Path, spec: ModelSpec, request: CompareRequest, progress: Callable[[str], None] | None = None
) -> Parity:
    """Measure both files. Runs in the worker, which takes no functions: the data set is opened anew."""

    def tell(stage: str, done: int, of: int) -> None:
        if progress is not None:
            progress(f"{done} {of} {stage}")

    dataset = open_dataset(request.data, request.labels, request.every, request.limit)
    return measure(Side(reference, spec), Side(request.int8, spec), dataset, request.limits, tell)


def look_into(
    reference: Path, spec: ModelSpec, request: CompareRequest
) -> tuple[list[LayerError], tuple[Latency, ...]]:
    """Errors of all layers, and times. Runs in the worker."""
    dataset = open_dataset(request.data, request.labels, request.every, _LAYER_SAMPLES)
    samples = _samples(reference, spec, dataset)
    layers = layer_errors(reference, request.int8, samples)
    return layers, (
        *time_model(reference, "float", samples[0]),
        *time_model(request.int8, "int8", samples[0]),
    )


def _passed_on(tell: Progress, text: str) -> None:
    done, of, stage = text.split(" ", 2)
    tell(stage, int(done), int(of))


def _samples(
    reference: Path, spec: ModelSpec, dataset: PictureSet | ArraySet
) -> list[list[NDArray[np.float32]]]:
    """A few inputs of the float file, in its order and shape."""
    interpreter = run_float(reference.read_bytes(), str(reference))
    details = interpreter.get_input_details()
    if isinstance(dataset, ArraySet):
        source = dataset.each()
    elif spec.input is None:
        raise DataError(
            dataset.name, "expected a ModelSpec with `input` for pictures, got none", "give --spec"
        )
    else:
        source = preprocess(dataset.each(), spec.input)
    rows = []
    for _, sample in zip(range(_LAYER_SAMPLES), source, strict=False):
        row: list[NDArray[np.float32]] = []
        for own in details:
            shape = tuple(int(size) for size in own["shape"])
            value = sample.get(own["name"], sample.get("") if len(row) == 0 else None)
            array = np.zeros(shape, np.float32) if value is None else np.asarray(value, np.float32)
            if array.ndim == 4 and array.shape != shape and array.size == np.prod(shape):
                array = np.moveaxis(array, -1, 1)
            row.append(array.reshape(shape))
        rows.append(row)
    return rows


def _causes(layers: Sequence[LayerError]) -> list[str]:
    return [
        f"operator {own.index} {own.operator} {own.name[:60]}: {own.snr_db:.1f} dB, {own.cause}"
        for own in worst_layers(list(layers), 3)
        if own.cause
    ]


def _summary(failures: Sequence[Accuracy], causes: Sequence[str]) -> str:
    if not failures:
        return "the int8 file does what the float model does"
    lost = "; ".join(
        f"{row.metric} {row.int8_value:.4f}"
        + (f" where float has {row.float_value:.4f}" if row.float_value is not None else "")
        for row in failures
    )
    return f"the int8 file lost too much: {lost}" + (f". Worst: {causes[0]}" if causes else "")


def _examples(dataset: PictureSet | ArraySet, parity: Parity, spec: ModelSpec) -> tuple[ExamplePicture, ...]:
    if not isinstance(dataset, PictureSet) or not parity.float_detections:
        return ()
    pairs = zip(dataset.names, dataset.each(), parity.float_detections, parity.int8_detections, strict=True)
    return tuple(
        example_picture(
            name,
            image,
            first[first.scores >= spec.min_score],
            second[second.scores >= spec.min_score],
            spec.labels,
        )
        for _, (name, image, first, second) in zip(range(_EXAMPLES), pairs, strict=False)
    )
