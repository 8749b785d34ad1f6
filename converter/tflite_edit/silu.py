"""Channels of very different size before SiLU, brought to one size without changing the function.

Classic cross-layer equalisation (see `equalize`) stops at SiLU, x·σ(x), because σ does not pass a factor
through.
Here σ gets its own way: with x = s·z, channel by channel,

    silu(x) / s = z · σ(s · z)

so the convolution computes z (its weights and bias divided by s), one product with the constant s gives σ its
argument, and the next convolution's weights are multiplied by s. Each channel of z and of the result uses all
256 codes, whereas a stem like YOLOX-nano's has channels that reach 130 beside others that reach 1. The
argument of σ may be clipped to ±8 as σ is flat beyond, and so may z where x is below -6: silu is 0 there.

What a CONCATENATION joins shares one scale, so SiLUs that meet in one are equalised together: to 1, or to the
reach of what they are joined with where that cannot be equalised. Else one part would be left with few codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converter.tflite_edit.channels import OUT_AXIS, PASSING, readers, scale_inputs, scale_outputs
from converter.tflite_edit.edit import EditableModel
from converter.tflite_edit.operators import new_operator

FLAT_BELOW = -6.0
"""silu(-6) is -0.015: what lies further down may as well be this."""
GATE_LIMIT = 8.0
"""σ(8) is 0.9997, less than a code away from 1."""
MIN_SPREAD = 2.0
"""Ratio of the largest to the median channel from which on it is worth a product."""


@dataclass(frozen=True)
class Silu:
    """x·σ(x) in a graph: the operators, and the tensors x, σ(x) and x·σ(x)."""

    convolution: Any
    gate: Any
    product: Any
    argument: int
    result: int


def find_silus(model: EditableModel) -> list[Silu]:
    """Every SiLU whose argument comes from a convolution and is read by nothing else."""
    found = []
    for gate in model.named("LOGISTIC"):
        argument, value = gate.inputs[0], gate.outputs[0]
        gated, users = model.consumers(value), model.consumers(argument)
        convolution = model.producer(argument)
        if (
            len(gated) == 1
            and len(users) == 2
            and model.operator_name(gated[0]) == "MUL"
            and argument in gated[0].inputs
            and convolution is not None
            and model.operator_name(convolution) in OUT_AXIS
            and convolution.builtinOptions.fusedActivationFunction == schema.ActivationFunctionType.NONE
            and all(model.constant(own) is not None for own in convolution.inputs[1:])
            and len(convolution.inputs) == 3
        ):
            found.append(Silu(convolution, gate, gated[0], argument, gated[0].outputs[0]))
    return found


def silu_limits(model: EditableModel) -> dict[int, tuple[float, float]]:
    """Bounds for the arguments of all SiLUs: below `FLAT_BELOW` nothing depends on how far."""
    return {silu.argument: (FLAT_BELOW, np.inf) for silu in find_silus(model)}


def statistics_needed(model: EditableModel) -> list[int]:
    """The activations whose smallest and largest values `equalize_silus` asks for."""
    joined = [tensor for operator in model.named("CONCATENATION") for tensor in operator.inputs]
    wanted = dict.fromkeys([*(silu.argument for silu in find_silus(model)), *joined])
    return [tensor for tensor in wanted if model.constant(tensor) is None]


def equalize_silus(
    model: EditableModel, low_of: Mapping[int, NDArray[Any]], high_of: Mapping[int, NDArray[Any]]
) -> dict[int, tuple[float, float]]:
    """Equalise every SiLU where it helps and all that reads it can take up the factors, in place.

    Args:
        low_of, high_of: by activation tensor (`statistics_needed`), the smallest and largest value of each
            channel.

    Returns:
        Bounds for the activations that this made: z within the size of its group, and the argument of σ;
            empty when nothing changed.
    """
    limits: dict[int, tuple[float, float]] = {}
    able = [silu for silu in find_silus(model) if readers(model, silu.result, 0) is not None]
    for group, size in _groups(model, able, low_of, high_of):
        reaches = [_reach(silu, low_of, high_of) for silu in group]
        if all(own.max() < MIN_SPREAD * max(float(np.median(own)), 1e-6) for own in reaches):
            continue
        for silu, reach in zip(group, reaches, strict=True):
            # Whole multiples of one step, so that the constant is exact in int8.
            step = reach.max() / size / 127
            factor = (np.clip(np.ceil(reach / size / step), 1, 127) * step).astype(np.float32)
            scale_outputs(model, silu.convolution, 1 / factor)
            for operator, offset in readers(model, silu.result, 0) or ():
                scale_inputs(model, operator, offset, factor)
            limits[silu.argument] = (-size, np.inf)
            limits[_insert_factor(model, silu, factor)] = (-GATE_LIMIT, GATE_LIMIT)
    return limits


def _reach(
    silu: Silu, low_of: Mapping[int, NDArray[Any]], high_of: Mapping[int, NDArray[Any]]
) -> NDArray[np.float64]:
    """How far from 0 each channel of the argument goes, what lies on σ's flat side left out."""
    low, high = low_of[silu.argument], high_of[silu.argument]
    return np.maximum(high, np.minimum(-low, -FLAT_BELOW)).astype(np.float64)


def _groups(
    model: EditableModel,
    silus: Sequence[Silu],
    low_of: Mapping[int, NDArray[Any]],
    high_of: Mapping[int, NDArray[Any]],
) -> list[tuple[list[Silu], float]]:
    """SiLUs that meet in CONCATENATIONs, with the size that they shall have there."""
    groups: list[tuple[list[Silu], float, set[int]]] = []
    results = {silu.result for silu in silus}
    for silu in silus:
        joins = _joins(model, silu.result)
        others = [
            tensor
            for operator in model.named("CONCATENATION")
            if operator.outputs[0] in joins
            for tensor in operator.inputs
            if tensor in high_of and not _sources(model, tensor) <= results
        ]
        reaches = [max(float(np.max(high_of[own])), -float(np.min(low_of[own]))) for own in others]
        size = max(reaches, default=0.0)
        met = [own for own in groups if own[2] & joins]
        groups = [own for own in groups if not own[2] & joins]
        members = [silu for own in met for silu in own[0]]
        groups.append(
            (
                [*members, silu],
                max([size, *(own[1] for own in met)]),
                joins.union(*(own[2] for own in met)),
            )
        )
    return [(members, size or 1.0) for members, size, _ in groups]


def _joins(model: EditableModel, tensor: int) -> set[int]:
    """Results of the CONCATENATIONs that a tensor goes into, straight or through what passes it on."""
    found: set[int] = set()
    for reader in model.consumers(tensor):
        kind = model.operator_name(reader)
        if kind == "CONCATENATION":
            found.add(reader.outputs[0])
        if kind == "CONCATENATION" or kind in PASSING:
            found |= _joins(model, reader.outputs[0])
    return found


def _sources(model: EditableModel, tensor: int) -> set[int]:
    """What a tensor's values were before operators that only pass on or join them."""
    producer = model.producer(tensor)
    if producer is None:
        return {tensor}
    kind = model.operator_name(producer)
    if kind == "CONCATENATION":
        return {source for own in producer.inputs for source in _sources(model, own)}
    return _sources(model, producer.inputs[0]) if kind in PASSING else {tensor}


def _insert_factor(model: EditableModel, silu: Silu, factor: NDArray[np.float32]) -> int:
    """σ reads s·z from now on; returns that tensor."""
    name = model.name(silu.argument)
    constant = model.add_tensor(f"{name}_factor", [1, 1, 1, len(factor)], factor.reshape(1, 1, 1, -1))
    options = schema.MulOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.NONE
    shape = model.shape(silu.argument)
    argument = new_operator(
        model,
        schema.BuiltinOperator.MUL,
        [silu.argument, constant],
        shape,
        options,
        schema.BuiltinOptions.MulOptions,
        f"{name}_gate",
        before=silu.gate,
    )
    silu.gate.inputs = [argument]
    return argument
