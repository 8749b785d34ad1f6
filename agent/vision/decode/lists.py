"""Detectors whose file ends in a finished list of boxes: nothing is left but to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.records import Detections, FloatArray, IntArray
from agent.vision.decode.bind import describe, find_output, view_cells
from agent.vision.model_spec import ModelSpec, OutputSpec
from agent.vision.quantize import TensorInfo, dequantize

POST_PROCESS = "TFLite_Detection_PostProcess"
_ROLES = ("boxes", "classes", "scores", "count")  # the operator's outputs, in its order


def bind_post_process(outputs: Sequence[TensorInfo]) -> dict[str, int]:
    """Which output of TFLite_Detection_PostProcess is which, from what the file says of them.

    By the operator that writes them where the runtime tells it; else by name: `…PostProcess`, `:1`, `:2`,
    `:3` of TensorFlow 1, `StatefulPartitionedCall:n` of TensorFlow 2. There the numbers run as the operator's
    outputs do, forward or backward; which of the two is told by the shapes, since only the boxes are
    (1, N, 4) and only the count is one number.

    Returns:
        Position among `outputs` of "boxes", "classes", "scores" and "count".

    Raises:
        ModelError: the outputs leave a doubt.
    """
    refused = ModelError(
        "outputs",
        f"expected the four of {POST_PROCESS}, the file holds {describe(outputs)}",
        "name each output and its role (boxes, classes, scores, count) in the ModelSpec",
    )
    if len(outputs) != 4:
        raise refused
    if all(output.producer[0] == POST_PROCESS for output in outputs):
        bound = {_ROLES[output.producer[1]]: index for index, output in enumerate(outputs)}
    else:
        stems = {output.name.partition(":")[0] for output in outputs}
        numbers = [output.name.partition(":")[2] or "0" for output in outputs]
        if len(stems) != 1 or not all(number.isdigit() for number in numbers):
            raise refused
        order = sorted(range(4), key=lambda index: int(numbers[index]))
        if outputs[order[0]].shape[-1:] != (4,):
            order.reverse()
        bound = dict(zip(_ROLES, order, strict=True))
    if len(bound) != 4 or not _shapes_fit(bound, outputs):
        raise refused
    return bound


def _shapes_fit(bound: dict[str, int], outputs: Sequence[TensorInfo]) -> bool:
    boxes, classes, scores, count = (outputs[bound[role]].shape for role in _ROLES)
    return len(boxes) == 3 and boxes[2] == 4 and classes == scores == boxes[:2] and int(np.prod(count)) == 1


class PostProcessDecoder:
    """TFLite_Detection_PostProcess, which has done NMS already: boxes as ymin, xmin, ymax, xmax in 0..1.

    Args:
        spec: `outputs` names the four roles; when it is empty they are bound by `bind_post_process`.
        outputs: of the file.

    Raises:
        ModelError: the outputs are not those of the operator.
    """

    suppressed = True

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorInfo]) -> None:
        if spec.input is None:
            raise ModelError(spec.name, "expected `input` in the ModelSpec of a detector, got none")
        if spec.outputs:
            self._bound = {output.role: find_output(output, outputs) for output in spec.outputs}
            if set(self._bound) != set(_ROLES) or not _shapes_fit(self._bound, outputs):
                problem = f"expected the roles {', '.join(_ROLES)}, the file holds {describe(outputs)}"
                raise ModelError(spec.name, problem, "correct `outputs` in the ModelSpec")
        else:
            self._bound = bind_post_process(outputs)
        self._tensors = outputs
        self._size = np.array([spec.input.width, spec.input.height] * 2, np.float32)
        self.classes = len(spec.labels) or None

    def __call__(self, arrays: Sequence[NDArray[Any]], min_scores: FloatArray) -> Detections:
        """As `CellDecoder`; the classes are those of the labels."""
        count = min(max(int(self._real(arrays, "count").flat[0]), 0), arrays[self._bound["scores"]].size)
        scores = self._real(arrays, "scores").reshape(-1)[:count]
        labels = self._real(arrays, "classes").reshape(-1)[:count].astype(np.int64)
        boxes = self._real(arrays, "boxes").reshape(-1, 4)[:count][:, [1, 0, 3, 2]] * self._size
        return _select(boxes, scores, labels, min_scores)

    def _real(self, arrays: Sequence[NDArray[Any]], role: str) -> FloatArray:
        index = self._bound[role]
        return dequantize(arrays[index], self._tensors[index])


class EndToEndDecoder:
    """Rows of xmin, ymin, xmax, ymax, score, class, for models that need no NMS (YOLOv10 and its kind).

    Raises:
        ModelError: the output is not (1, N, 6).
    """

    suppressed = True

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorInfo]) -> None:
        wanted = spec.outputs[0] if spec.outputs else OutputSpec(role="predictions", index=0)
        index = find_output(wanted, outputs)
        self._view = view_cells("predictions", index, outputs[index], channels=6)
        self._scale = np.tile(np.broadcast_to(np.asarray(spec.box_scale, np.float32), (2,)), 2)
        self.classes = len(spec.labels) or None

    def __call__(self, arrays: Sequence[NDArray[Any]], min_scores: FloatArray) -> Detections:
        """As `CellDecoder`; the classes are those of the labels."""
        rows = dequantize(self._view.table(arrays), self._view.tensor)
        return _select(
            rows[:, :4] * self._scale, rows[:, 4], np.rint(rows[:, 5]).astype(np.int64), min_scores
        )


def _select(boxes: FloatArray, scores: FloatArray, labels: IntArray, min_scores: FloatArray) -> Detections:
    """The rows that reach their class's score.

    Raises:
        ModelError: one that reaches the lowest score has a class without a name.
    """
    rows = np.flatnonzero((scores >= min_scores.min()) & np.isfinite(boxes).all(axis=1))
    if len(rows) and not 0 <= labels[rows].min() <= labels[rows].max() < len(min_scores):
        raise ModelError(
            "labels",
            f"expected a name for class {int(labels[rows].max())}, got {len(min_scores)} names",
            "give the labels file that belongs to the model",
        )
    rows = rows[scores[rows] >= min_scores[labels[rows]]]
    return Detections(boxes[rows].astype(np.float32), scores[rows].astype(np.float32), labels[rows])
