"""Detectors that score every cell of a grid: the YOLO family, FastestDet, YuNet, FCOS-like ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.records import BoolArray, Detections, FloatArray, IntArray
from agent.vision.decode.bind import CellView, Scale, bind_scales
from agent.vision.decode.boxes import (
    BoxFormula,
    bounded_offsets,
    cell_offsets,
    scaled_centres,
    side_distances,
    sigmoid,
)
from agent.vision.model_spec import ModelSpec
from agent.vision.quantize import TensorInfo, at_least, dequantize


@dataclass(frozen=True, slots=True)
class Form:
    """What sets one family apart.

    Args:
        columns: order of the roles in a joined output.
        boxes: how a box is written.
        exponents: of objectness and class score in their product; 0 when there is no objectness.
        strides: where the spec names none.
        boxes_per_cell: anchors.
        on_grid: boxes depend on their cell.
        scale_is_input: the formula's scale is the input's size rather than `box_scale`.
    """

    columns: tuple[str, ...]
    boxes: BoxFormula
    exponents: tuple[float, float]
    strides: tuple[int, ...] = (8, 16, 32)
    boxes_per_cell: int = 1
    on_grid: bool = True
    scale_is_input: bool = False


_WITH_OBJECTNESS = ("boxes", "objectness", "scores")
FORMS = {
    "yolov5": Form(_WITH_OBJECTNESS, scaled_centres, (1.0, 1.0), boxes_per_cell=3, on_grid=False),
    "yolov8": Form(("boxes", "scores"), scaled_centres, (0.0, 1.0), on_grid=False),
    "yolox": Form(_WITH_OBJECTNESS, cell_offsets, (1.0, 1.0)),
    "fastestdet": Form(
        ("objectness", "boxes", "scores"), bounded_offsets, (0.6, 0.4), strides=(16,), scale_is_input=True
    ),
    "yunet": Form(_WITH_OBJECTNESS, cell_offsets, (0.5, 0.5)),
    "anchor-free": Form(("boxes", "scores"), side_distances, (0.0, 1.0), strides=()),
}


class CellDecoder:
    """Scores of all cells, thresholded in the outputs' own domain, to boxes of the few that pass.

    Each cell speaks for its best class only, as the models' authors evaluate them.

    Args:
        spec: of a detector whose decoder is one of `FORMS`.
        outputs: of the file.

    Raises:
        ModelError: the outputs do not fit the decoder.
    """

    suppressed = False

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorInfo]) -> None:
        if spec.input is None or spec.decoder is None:
            raise ModelError(
                spec.name, "expected `input` and `decoder` in the ModelSpec of a detector, got none"
            )
        self._form = form = FORMS[spec.decoder]
        strides = spec.strides or form.strides
        if not strides:
            raise ModelError(spec.name, f"expected `strides` for decoder {spec.decoder}, got none")
        self._scales = bind_scales(
            spec,
            outputs,
            columns=form.columns,
            strides=strides,
            boxes_per_cell=form.boxes_per_cell,
            on_grid=form.on_grid,
        )
        size = (spec.input.width, spec.input.height)
        scale = size if form.scale_is_input else spec.box_scale
        self._scale = np.broadcast_to(np.asarray(scale, np.float32), (2,)).copy()
        self._cells = [_cells(size, part, form) for part in self._scales]
        self.classes: int | None = self._scales[0].roles["scores"].width

    def __call__(self, arrays: Sequence[NDArray[Any]], min_scores: FloatArray) -> Detections:
        """Candidates before NMS.

        Args:
            arrays: the file's outputs, in its order, as they are (codes or floats).
            min_scores: (C,), inf for classes that are not wanted.

        Returns:
            Boxes in px of the input.
        """
        found = [
            self._decode(scale, cells, arrays, min_scores)
            for scale, cells in zip(self._scales, self._cells, strict=True)
        ]
        if len(found) == 1:
            return found[0]
        return Detections(
            np.concatenate([part.boxes for part in found]),
            np.concatenate([part.scores for part in found]),
            np.concatenate([part.labels for part in found]),
        )

    def _decode(
        self,
        scale: Scale,
        cells: tuple[FloatArray, FloatArray],
        arrays: Sequence[NDArray[Any]],
        min_scores: FloatArray,
    ) -> Detections:
        lowest = float(min_scores.min())
        scores_view, objectness_view = scale.roles["scores"], scale.roles.get("objectness")
        table = scores_view.table(arrays)  # (K, C) codes
        if objectness_view is not None:
            # score = objectness^a · class^b with both ≤ 1, so each alone bounds it from above.
            objectness = objectness_view.table(arrays)[:, 0]
            bound = _in_domain(_root(lowest, self._form.exponents[0]), objectness_view)
            rows = np.flatnonzero(at_least(objectness, bound, objectness_view.tensor))
        elif scores_view.activation == "softmax":  # one class alone says nothing of its share
            rows = np.arange(len(table))
        else:
            rows = np.flatnonzero(self._reached(table, scores_view, lowest, min_scores))
        passed = table[rows]  # (n, C)
        # Codes grow with what they stand for, so the best code is the best score.
        labels = passed.argmax(axis=1)
        scores = _best_scores(passed, labels, scores_view)
        if objectness_view is not None:
            a, b = self._form.exponents
            scores = _probability(objectness[rows], objectness_view) ** a * scores**b
        chosen = np.flatnonzero(scores >= min_scores[labels])
        rows = rows[chosen]
        boxes_view = scale.roles["boxes"]
        raw = dequantize(boxes_view.table(arrays)[rows], boxes_view.tensor)
        boxes = self._form.boxes(raw, cells[0][rows], cells[1][rows], self._scale).astype(
            np.float32, copy=False
        )
        detections = Detections(boxes, scores[chosen].astype(np.float32), labels[chosen].astype(np.int64))
        finite = np.isfinite(boxes).all(axis=1)
        return detections if finite.all() else detections[finite]

    def _reached(
        self, table: NDArray[Any], view: CellView, lowest: float, min_scores: FloatArray
    ) -> BoolArray:
        """(K,) rows in which any wanted class reaches the lowest score."""
        wanted: IntArray = np.flatnonzero(np.isfinite(min_scores))
        if 4 * len(wanted) < table.shape[1]:
            table = table[:, wanted]
        best = table.max(axis=1)
        return at_least(best, _in_domain(_root(lowest, self._form.exponents[1]), view), view.tensor)


def _in_domain(probability: float, view: CellView) -> float:
    """A probability as the number that the tensor holds for it: its logit, or itself."""
    if view.activation is None:
        return probability
    if probability <= 0.0:
        return -math.inf
    return math.inf if probability >= 1.0 else math.log(probability / (1.0 - probability))


def _probability(codes: NDArray[Any], view: CellView) -> FloatArray:
    """Codes as scores in 0..1, each by itself."""
    real = dequantize(codes, view.tensor)
    if view.activation is not None:
        return sigmoid(real)
    bounded: FloatArray = np.clip(real, 0.0, 1.0)
    return bounded


def _best_scores(codes: NDArray[Any], labels: IntArray, view: CellView) -> FloatArray:
    """Of rows (n, C) the score (n,) of the best class, whose index is given."""
    if view.activation != "softmax":
        return _probability(np.take_along_axis(codes, labels[:, None], axis=1)[:, 0], view)
    real = dequantize(codes, view.tensor)
    # e^best / Σ e^x; the best is subtracted, so nothing overflows.
    shares: FloatArray = 1.0 / np.exp(real - real.max(axis=1, keepdims=True)).sum(axis=1)
    return shares


def _root(score: float, exponent: float) -> float:
    """The smallest factor f with f^exponent ≥ score, a hair lower so that rounding never drops a row."""
    return score if math.isinf(score) else (score ** (1.0 / exponent)) * (1.0 - 1e-6)


def _cells(size: tuple[int, int], scale: Scale, form: Form) -> tuple[FloatArray, FloatArray]:
    """Column and row of every cell (K, 2), and its stride in px (K, 1), row by row of each grid."""
    if not form.on_grid:
        nowhere = np.broadcast_to(np.float32(0), (scale.roles["boxes"].cells, 2))
        return nowhere, nowhere[:, :1]
    grids, widths = [], []
    for stride in scale.strides:
        columns, rows = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
        y, x = np.mgrid[0:rows, 0:columns]
        grids.append(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32))
        widths.append(np.full((rows * columns, 1), stride, np.float32))
    return np.concatenate(grids), np.concatenate(widths)
