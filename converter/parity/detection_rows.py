"""What a report tells of two detectors: how precise both are, and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence

from agent.records import Detections
from converter.parity.agreement import UNSURE, box_agreement, clear_agreement
from converter.parity.average_precision import average_precision
from converter.report.content import Accuracy


def precision_rows(
    truth: Sequence[Detections],
    first: Sequence[Detections],
    second: Sequence[Detections],
    dataset: str,
    labels: Sequence[str],
    max_drop: float,
) -> list[Accuracy]:
    """Average precision over all classes, and of the class with most boxes; both are judged at IoU 0.5.

    Args:
        truth: by picture, with at least one box.
        first, second: what the float and the int8 model found in the same pictures.
        dataset: its name.
        labels: names of the model's classes.
        max_drop: what int8 may lose.
    """
    before, after = average_precision(truth, first), average_precision(truth, second)
    total = len(truth)
    largest = max(before.boxes_of, key=lambda label: before.boxes_of[label])
    name = labels[largest] if largest < len(labels) else f"class {largest}"
    rows = []
    if len(before.boxes_of) > 1:
        rows.append(Accuracy("mAP50", dataset, total, before.ap50, after.ap50, max_drop=max_drop))
    own = before.ap50_of[largest], after.ap50_of[largest]
    rows.append(Accuracy(f"AP50 {name}", dataset, total, *own, max_drop=max_drop))
    rows.append(Accuracy("mAP50-95", dataset, total, before.ap, after.ap))
    return rows


def agreement_rows(
    first: Sequence[Detections],
    second: Sequence[Detections],
    dataset: str,
    min_score: float,
    max_drop: float | None,
) -> list[Accuracy]:
    """Boxes that both models find at a score.

    Args:
        first, second: of the float and the int8 model, by picture.
        dataset: its name.
        min_score: of boxes that count.
        max_drop: what may lack to full agreement; None: it is not judged.
    """
    agreement = box_agreement(_above(first, min_score), _above(second, min_score))
    total, score = len(first), f"at score {min_score:g}"
    clear = clear_agreement(first, second, min_score)
    left_out = f"those within {UNSURE:g} of it left out"
    return [
        Accuracy(f"box agreement {score}", dataset, total, None, agreement.f1, max_drop=max_drop),
        Accuracy(f"float boxes found {score}", dataset, total, None, agreement.recall),
        Accuracy(f"int8 boxes confirmed {score}", dataset, total, None, agreement.precision),
        Accuracy(f"box agreement {score}, {left_out}", dataset, total, None, clear),
    ]


def _above(pictures: Sequence[Detections], min_score: float) -> list[Detections]:
    return [own[own.scores >= min_score] for own in pictures]
