"""Average precision by pycocotools, the reference implementation.

Source: Lin et al., "Microsoft COCO: Common Objects in Context", 2014; AP over recall 0, 0.01 … 1, at most 100
detections a picture.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.records import Detections


@dataclass(frozen=True)
class AveragePrecision:
    """Averaged over the classes that have boxes in the ground truth, all in 0..1.

    Args:
        ap50: at IoU 0.5.
        ap: over IoU 0.5, 0.55 … 0.95.
        ap50_of: AP at IoU 0.5 of each class, by index.
        boxes_of: ground-truth boxes of each class, by index.
    """

    ap50: float
    ap: float
    ap50_of: dict[int, float]
    boxes_of: dict[int, int]


def average_precision(truth: Sequence[Detections], found: Sequence[Detections]) -> AveragePrecision:
    """Compare detections with ground truth, picture by picture.

    Args:
        truth: boxes and labels; scores are not looked at.
        found: of the same pictures, in the same order.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    classes = sorted({int(label) for boxes in truth for label in boxes.labels})
    if not classes:
        return AveragePrecision(0.0, 0.0, {}, {})
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = {
            "info": {},
            "images": [{"id": i + 1} for i in range(len(truth))],
            "categories": [{"id": label + 1} for label in classes],
            "annotations": [
                {**entry, "id": i + 1, "iscrowd": 0, "area": entry["bbox"][2] * entry["bbox"][3]}
                for i, entry in enumerate(_entries(truth, classes))
            ],
        }
        reference.createIndex()
        results = [
            {**entry, "id": i + 1, "iscrowd": 0, "area": entry["bbox"][2] * entry["bbox"][3]}
            for i, entry in enumerate(_entries(found, classes))
        ]
        answer = COCO()
        answer.dataset = {**reference.dataset, "annotations": results}
        answer.createIndex()
        evaluation = COCOeval(reference, answer, "bbox")
        # Boxes of all sizes at once: the figures by size are not asked for and cost four times as much.
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, class)
    boxes = {label: sum(int((own.labels == label).sum()) for own in truth) for label in classes}
    ap50 = {label: float(np.maximum(precision[0, :, i], 0).mean()) for i, label in enumerate(classes)}
    return AveragePrecision(
        float(np.mean(list(ap50.values()))), float(np.maximum(precision, 0).mean()), ap50, boxes
    )


def _entries(pictures: Sequence[Detections], classes: Sequence[int]) -> list[dict[str, Any]]:
    """COCO's form of boxes, those of other classes left out."""
    return [
        {
            "image_id": i + 1,
            "category_id": int(label) + 1,
            "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
            "score": float(score),
        }
        for i, own in enumerate(pictures)
        for (x1, y1, x2, y2), score, label in zip(
            own.boxes.astype(np.float64), own.scores, own.labels, strict=True
        )
        if int(label) in classes
    ]
