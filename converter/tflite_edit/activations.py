"""SOFTMAX cut off a detector's end, where the decoder does it, and how far LOGISTIC needs to look.

An Edge TPU takes no SOFTMAX over the classes of every cell, and all of it is wasted on cells without an
object: the agent's decoder does it for the few rows that pass. Codes grow with what they stand for, so that
nothing is lost by comparing them before.
"""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from converter.tflite_edit.edit import EditableModel

LOGISTIC_REACH = 6.25
"""σ beyond ±6.25 is the lowest or highest code: int8 LOGISTIC has steps of 1/256, and σ(-6.25) < 1/512."""
_SCALED_FREELY = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL"})


def cut_softmax(model: EditableModel, position: int) -> bool:
    """Take the SOFTMAX before an output off, in place.

    Looks through the RESHAPE that brings cells into a row.

    Args:
        model: float.
        position: of the output.

    Returns:
        Whether there was one; else nothing was changed.
    """
    tensor, last = model.graph.outputs[position], None
    producer = model.producer(tensor)
    while producer is not None and model.operator_name(producer) == "RESHAPE":
        if model.shape(producer.inputs[0])[-1:] != model.shape(tensor)[-1:] or not _alone(model, tensor):
            return False
        tensor, last = producer.inputs[0], producer
        producer = model.producer(tensor)
    if producer is None or model.operator_name(producer) != "SOFTMAX" or not _alone(model, tensor):
        return False
    if producer.builtinOptions.beta != 1.0:
        return False
    if last is None:
        outputs = list(model.graph.outputs)
        outputs[position] = producer.inputs[0]
        model.set_outputs(outputs)
    else:
        last.inputs[0] = producer.inputs[0]
    model.remove_unused()
    return True


def _alone(model: EditableModel, tensor: int) -> bool:
    """Nothing but the way to one output depends on a tensor."""
    readers: int = len(model.consumers(tensor)) + model.graph.outputs.count(tensor)
    return readers == 1


def logistic_limits(model: EditableModel) -> dict[int, tuple[float, float]]:
    """Bounds for what only a LOGISTIC reads: finer steps where σ changes, the same codes beyond.

    Within `LOGISTIC_REACH`, for tensors whose scale the quantiser may choose freely.
    """
    limits: dict[int, tuple[float, float]] = {}
    for operator in model.named("LOGISTIC"):
        limits |= _limits_above(model, operator)
    return limits


def _limits_above(model: EditableModel, logistic: Any) -> dict[int, tuple[float, float]]:
    found: dict[int, tuple[float, float]] = {}
    tensor = logistic.inputs[0]
    while _alone(model, tensor):
        found[tensor] = (-LOGISTIC_REACH, LOGISTIC_REACH)
        producer = model.producer(tensor)
        if producer is None:
            break
        kind = model.operator_name(producer)
        if kind in _SCALED_FREELY:
            free = schema.ActivationFunctionType.NONE
            return found if producer.builtinOptions.fusedActivationFunction == free else {}
        if kind != "RESHAPE":
            break
        tensor = producer.inputs[0]
    return {}
