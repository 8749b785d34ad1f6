"""How well an int8 action model tells actions apart, through the agent's own runtime."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.actions.recognizer import ActionModel
from agent.detect.interpreter import Interpreter
from agent.errors import DataError
from agent.sequence_model import Float64Array
from agent.vision.model_spec import load_spec, spec_path
from agent.vision.quantize import dequantize, quantize
from models.actions.examples import ACTION_LABELS, ActionExamples
from models.architectures.action import occupancy_maps
from models.evaluate.classification import ClassificationScores, score_classes


@dataclass(frozen=True, slots=True)
class ActionScores:
    """What came of it.

    Args:
        classes: precision, recall, F1 and confusion.
        ms_per_track: of invoking the model, with as many tracks as it takes side by side.
        size_kb: of the file.
    """

    classes: ClassificationScores
    ms_per_track: float
    size_kb: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.classes.as_dict(), "ms_per_track": self.ms_per_track, "size_kb": self.size_kb}


def evaluate_action_model(model: Path, examples: ActionExamples) -> ActionScores:
    """Run a bundle over examples.

    Raises:
        DataError: it tells other actions apart.
        ModelError: it is none, or of another shape.
    """
    labels = load_spec(spec_path(model)).labels
    if labels != tuple(ACTION_LABELS):
        raise DataError(
            str(spec_path(model)), f"expected labels {', '.join(ACTION_LABELS)}, got {', '.join(labels)}"
        )
    interpreter = Interpreter(model, threads=1)
    started = time.perf_counter()
    values = examples.features.astype(np.float64)
    one_by_one = len(interpreter.outputs[0].shape) == 2
    found = _run_maps(interpreter, values) if one_by_one else ActionModel(interpreter, labels)(values)
    seconds = time.perf_counter() - started
    scores = score_classes(labels, examples.classes, found.argmax(axis=1).astype(np.int64))
    return ActionScores(scores, 1e3 * seconds / len(examples), model.stat().st_size / 1000)


def _run_maps(interpreter: Interpreter, features: Float64Array) -> Float64Array:
    """(N, classes) logits of a model that takes the occupancy maps of one track at a time."""
    source, target = interpreter.inputs[0], interpreter.outputs[0]
    found = np.empty((len(features), target.shape[-1]))
    for row, track in enumerate(features):
        maps = occupancy_maps(track[None])
        interpreter.input_view(0)[...] = quantize(maps, source).reshape(source.shape)
        interpreter.invoke()
        found[row] = dequantize(interpreter.output(0), target).reshape(-1)
    return found
