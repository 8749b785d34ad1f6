"""Output tensors to detections: thresholds, boxes and NMS in one call."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.records import Detections, FloatArray
from agent.vision.decode.cells import FORMS, CellDecoder
from agent.vision.decode.lists import EndToEndDecoder, PostProcessDecoder
from agent.vision.labels import check_labels
from agent.vision.model_spec import ModelSpec
from agent.vision.nms import keep_best
from agent.vision.quantize import TensorInfo


class CandidateDecoder(Protocol):
    """What one family of decoders does."""

    classes: int | None
    """Number of classes, as far as the outputs tell it."""
    suppressed: bool
    """True when the model has done NMS itself."""

    def __call__(self, arrays: Sequence[NDArray[Any]], min_scores: FloatArray) -> Detections:
        """Outputs to candidates in px of the input; `min_scores` (C,), inf for classes not wanted."""
        ...


class Decoder:
    """Output arrays of one model to detections in px of the model's input.

    Pure: no state between calls. Bound to the file's outputs when made, so that what does not fit is
    refused then.

    Args:
        spec: of a detector.
        outputs: of the file, in its order.
        min_score: score below which detections are dropped; None for the spec's own.
        min_score_by_label: of single classes, by name.
        wanted: names of the classes to keep; empty for all.
        max_detections: at most this many are returned, best first.
        labels_source: where the labels come from, for the error message; empty for the spec itself.

    Raises:
        ModelError: the outputs do not fit the decoder, there are fewer labels than classes, or a name in
            `min_score_by_label` or `wanted` is no label of the model.
    """

    def __init__(
        self,
        spec: ModelSpec,
        outputs: Sequence[TensorInfo],
        *,
        min_score: float | None = None,
        min_score_by_label: Mapping[str, float] | None = None,
        wanted: Collection[str] = (),
        max_detections: int = 300,
        labels_source: str = "",
    ) -> None:
        self._decode = _candidate_decoder(spec, outputs)
        classes = self._decode.classes
        if spec.labels and classes is not None:
            check_labels(labels_source or spec.name, spec.labels, classes)
        self.labels: tuple[str, ...] = spec.labels or tuple(f"class-{n}" for n in range(classes or 1))
        self._min_iou = 1.0 if self._decode.suppressed else spec.min_iou_nms
        self._max_detections = max_detections
        scores = np.full(len(self.labels), spec.min_score if min_score is None else min_score, np.float32)
        for name, score in (min_score_by_label or {}).items():
            scores[self._rows(spec, name)] = score
        if wanted:
            kept = np.zeros(len(self.labels), np.bool_)
            for name in wanted:
                kept[self._rows(spec, name)] = True
            scores[~kept] = np.inf
        self._min_scores: FloatArray = scores[:classes] if classes is not None else scores

    def __call__(self, arrays: Sequence[NDArray[Any]]) -> Detections:
        """Decode one frame's outputs.

        Args:
            arrays: all outputs of the file, in its order, as they are: codes or floats.

        Returns:
            (N,) detections in px of the input, best score first, after NMS.
        """
        candidates = self._decode(arrays, self._min_scores)
        return candidates[keep_best(candidates, self._min_iou, self._max_detections)]

    def _rows(self, spec: ModelSpec, name: str) -> list[int]:
        """Class ids of a name; a name may stand for several."""
        rows = [row for row, label in enumerate(self.labels) if label == name]
        if not rows:
            known = ", ".join(self.labels[:10]) + (" …" if len(self.labels) > 10 else "")
            raise ModelError(spec.name, f"expected one of the model's labels ({known}), got {name!r}")
        return rows


def _candidate_decoder(spec: ModelSpec, outputs: Sequence[TensorInfo]) -> CandidateDecoder:
    if spec.task != "detection" or spec.decoder is None:
        raise ModelError(
            spec.name, f"expected a detection model, got one for {spec.task}", "use a model that finds boxes"
        )
    if spec.decoder in FORMS:
        return CellDecoder(spec, outputs)
    if spec.decoder == "ssd-postprocess":
        return PostProcessDecoder(spec, outputs)
    return EndToEndDecoder(spec, outputs)
