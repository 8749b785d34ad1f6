"""The task of a model that comes without a ModelSpec, guessed by its outputs."""

from __future__ import annotations

import math

from agent.vision.model_spec import Task
from converter.load.float_model import FloatModel
from converter.tflite_edit.edit import EditableModel


def guessed_task(model: FloatModel) -> Task:
    """Classification for one output of one score per class: (1, N) with N > 1, or a single value that a
    LOGISTIC gives. Sequence for all else: feature maps, boxes, measures, states; these are judged by their
    error.
    """
    edited = EditableModel(model.content)
    if model.states or len(edited.graph.outputs) != 1:
        return "sequence"
    (output,) = edited.graph.outputs
    shape = edited.shape(output)
    if math.prod(shape) == 1:
        producer = edited.producer(output)
        single = producer is not None and edited.operator_name(producer) == "LOGISTIC"
        return "classification" if single else "sequence"
    return "classification" if len(shape) == 2 and shape[0] == 1 else "sequence"
