"""Putting together what the report of a conversion tells."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import cv2

from agent.errors import DataError
from agent.records import Detections, ImageArray
from agent.vision.model_spec import ModelSpec
from converter.calibration.samples import Samples
from converter.edgetpu.verdict import judge
from converter.engine import Engine
from converter.latency import time_model
from converter.layer_error import layer_errors
from converter.load.float_model import FloatModel
from converter.observe import Activation
from converter.parity.datasets import ArraySet, PictureSet
from converter.parity.measure import Limits, Side
from converter.ranges import choose_ranges, limit_ranges
from converter.report.content import (
    Accuracy,
    ActivationRange,
    Calibration,
    ExampleBox,
    ExamplePicture,
    FileSize,
    Remedy,
    ReportContent,
)
from converter.rescue import Candidate
from converter.runtime_comparison import compare_runtimes
from converter.runtimes import judge_runtimes
from converter.tflite_model.float_islands import float_islands
from converter.tflite_model.reader import read_tflite
from converter.tflite_model.scales import ScaleWarning, scale_warnings

_EXAMPLES = 6
_EXAMPLE_SIDE = 640
_LAYER_SAMPLES = 6
_REPORTED_BINS = 64
_RUNTIME_SAMPLES = 3


@dataclass(frozen=True)
class Outcome:
    """All that a conversion found out."""

    source: Path
    model: FloatModel
    spec: ModelSpec
    engine: Engine
    best: Candidate
    remedies: tuple[Remedy, ...]
    samples: Samples
    dataset: PictureSet | ArraySet
    original_difference: float
    limits: Limits
    on_calibration: bool = False
    """Nothing but the calibration samples to measure on."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why what was measured shows less than it seems."""
        if not self.on_calibration or not self.samples.doubts:
            return self.best.parity.doubts
        kind = " and ".join(self.samples.doubts)
        own = f"that was measured on the {self.samples.count} calibration samples alone, which are {kind}"
        return (
            *self.best.parity.doubts,
            f"{own}: of others nothing is shown (give varied ones, or --evaluate)",
        )


def conversion_report(outcome: Outcome, command: str, seed: int) -> ReportContent:
    """The report of a conversion, passed or failed."""
    engine, best = outcome.engine, outcome.best
    file = read_tflite(best.path)
    samples = engine.samples(_LAYER_SAMPLES)
    named_samples = [dict(zip(outcome.model.inputs, sample, strict=True)) for sample in samples]
    runtimes = compare_runtimes(
        Side(engine.float_path, outcome.spec),
        Side(best.path, outcome.spec),
        outcome.dataset,
        named_samples[:_RUNTIME_SAMPLES],
        outcome.limits,
    )
    passed = not best.parity.failures
    scales = scale_warnings(file.main)
    doubts = (*outcome.doubts, *_unseen_parts(outcome.spec, scales))
    facts = [
        ("source", f"{outcome.source.name} ({outcome.model.kind})"),
        ("sha256", outcome.spec.provenance.sha256),
        (
            "float file against the original",
            f"largest difference {outcome.original_difference:.1e} of the output's largest value",
        ),
        ("rewritten", "; ".join(outcome.model.notes) or "nothing"),
        (
            "runtimes",
            "; ".join(f"{own.runtime}: {own.text}" for own in judge_runtimes(file)),
        ),
        ("seed", str(seed)),
        (
            "versions",
            ", ".join(
                f"{name} {metadata.version(name)}" for name in ("tensorflow", "ai-edge-litert", "numpy")
            ),
        ),
    ]
    if command:
        facts.append(("command", command))
    return ReportContent(
        title=outcome.spec.name,
        verdict="passed" if passed else "failed",
        summary=_summary(best.parity.accuracy, passed, doubts),
        doubts=doubts,
        facts=tuple(facts),
        accuracy=best.parity.accuracy,
        sizes=(
            FileSize("float", engine.float_path.stat().st_size),
            FileSize("int8", best.path.stat().st_size),
        ),
        latencies=(
            *time_model(engine.float_path, "float", samples[0]),
            *time_model(best.path, "int8", samples[0]),
        ),
        calibration=Calibration(
            outcome.samples.source, outcome.samples.count, best.how.method, outcome.samples.warnings
        ),
        remedies=outcome.remedies,
        ranges=_ranges(engine, best),
        layers=tuple(layer_errors(engine.rewritten_path(), best.path, samples)),
        edgetpu=judge(file),
        examples=_examples(outcome),
        runtimes=runtimes,
        warnings=(
            *(f"stays in float: {island.text}" for island in float_islands(file.main)),
            *(f"{own.tensor}: {own.text}; {own.advice}" for own in scales),
        ),
    )


def _unseen_parts(spec: ModelSpec, scales: tuple[ScaleWarning, ...]) -> tuple[str, ...]:
    """A doubt where parts of an output keep a few codes, which its error as a whole does not show."""
    parts = [
        own.tensor for own in scales if own.code == "joined-ranges" and "output of the model" in own.text
    ]
    if spec.task != "sequence" or not parts:
        return ()
    kept = ", ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")
    shared = "few codes are left beside larger values of one output, which its error does not show"
    return (f"of {kept} {shared} (see the warnings)",)


def _summary(accuracy: tuple[Accuracy, ...], passed: bool, doubts: tuple[str, ...]) -> str:
    told = []
    for row in accuracy:
        if row.max_drop is None:
            continue
        value = f"{row.metric} {row.int8_value:.4f}"
        value += f" (float {row.float_value:.4f})" if row.float_value is not None else ""
        wrong = "too low" if row.higher_is_better else "too high"
        told.append(value + (f", {wrong}" if row.failed else ""))
    start = "the int8 model does its job" if passed else "the int8 model lost too much, so none was written"
    if passed and doubts:
        start = "the int8 model loses no more than allowed"
    return "; but ".join([f"{start}: {'; '.join(told)}", *doubts])


def _ranges(engine: Engine, best: Candidate) -> tuple[ActivationRange, ...]:
    chosen = choose_ranges(engine.activations, best.how.ranges)
    kept = limit_ranges(chosen, engine.limits)
    rows = []
    for tensor, activation in engine.activations.items():
        low, high = kept[tensor]
        counts = activation.counts.reshape(_REPORTED_BINS, -1).sum(axis=1)
        clipped = _outside(activation, *chosen[tensor])
        rows.append(
            ActivationRange(
                activation.name, activation.low, activation.high, low, high, clipped,
                tuple(counts.tolist()), _outside(activation, low, high) - clipped,
            )
        )  # fmt: skip
    return tuple(rows)


def _outside(activation: Activation, low: float, high: float) -> float:
    """Fraction of an activation's values outside of a range."""
    outside = (activation.centres < low) | (activation.centres > high)
    return float(activation.counts[outside].sum()) / max(int(activation.counts.sum()), 1)


def _examples(outcome: Outcome) -> tuple[ExamplePicture, ...]:
    """Pictures in which the models differ most in what they find, then those with most boxes."""
    parity = outcome.best.parity
    if not isinstance(outcome.dataset, PictureSet) or not parity.float_detections:
        return ()
    score = outcome.spec.min_score
    pairs = [
        (a[a.scores >= score], b[b.scores >= score])
        for a, b in zip(parity.float_detections, parity.int8_detections, strict=True)
    ]
    order = sorted(
        range(len(pairs)), key=lambda i: (-abs(len(pairs[i][0]) - len(pairs[i][1])), -len(pairs[i][0]), i)
    )
    wanted = set(order[:_EXAMPLES])
    return tuple(
        example_picture(outcome.dataset.names[i], image, *pairs[i], outcome.spec.labels)
        for i, image in enumerate(outcome.dataset.each())
        if i in wanted
    )


def example_picture(
    name: str, image: ImageArray, first: Detections, second: Detections, labels: tuple[str, ...]
) -> ExamplePicture:
    """A picture made small enough for a page, with the boxes of both models."""
    scale = min(_EXAMPLE_SIDE / max(image.shape[:2]), 1.0)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    good, content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])
    if not good:
        raise DataError(name, "expected a picture that can be written as JPEG, got an encoder's refusal")

    def boxes(own: Detections) -> tuple[ExampleBox, ...]:
        found = []
        for (x1, y1, x2, y2), score, label in zip(own.boxes * scale, own.scores, own.labels, strict=True):
            corners = (float(x1), float(y1), float(x2), float(y2))
            found.append(
                ExampleBox(corners, labels[label] if label < len(labels) else str(label), float(score))
            )
        return tuple(found)

    return ExamplePicture(
        name, content.tobytes(), small.shape[1], small.shape[0], boxes(first), boxes(second)
    )
