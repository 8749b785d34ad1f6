"""Accuracy, precision, recall, F1 and the confusion matrix of a classifier, also of a `.tflite` bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.detect.classifier import Classifier
from agent.errors import DataError
from agent.records import FloatArray, IntArray
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


def evaluate_bundle(model: Path, data: ClassificationSet) -> ClassificationScores:
    """Run a bundle over labelled pictures.

    Raises:
        DataError: the set has other classes than the model.
    """
    classify = Classifier(model)
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
