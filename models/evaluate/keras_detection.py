"""A detector as Keras holds it, between two epochs: what it finds, judged as a bundle is."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from agent.errors import ModelError
from agent.records import Detections
from agent.vision.decode.decoder import Decoder
from agent.vision.letterbox import Letterbox, place
from agent.vision.model_spec import ModelSpec
from agent.vision.quantize import TensorInfo
from models.data.detection_set import DetectionSet, read_picture
from models.evaluate.annotations import Annotations
from models.evaluate.detection import DetectionScores, evaluate_detections

_LOWEST_SCORE = 0.02


def measure_keras_detector(
    model: Any, spec: ModelSpec, data: DetectionSet, batch_size: int = 16
) -> DetectionScores:
    """AP of a Keras detector, through the agent's own letterbox and decoder.

    Args:
        model: of `build_detector`.
        spec: its ModelSpec.
        data: pictures and truth.
    """
    if spec.input is None:
        raise ModelError(spec.name, "expected `input` in the ModelSpec of a detector, got none")
    tensor = TensorInfo("image", (1, spec.input.height, spec.input.width, 3), np.dtype(np.float32))
    letterbox = Letterbox(spec.input, tensor)
    decoder: Decoder | None = None
    truth: dict[Hashable, Annotations] = {}
    found: dict[Hashable, Detections] = {}
    for start in range(0, len(data), batch_size):
        samples = data.samples[start : start + batch_size]
        inputs = np.zeros((len(samples), *tensor.shape[1:]), np.float32)
        for row, sample in enumerate(samples):
            letterbox(read_picture(sample.path), inputs[row : row + 1])
        outputs = [np.asarray(output) for output in model(inputs, training=False)]
        if decoder is None:
            infos = [
                TensorInfo(f"output {n}", (1, *out.shape[1:]), np.dtype(np.float32))
                for n, out in enumerate(outputs)
            ]
            decoder = Decoder(spec, infos, min_score=_LOWEST_SCORE, max_detections=100)
        for row, sample in enumerate(samples):
            seen = decoder([output[row : row + 1] for output in outputs])
            boxes = place(sample.size, spec.input).to_frame(seen.boxes)
            found[sample.path] = Detections(boxes, seen.scores, seen.labels)
            truth[sample.path] = Annotations(sample.size, sample.boxes, sample.labels, sample.ignored)
    return evaluate_detections(truth, found, data.labels)
