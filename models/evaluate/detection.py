"""Average precision and recall of detections, judged by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from agent.errors import DataError
from agent.geometry.boxes import areas, xyxy_to_ltwh
from agent.records import Detections
from models.evaluate.annotations import Annotations

_SIZES = ("all", "small", "medium", "large")  # COCO's: below 32² px, below 96² px, above


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class, or the mean over classes. NaN where there is no object of that class or size.

    Args:
        objects: how many there truly are.
        ap: average precision over IoU 0.50, 0.55 … 0.95.
        ap50: average precision at IoU 0.50.
        ap75: average precision at IoU 0.75.
        ar: average recall over IoU 0.50 … 0.95 with at most 100 detections a picture.
        ap_by_size, ar_by_size: for objects below 32² px, below 96² px, and above.
    """

    objects: int
    ap: float
    ap50: float
    ap75: float
    ar: float
    ap_by_size: dict[str, float]
    ar_by_size: dict[str, float]


@dataclass(frozen=True, slots=True)
class DetectionScores:
    """Of a whole data set.

    Args:
        images: how many pictures.
        mean: over the classes that occur.
        classes: by name, those that occur.
    """

    images: int
    mean: ClassScore
    classes: dict[str, ClassScore]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; NaN becomes None."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(item) for key, item in value.items()}
            return None if isinstance(value, float) and np.isnan(value) else value

        content: dict[str, Any] = plain(asdict(self))
        return content


def evaluate_detections(
    truth: Mapping[Hashable, Annotations],
    found: Mapping[Hashable, Detections],
    labels: Sequence[str],
    *,
    only: Iterable[str] = (),
) -> DetectionScores:
    """Compare detections with the truth by the rules of COCO.

    Args:
        truth: by picture.
        found: by picture; one that is missing had no detections. Low scores belong in it: average precision
            sweeps over them.
        labels: class names in the order of the ids of both.
        only: names of the classes to judge; empty for all.

    Raises:
        DataError: there is no picture, no object, or a class id without a name.

    Source: Lin et al., Microsoft COCO, ECCV 2014; cocodataset.org/#detection-eval.
    """
    wanted = {labels.index(name) for name in only} if only else set(range(len(labels)))
    keys = list(truth)
    objects = [row for number, key in enumerate(keys) for row in _truth_rows(number, truth[key], wanted)]
    highest = max((int(part.labels.max()) for part in truth.values() if len(part.labels)), default=-1)
    if highest >= len(labels):
        raise DataError("ground truth", f"expected class ids below {len(labels)}, got {highest}")
    if not objects:
        raise DataError("ground truth", f"expected objects to find, got none in {len(keys)} pictures")
    rows = [row for number, key in enumerate(keys) if key in found for row in _found_rows(number, found[key])]
    present = sorted({row["category_id"] for row in objects if not row["iscrowd"]})
    evaluation = _run_coco(keys, truth, objects, rows, present)
    counts = np.bincount([row["category_id"] for row in objects if not row["iscrowd"]], minlength=len(labels))
    classes = {
        labels[class_id]: _score(evaluation, int(counts[class_id]), [column])
        for column, class_id in enumerate(present)
    }
    mean = _score(evaluation, int(counts.sum()), list(range(len(present))))
    return DetectionScores(len(keys), mean, classes)


def _truth_rows(number: int, part: Annotations, wanted: set[int]) -> list[dict[str, Any]]:
    boxes = xyxy_to_ltwh(part.boxes).tolist()
    sizes = areas(part.boxes).tolist()
    return [
        {"image_id": number, "category_id": label, "bbox": box, "area": size, "iscrowd": int(ignored)}
        for box, size, label, ignored in zip(
            boxes, sizes, part.labels.tolist(), part.ignored.tolist(), strict=True
        )
        if label in wanted
    ]


def _found_rows(number: int, part: Detections) -> list[dict[str, Any]]:
    boxes = xyxy_to_ltwh(part.boxes).tolist()
    return [
        {"image_id": number, "category_id": label, "bbox": box, "score": score}
        for box, label, score in zip(boxes, part.labels.tolist(), part.scores.tolist(), strict=True)
    ]


def _run_coco(
    keys: list[Hashable],
    truth: Mapping[Hashable, Annotations],
    objects: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    classes: list[int],
) -> dict[str, Any]:
    """COCOeval's accumulated tables: precision (T, R, K, A, M) and recall (T, K, A, M)."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # both print their progress
        judge = COCO()
        judge.dataset = {
            "info": {},
            "images": [
                {"id": number, "width": truth[key].size[0], "height": truth[key].size[1]}
                for number, key in enumerate(keys)
            ],
            "categories": [{"id": class_id} for class_id in classes],
            "annotations": [{"id": number, **row} for number, row in enumerate(objects, 1)],
        }
        judge.createIndex()
        results = COCO()
        results.dataset = {
            **judge.dataset,
            "annotations": [
                {"id": number, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0, **row}
                for number, row in enumerate(rows, 1)
            ],
        }
        results.createIndex()
        evaluation = COCOeval(judge, results, "bbox")
        evaluation.params.catIds = classes
        evaluation.params.imgIds = list(range(len(keys)))
        evaluation.evaluate()
        evaluation.accumulate()
    tables: dict[str, Any] = evaluation.eval
    return tables


def _score(tables: dict[str, Any], objects: int, columns: list[int]) -> ClassScore:
    """Means over the tables; -1 in them stands for "no such object"."""
    precision = tables["precision"][..., -1][:, :, columns]  # (T, R, K, A)
    recall = tables["recall"][..., -1][:, columns]  # (T, K, A)

    def mean(values: Any) -> float:
        known = values[values > -1]
        return float(known.mean()) if known.size else float("nan")

    return ClassScore(
        objects=objects,
        ap=mean(precision[..., 0]),
        ap50=mean(precision[0, :, :, 0]),
        ap75=mean(precision[5, :, :, 0]),
        ar=mean(recall[..., 0]),
        ap_by_size={size: mean(precision[..., n]) for n, size in enumerate(_SIZES) if n},
        ar_by_size={size: mean(recall[..., n]) for n, size in enumerate(_SIZES) if n},
    )
