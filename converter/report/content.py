"""What a report tells: filled by `convert` and `compare`, drawn by `converter.report.page`.

Every part may be left empty; the page then leaves out its section. Nothing here needs escaping or rounding by
the caller: names come as they are in the model, numbers in the unit that the field's name says.

    content = ReportContent(title="yolox_nano", verdict="passed", summary="person AP50 0.613, float 0.615")
    write_report(content, Path("out"))          # from converter.report.page: report.html and report.json
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from converter.edgetpu.verdict import Verdict
    from converter.layer_error import LayerError

Box = tuple[float, float, float, float]
"""xyxy in px of the picture."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One measure of the task, on the float and on the int8 model.

    Args:
        metric: as the task names it: "AP50 person", "top-1", "box agreement", "mean error".
        dataset: what it was measured on.
        samples: pictures or sequences.
        float_value: of the float model; None where it is an agreement, which has no float side.
        int8_value: of the int8 model.
        unit: "" for fractions in 0..1, else the output's own ("px", "°C").
        higher_is_better: False for errors.
        max_drop: what was allowed, in the metric's unit; None: not judged.
    """

    metric: str
    dataset: str
    samples: int
    float_value: float | None
    int8_value: float
    unit: str = ""
    higher_is_better: bool = True
    max_drop: float | None = None

    @property
    def drop(self) -> float | None:
        """By how much int8 is worse than float, in the metric's unit; negative: better."""
        if self.float_value is None:
            return None
        worse = self.float_value - self.int8_value
        return worse if self.higher_is_better else -worse

    @property
    def margin(self) -> float:
        """By how much the loss is within what is allowed; negative where it is not.

        An agreement's loss is what it lacks to 1, an error's loss the error itself. Infinite where the row is
        not judged; below all others where its value is no number.
        """
        if self.max_drop is None:
            return math.inf
        lost = self.drop
        if lost is None:
            lost = 1.0 - self.int8_value if self.higher_is_better else self.int8_value
        return -math.inf if math.isnan(lost) else self.max_drop - lost

    @property
    def failed(self) -> bool:
        """Lost more than allowed."""
        return self.margin < 0


@dataclass(frozen=True, slots=True)
class ActivationRange:
    """Values that one activation took in calibration, and what of them its codes can say.

    Args:
        name: of the tensor.
        observed_min, observed_max: over all calibration samples.
        kept_min, kept_max: smallest and largest value that the quantised tensor can hold.
        clipped: fraction of values outside of kept_min..kept_max that are lost, 0..1.
        histogram: counts of values in equal bins between observed_min and observed_max; may be empty.
        flat: fraction of values cut off on purpose, where what reads them is flat; not within `clipped`.
    """

    name: str
    observed_min: float
    observed_max: float
    kept_min: float
    kept_max: float
    clipped: float
    histogram: tuple[int, ...] = ()
    flat: float = 0.0


@dataclass(frozen=True, slots=True)
class FileSize:
    """Size of one file: name ("float", "int8", "Edge TPU") and bytes."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Time of one inference on this machine.

    Args:
        runtime: with its version: "LiteRT 2.3.0", "tflite-runtime 2.14.0".
        model: "float" or "int8".
        median_ms, p90_ms: over `runs`.
        threads: CPU threads that were allowed.
        runs: timed inferences after warm-up.
    """

    runtime: str
    model: str
    median_ms: float
    p90_ms: float
    threads: int
    runs: int


@dataclass(frozen=True, slots=True)
class RuntimeResult:
    """The task's measure of the int8 file on one runtime, on the pictures or sequences of its comparison."""

    runtime: str
    value: float


@dataclass(frozen=True, slots=True)
class RuntimeComparison:
    """The int8 file on both runtimes.

    Args:
        metric: that was measured.
        dataset, samples: on what; the same for both.
        results: one per runtime that loads the file.
        within_one: share of output codes that differ by 1 at most; None where outputs are no codes.
        largest_codes: largest difference of output codes.
    """

    metric: str
    dataset: str
    samples: int
    results: tuple[RuntimeResult, ...]
    within_one: float | None = None
    largest_codes: int | None = None

    @property
    def spread(self) -> float:
        """Largest difference of the measure between runtimes."""
        values = [result.value for result in self.results]
        return max(values) - min(values) if values else 0.0

    @property
    def text(self) -> str:
        """One sentence for a person."""
        if len(self.results) < 2:
            return "measured on one runtime only: the other is not installed here or does not load the file"
        told = f"{self.metric} differs by {self.spread:.4f} on {self.samples} samples"
        if self.largest_codes is None or self.within_one is None:
            return told
        codes = f"{self.within_one:.1%} of the output codes agree within 1, the largest difference is "
        codes += str(self.largest_codes)
        if self.largest_codes > 1:
            codes += (
                " (one runtime rounds once where the other rounds twice, which adds up behind many layers)"
            )
        return f"{told}; {codes}"


@dataclass(frozen=True, slots=True)
class ExampleBox:
    """One detection, for drawing."""

    box: Box
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ExamplePicture:
    """One picture with what the float and the int8 model found in it.

    Args:
        name: caption, mostly the file's name.
        image: encoded JPEG or PNG, without boxes: the page draws them. 640 px on the long side are plenty.
        width, height: of `image`, in px; boxes refer to them.
        float_boxes, int8_boxes: detections above the score that the model is used with.
    """

    name: str
    image: bytes
    width: int
    height: int
    float_boxes: tuple[ExampleBox, ...]
    int8_boxes: tuple[ExampleBox, ...]


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing that the converter tried because int8 hurt.

    Args:
        name: "separate output scales", "percentile clipping 99.99", "bias correction" …
        what: one sentence on what it changed.
        metric: that it was judged by.
        before, after: value of the metric.
        kept: is part of the written model.
    """

    name: str
    what: str
    metric: str
    before: float
    after: float
    kept: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the ranges were taken from.

    Args:
        source: folder, video, archive or recording.
        samples: how many were used.
        method: "min-max", "percentile 99.99", "MSE" …
        warnings: too few, too uniform …
    """

    source: str
    samples: int
    method: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportContent:
    """A whole report.

    Args:
        title: name of the model.
        verdict: "passed", "failed" (dropped more than allowed, no model written) or "measured" (not judged).
        summary: one sentence: what came of it.
        facts: label and value pairs for the head: source file, sha256, seed, versions, command.
        accuracy, sizes, latencies, remedies, examples: see there.
        runtimes: the int8 file on both runtimes; None when it was not compared.
        calibration: None for `compare`.
        ranges: of activations; empty: those of `layers` are shown.
        layers: from `converter.layer_error.layer_errors`.
        edgetpu: from `converter.edgetpu.verdict.judge`, of the int8 model.
        warnings: anything else the user must know.
        doubts: why what was measured shows less than it seems; `summary` tells them.
    """

    title: str
    verdict: Literal["passed", "failed", "measured"]
    summary: str
    facts: tuple[tuple[str, str], ...] = ()
    accuracy: tuple[Accuracy, ...] = ()
    sizes: tuple[FileSize, ...] = ()
    latencies: tuple[Latency, ...] = ()
    calibration: Calibration | None = None
    remedies: tuple[Remedy, ...] = ()
    ranges: tuple[ActivationRange, ...] = ()
    layers: tuple[LayerError, ...] = ()
    edgetpu: Verdict | None = None
    examples: tuple[ExamplePicture, ...] = ()
    runtimes: RuntimeComparison | None = None
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
