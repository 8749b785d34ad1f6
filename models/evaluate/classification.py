"""Accuracy, precision, recall, F1 and the confusion matrix of a classifier, also of a `.tflite` bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.detect.interpreter import Interpreter
from agent.errors import DataError, ModelError
from agent.records import FloatArray, ImageArray, IntArray
from agent.vision.letterbox import Letterbox
from agent.vision.model_spec import ModelSpec, load_spec, spec_path
from agent.vision.quantize import dequantize
from models.data.classification_set import ClassificationSet


@dataclass(frozen=True, slots=True)
class ClassificationScores:
    """How well classes were told apart.

    Args:
        labels: class names.
        confusion: (C, C) pictures of the row's class that were taken for the column's.
    """

    labels: tuple[str, ...]
    confusion: IntArray

    @property
    def accuracy(self) -> float:
        """Part of the pictures whose class was found, 0..1."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def precision(self) -> FloatArray:
        """(C,) part of those taken for a class that were of it; 0 where none was."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def recall(self) -> FloatArray:
        """(C,) part of a class that was found; 0 where the class does not occur."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=1))

    @property
    def f1(self) -> FloatArray:
        """(C,) harmonic mean of precision and recall."""
        return _ratio(2 * self.precision * self.recall, self.precision + self.recall)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pictures": int(self.confusion.sum()),
            "accuracy": self.accuracy,
            "macro_f1": float(self.f1.mean()),
            "classes": {
                label: {"precision": float(p), "recall": float(r), "f1": float(f)}
                for label, p, r, f in zip(self.labels, self.precision, self.recall, self.f1, strict=True)
            },
            "confusion": self.confusion.tolist(),
        }


def score_classes(labels: tuple[str, ...], true: IntArray, found: IntArray) -> ClassificationScores:
    """Compare classes.

    Args:
        labels: class names.
        true, found: (N,) int64 indices into them, N at least 1.

    Raises:
        DataError: there is nothing to compare.
    """
    if not len(true):
        raise DataError("classification", "expected pictures to judge, got none")
    confusion = np.bincount(true * len(labels) + found, minlength=len(labels) ** 2)
    return ClassificationScores(labels, confusion.reshape(len(labels), len(labels)))


class TfliteClassifier:
    """A classification bundle on the agent's own runtime.

    Args:
        model: the `.tflite` file, its ModelSpec beside it.
        threads: of the runtime.

    Raises:
        ModelError: the model, its spec or the runtime do not fit.
    """

    def __init__(self, model: Path, threads: int = 2) -> None:
        self.spec: ModelSpec = load_spec(spec_path(model))
        if self.spec.task != "classification" or self.spec.input is None:
            raise ModelError(
                self.spec.name, f"expected a classification model with `input`, got one for {self.spec.task}"
            )
        self._interpreter = Interpreter(model, threads=threads)
        outputs = self._interpreter.outputs
        if len(outputs) != 1 or outputs[0].shape != (1, len(self.spec.labels)):
            raise ModelError(
                self.spec.name,
                f"expected one output (1, {len(self.spec.labels)}), "
                f"the file holds {', '.join(map(str, outputs))}",
            )
        self._letterbox = Letterbox(self.spec.input, self._interpreter.inputs[0])
        self._buffer = self._letterbox.new_buffer()

    def __call__(self, image: ImageArray) -> FloatArray:
        """(C,) float32 scores of one (H, W, 3) uint8 BGR picture."""
        self._letterbox(image, self._buffer)
        self._interpreter.input_view(0)[...] = self._buffer
        self._interpreter.invoke()
        scores: FloatArray = dequantize(self._interpreter.output(0), self._interpreter.outputs[0])[0].copy()
        return scores


def evaluate_bundle(model: Path, data: ClassificationSet) -> ClassificationScores:
    """Run a bundle over labelled pictures.

    Raises:
        DataError: the set has other classes than the model.
    """
    classify = TfliteClassifier(model)
    if classify.spec.labels != data.labels:
        raise DataError(
            "labels", f"expected the model's {', '.join(classify.spec.labels)}, got {', '.join(data.labels)}"
        )
    images = data.images if data.images.shape[3] == 3 else np.repeat(data.images, 3, axis=3)
    found = np.array([int(classify(np.ascontiguousarray(image)).argmax()) for image in images], np.int64)
    return score_classes(data.labels, data.classes, found)


def _ratio(part: Any, whole: Any) -> FloatArray:
    """part / whole, 0 where whole is 0."""
    ratio: FloatArray = np.divide(
        part, whole, out=np.zeros(len(part), np.float64), where=np.asarray(whole) > 0
    )
    return ratio
