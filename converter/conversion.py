"""A conversion from end to end: load, calibrate, quantise, prove, and only then write the bundle."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from agent.errors import ModelError
from agent.records import Detections
from agent.version import __version__
from agent.vision.labels import read_labels
from agent.vision.model_spec import ModelSpec, load_spec, save_spec
from converter.bundle import check_output, staged
from converter.calibration.pictures import FrameChoice
from converter.calibration.samples import Samples, load_samples
from converter.conversion_report import Outcome, conversion_report
from converter.edgetpu.compiler import Compilation, compile_for_edgetpu, find_compiler
from converter.engine import Engine
from converter.load.float_model import FloatInputs, FloatModel, Loaded, LoadOptions, model_files
from converter.load.source import model_kind
from converter.observe import feed, run_float
from converter.output_roles import with_roles
from converter.parity.datasets import ArraySet, PictureSet, detector_truth, open_dataset
from converter.parity.guess import guessed_task
from converter.parity.measure import Limits, Parity, Side, measure
from converter.quantize import IntegerType, OutputType
from converter.report.content import FileSize, Remedy, ReportContent
from converter.report.page import write_report
from converter.rescue import BASELINE, Candidate, rescue
from converter.worker import Worker

Progress = Callable[[str, int, int], None]
"""(stage, done, of); of is 0 where the end is not known."""
MAX_ORIGINAL_ERROR = 1e-3
"""Float file against the original model: largest difference over the output's largest value."""
_CHECKED_SAMPLES = 4


@dataclass(frozen=True)
class Request:
    """What a user asks for; see `edgetrack-convert convert --help`."""

    model: Path
    calibration: Path
    output: Path
    spec: Path | None = None
    labels: Path | None = None
    evaluate: Path | None = None
    limits: Limits = field(default_factory=Limits)
    input_type: IntegerType = "int8"
    output_type: OutputType = "int8"
    max_samples: int = 128
    frames: FrameChoice = "even"
    video: Path | None = None
    every: int = 1
    max_evaluated: int | None = None
    allow_lambda: bool = False
    rescue: bool = True
    compiler: Path | None = None
    segments: int = 1
    seed: int = 0
    command: str = ""


@dataclass(frozen=True)
class Result:
    """What came of a conversion.

    Args:
        passed: the bundle was written; else only the report was.
        files: paths written.
        report: its content.
    """

    passed: bool
    files: tuple[Path, ...]
    report: ReportContent


def convert(request: Request, progress: Progress | None = None) -> Result:
    """Convert a trained model to a proven int8 bundle.

    Raises:
        EdgetrackError: anything that the user can mend; nothing was written then.
    """
    tell = progress or (lambda stage, done, of: None)
    model_kind(request.model)  # before anything that takes time
    check_output(request.output)
    compiler = find_compiler(request.compiler)
    spec = _read_spec(request)
    samples = load_samples(
        request.calibration,
        spec.input if spec else None,
        request.max_samples,
        request.frames,
        request.video,
    )
    dataset = _dataset(request, samples)
    if spec is not None and spec.task == "detection" and isinstance(dataset, PictureSet):
        detector_truth(dataset, spec.labels)  # says clearly when there is none
    with tempfile.TemporaryDirectory(prefix="edgetrack-convert-") as name, Worker() as worker:
        folder = Path(name)
        tell(f"loading {request.model.name}", 0, 0)
        loaded: Loaded = worker.call(
            "converter.load.source:load_float",
            request.model,
            _options(request, spec),
            _first(samples),
            on=request.model,
        )
        spec = spec or _guessed_spec(request, loaded.model)
        difference = _check_original(loaded, samples, request.model)
        model, spec = with_roles(loaded.model, spec)
        spec = _with_provenance(spec, request)
        engine = Engine(
            model, spec, samples, worker, folder, request.model, request.input_type, request.output_type, tell
        )
        reference = Side(engine.float_path, spec)
        detections: list[Detections] = []

        def judge(path: Path) -> Parity:
            parity = measure(reference, Side(path, spec), dataset, request.limits, tell, detections or None)
            detections[:] = parity.float_detections
            return parity

        path = engine.build(BASELINE)
        best = Candidate(path, BASELINE, judge(path))
        remedies: list[Remedy] = []
        if best.parity.failures and request.rescue:
            best, remedies = rescue(engine, best, judge, lambda text: tell(f"trying {text}", 0, 0))
        passed = not best.parity.failures
        outcome = Outcome(
            request.model,
            model,
            spec,
            engine,
            best,
            tuple(remedies),
            samples,
            dataset,
            difference,
            request.limits,
            on_calibration=request.evaluate is None,
        )
        tell("layers, latency and report", 0, 0)
        report = conversion_report(outcome, request.command, request.seed)
        return _write(request, spec, best.path, report, passed, compiler)


def _write(
    request: Request, spec: ModelSpec, int8: Path, report: ReportContent, passed: bool, compiler: Path | None
) -> Result:
    with staged(request.output) as folder:
        if passed:
            target = folder / f"{spec.name}.tflite"
            target.write_bytes(int8.read_bytes())
            save_spec(spec, folder / f"{spec.name}.json")
            if compiler is not None:
                compilation = _compiled(request, target, compiler)
                report = _with_compilation(report, compilation)
        elif (request.output / f"{spec.name}.tflite").exists():
            earlier = f"{spec.name}.tflite in this folder is of an earlier conversion, not of this one"
            report = replace(report, warnings=(*report.warnings, earlier))
        write_report(report, folder)
        names = sorted(path.name for path in folder.iterdir())
    return Result(passed, tuple(request.output / name for name in names), report)


def _compiled(request: Request, target: Path, compiler: Path) -> Compilation:
    try:
        return compile_for_edgetpu(target, target.parent, compiler=compiler, segments=request.segments)
    except ModelError as error:
        # The file is about to be removed: named as it would have been.
        raise ModelError(str(request.output / target.name), error.problem, error.hint) from error


def _with_compilation(report: ReportContent, compilation: Compilation) -> ReportContent:
    sizes = tuple(FileSize("Edge TPU", path.stat().st_size) for path in compilation.files)
    return replace(report, sizes=(*report.sizes, *sizes), warnings=(*report.warnings, *compilation.surprises))


def _read_spec(request: Request) -> ModelSpec | None:
    if request.spec is None:
        if request.labels is None:
            return None
        raise ModelError(
            str(request.labels), "expected --labels together with --spec, got no spec", "give --spec"
        )
    spec = load_spec(request.spec)
    if Path(spec.name).name != spec.name or spec.name.startswith("."):
        raise ModelError(
            f"{request.spec} name",
            f"expected a name for the bundle's files, without folders, got {spec.name!r}",
            "correct --spec",
        )
    return spec.model_copy(update={"labels": read_labels(request.labels)}) if request.labels else spec


def _guessed_spec(request: Request, model: FloatModel) -> ModelSpec:
    """A spec for models that take ready arrays: named after the file, its task by its outputs."""
    return ModelSpec(name=model_files(request.model), task=guessed_task(model))


def _with_provenance(spec: ModelSpec, request: Request) -> ModelSpec:
    provenance = spec.provenance.model_copy(
        update={
            "source": spec.provenance.source or request.model.name,
            "seed": request.seed,
            "sha256": _sha256(request.model),
            "converter": f"edgetrack-convert {__version__}",
        }
    )
    return spec.model_copy(update={"provenance": provenance})


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for own in [path] if path.is_file() else sorted(own for own in path.rglob("*") if own.is_file()):
        digest.update(own.read_bytes())
    return digest.hexdigest()


def _options(request: Request, spec: ModelSpec | None) -> LoadOptions:
    size = (spec.input.height, spec.input.width) if spec and spec.input else None
    return LoadOptions(allow_lambda=request.allow_lambda, image_size=size)


def _first(samples: Samples) -> list[FloatInputs]:
    return [dict(sample) for _, sample in zip(range(_CHECKED_SAMPLES), samples.each(), strict=False)]


def _dataset(request: Request, samples: Samples) -> PictureSet | ArraySet:
    """What to measure on: the labelled data, or else the calibration samples, on which the models
    must agree.
    """
    if request.evaluate is not None:
        return open_dataset(request.evaluate, every=request.every, limit=request.max_evaluated)
    if samples.pictures is not None:
        return PictureSet(f"{samples.source} (calibration)", samples.pictures.names, samples.pictures.each)
    dataset = open_dataset(request.calibration, limit=request.max_samples)
    return replace(dataset, name=f"{dataset.name} (calibration)")


def _check_original(loaded: Loaded, samples: Samples, where: Path) -> float:
    """Largest difference between the float file and the original, over the outputs' largest value.

    Raises:
        ModelError: they differ by more than float arithmetic explains.
    """
    model = loaded.model
    interpreter = run_float(model.content, str(where))
    bound = samples.bound(model.inputs, [name for _, name in model.states])
    worst = 0.0
    for sample, expected in zip(bound(), loaded.expected, strict=False):
        feed(interpreter, sample)
        interpreter.invoke()
        for details, name, right in zip(
            interpreter.get_output_details(), model.outputs, expected, strict=False
        ):
            got = interpreter.get_tensor(details["index"]).reshape(right.shape)
            difference = float(np.abs(got - right).max()) / max(float(np.abs(right).max()), 1e-6)
            worst = max(worst, difference)
            if not difference <= MAX_ORIGINAL_ERROR:
                raise ModelError(
                    f"{where} output {name}", f"expected what the original computes, got a "
                    f"difference of {difference:.3g}",
                    "this is a fault of the converter: please report it with the model",
                )  # fmt: skip
    return worst
