"""Accuracy of a float and an int8 file of one model, as the task measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from agent.records import Detections, FloatArray
from agent.vision.model_spec import ModelSpec
from converter.calibration.samples import preprocess
from converter.load.float_model import FloatInputs
from converter.parity.agreement import relative_error, top1
from converter.parity.class_doubts import class_doubts
from converter.parity.datasets import ArraySet, PictureSet, detector_truth
from converter.parity.detection import detect_all
from converter.parity.detection_rows import agreement_rows, precision_rows
from converter.parity.runner import Runner
from converter.report.content import Accuracy

Progress = Callable[[str, int, int], None]
"""(stage, done, of)."""


@dataclass(frozen=True)
class Side:
    """One of the two files, the spec that describes it, and the runtime that shall run it."""

    path: Path
    spec: ModelSpec
    runtime: str = "auto"


@dataclass(frozen=True)
class Limits:
    """What int8 may lose.

    Args:
        max_drop: of a measure against labels.
        min_agreement: with the float model, where there are no labels.
        max_error: of outputs that are no classes: root mean squared, over the output's own spread.
    """

    max_drop: float = 0.01
    min_agreement: float = 0.9
    max_error: float = 0.1


@dataclass(frozen=True)
class Parity:
    """What came of it.

    Args:
        accuracy: rows for the report, of which at least one is judged.
        float_detections, int8_detections: of a detector, by picture; empty otherwise.
        doubts: why the measures show less than they seem.
    """

    accuracy: tuple[Accuracy, ...]
    float_detections: tuple[Detections, ...] = ()
    int8_detections: tuple[Detections, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def failures(self) -> list[Accuracy]:
        """Rows that lost more than allowed."""
        return [row for row in self.accuracy if row.failed]

    @property
    def margin(self) -> float:
        """By how much the worst judged row is within what is allowed; negative when it is not."""
        return self.accuracy[self.worst].margin

    @property
    def worst(self) -> int:
        """Place of the judged row that is worst."""
        return min(range(len(self.accuracy)), key=lambda i: self.accuracy[i].margin)


def measure(
    reference: Side,
    int8: Side,
    dataset: PictureSet | ArraySet,
    limits: Limits,
    progress: Progress | None = None,
    reference_detections: Sequence[Detections] | None = None,
) -> Parity:
    """Measure both files on a data set.

    Args:
        reference_detections: of an earlier call with the same reference and data set, to save half the time.

    Raises:
        DataError: the data set does not fit the task, or nothing in it can be judged.
    """
    parity = _measured(reference, int8, dataset, limits, progress, reference_detections)
    if all(row.max_drop is None for row in parity.accuracy):
        raise DataError(dataset.name, "expected outputs to compare both models by, got none but states")
    return parity


def _measured(
    reference: Side,
    int8: Side,
    dataset: PictureSet | ArraySet,
    limits: Limits,
    progress: Progress | None,
    reference_detections: Sequence[Detections] | None,
) -> Parity:
    if int8.spec.task == "detection":
        if not isinstance(dataset, PictureSet):
            raise DataError(dataset.name, "expected pictures for a detector, got arrays")
        return _measure_detector(reference, int8, dataset, limits, progress, reference_detections)
    outputs = _outputs(reference, dataset, progress, "float"), _outputs(int8, dataset, progress, "int8")
    count = len(outputs[0])
    if int8.spec.task == "classification" or _is_classifier(outputs[0]):
        return _measure_classes(dataset, *outputs, int8.spec.labels, limits)
    if int8.spec.task == "embedding":
        cosines = [_cosine(a[0], b[0]) for a, b in zip(*outputs, strict=True)]
        value = float(np.mean(cosines))
        return Parity(
            (
                Accuracy(
                    "cosine of embeddings",
                    dataset.name,
                    count,
                    None,
                    value,
                    max_drop=1 - limits.min_agreement,
                ),
            )
        )
    return Parity(tuple(_errors(reference, int8, dataset, outputs, limits)))


def _measure_detector(
    reference: Side,
    int8: Side,
    dataset: PictureSet,
    limits: Limits,
    progress: Progress | None,
    reference_detections: Sequence[Detections] | None,
) -> Parity:
    total = len(dataset.names)
    truth = detector_truth(dataset, int8.spec.labels)

    def step(stage: str) -> Callable[[int], None] | None:
        return None if progress is None else lambda done: progress(stage, done, total)

    first = list(
        reference_detections
        or detect_all(reference.path, reference.spec, dataset.each(), progress=step("float model"))
    )
    second = detect_all(
        int8.path, int8.spec, dataset.each(), runtime=int8.runtime, progress=step("int8 model")
    )
    rows = []
    if truth is not None:
        rows = precision_rows(truth, first, second, dataset.name, int8.spec.labels, limits.max_drop)
    score = int8.spec.min_score
    allowed = None if _can_fail(rows) else 1 - limits.min_agreement
    if allowed is not None and not any((own.scores >= score).any() for own in (*first, *second)):
        raise DataError(
            dataset.name,
            f"expected pictures in which the model finds something at score {score:g}, got none in {total}",
            "give others, or correct input, decoder or min_score in --spec",
        )
    rows += agreement_rows(first, second, dataset.name, score, allowed)
    return Parity(tuple(rows), tuple(first), tuple(second))


def _can_fail(rows: Sequence[Accuracy]) -> bool:
    """Whether a measure against truth could lose more than allowed.

    A float model that gets nothing right, as with labels of other classes, has nothing to lose.
    """
    return any(row.max_drop is not None and (row.float_value or 0.0) > row.max_drop for row in rows)


def _samples(side: Side, dataset: PictureSet | ArraySet) -> Iterator[FloatInputs]:
    if isinstance(dataset, ArraySet):
        return dataset.each()
    if side.spec.input is None:
        raise DataError(
            dataset.name, "expected a ModelSpec with `input` for pictures, got none", "give --spec"
        )
    return preprocess(dataset.each(), side.spec.input)


def _outputs(
    side: Side, dataset: PictureSet | ArraySet, progress: Progress | None, stage: str
) -> list[list[FloatArray]]:
    states = tuple((state.output, state.input) for state in side.spec.states)
    runner = Runner(
        side.path, states=states, reset_before_invoke=side.spec.reset_before_invoke, runtime=side.runtime
    )
    kept = [i for i, tensor in enumerate(runner.outputs) if tensor.name not in {name for name, _ in states}]
    total = dataset.count if isinstance(dataset, ArraySet) else len(dataset.names)
    results = []
    for count, sample in enumerate(_samples(side, dataset), 1):
        outputs = runner(sample)
        results.append([outputs[i] for i in kept])
        if progress is not None:
            progress(f"{stage} model", count, total)
    return results


def _is_classifier(outputs: Sequence[Sequence[FloatArray]]) -> bool:
    """One output of probabilities that sum to 1."""
    return (
        len(outputs[0]) == 1
        and outputs[0][0].size > 1
        and all(abs(float(own[0].sum()) - 1) < 0.02 and float(own[0].min()) >= -1e-6 for own in outputs[:32])
    )


def _measure_classes(
    dataset: PictureSet | ArraySet,
    reference: Sequence[Sequence[FloatArray]],
    int8: Sequence[Sequence[FloatArray]],
    labels: Sequence[str],
    limits: Limits,
) -> Parity:
    first, second = (np.array([top1(own[0]) for own in outputs]) for outputs in (reference, int8))
    truth = _true_classes(dataset, labels)
    agreement = float((first == second).mean())
    rows: list[Accuracy] = []
    doubts: list[str] = []
    if truth is not None:
        doubts = class_doubts(first, truth, max(reference[0][0].size, 2))
        before, after = (float((found == truth).mean()) for found in (first, second))
        rows.append(Accuracy("top-1", dataset.name, len(first), before, after, max_drop=limits.max_drop))
    judged = None if _can_fail(rows) else 1 - limits.min_agreement
    rows.append(Accuracy("top-1 agreement", dataset.name, len(first), None, agreement, max_drop=judged))
    return Parity(tuple(rows), doubts=tuple(doubts))


def _true_classes(dataset: PictureSet | ArraySet, labels: Sequence[str]) -> NDArray[Any] | None:
    if isinstance(dataset, ArraySet):
        targets = dataset.targets
        if targets is None:
            return None
        return targets.reshape(-1) if targets.ndim == 1 or targets.shape[-1] == 1 else targets.argmax(-1)
    if dataset.classes is None:
        return None
    if not labels or set(labels).isdisjoint(dataset.label_names):
        return np.array(dataset.classes)
    index = {name: i for i, name in enumerate(labels)}
    return np.array([index.get(dataset.label_names[own], -1) for own in dataset.classes])


def _errors(
    reference: Side,
    int8: Side,
    dataset: PictureSet | ArraySet,
    outputs: tuple[list[list[FloatArray]], list[list[FloatArray]]],
    limits: Limits,
) -> Iterator[Accuracy]:
    first, second = outputs
    count = len(first)
    targets = dataset.targets if isinstance(dataset, ArraySet) else None
    for i in range(len(first[0])):
        float_values, int8_values = (
            np.concatenate([own[i].reshape(1, -1) for own in side]) for side in (first, second)
        )
        suffix = f" of output {i}" if len(first[0]) > 1 else ""
        if i == 0 and targets is not None and targets.size == float_values.size:
            truth = targets.reshape(float_values.shape)
            before, after = (float(np.abs(values - truth).mean()) for values in (float_values, int8_values))
            yield Accuracy(f"mean error{suffix}", dataset.name, count, before, after, higher_is_better=False)
        error = relative_error(float_values, int8_values)
        yield Accuracy(
            f"relative error{suffix}",
            dataset.name,
            count,
            None,
            error,
            higher_is_better=False,
            max_drop=limits.max_error,
        )


def _cosine(first: FloatArray, second: FloatArray) -> float:
    a, b = first.reshape(-1).astype(np.float64), second.reshape(-1).astype(np.float64)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
