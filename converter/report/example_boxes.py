"""Which boxes of an example picture the float and the int8 model agree on."""

from __future__ import annotations

from dataclasses import dataclass

from converter.report.content import Box, ExampleBox, ExamplePicture

MIN_IOU = 0.5


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box for the page: kind is "same" where the other model found it too, else "only"."""

    x: float
    y: float
    width: float
    height: float
    label: str
    score: float
    kind: str


def drawn_boxes(picture: ExamplePicture) -> tuple[tuple[DrawnBox, ...], tuple[DrawnBox, ...]]:
    """The float and the int8 boxes of a picture, each marked by whether the other has it.

    Boxes are paired one to one, the best overlap first, among those of one label with an IoU of 0.5 or more.
    """
    pairs = sorted(
        (
            (-_iou(a.box, b.box), i, j)
            for i, a in enumerate(picture.float_boxes)
            for j, b in enumerate(picture.int8_boxes)
            if a.label == b.label and _iou(a.box, b.box) >= MIN_IOU
        ),
    )
    used_float: set[int] = set()
    used_int8: set[int] = set()
    for _, i, j in pairs:
        if i not in used_float and j not in used_int8:
            used_float.add(i)
            used_int8.add(j)
    return _draw(picture.float_boxes, used_float), _draw(picture.int8_boxes, used_int8)


def _draw(boxes: tuple[ExampleBox, ...], paired: set[int]) -> tuple[DrawnBox, ...]:
    return tuple(
        DrawnBox(
            x=b.box[0],
            y=b.box[1],
            width=max(b.box[2] - b.box[0], 0.0),
            height=max(b.box[3] - b.box[1], 0.0),
            label=b.label,
            score=b.score,
            kind="same" if i in paired else "only",
        )
        for i, b in enumerate(boxes)
    )


def _iou(a: Box, b: Box) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0
