"""Which tensor of the float model an int8 tensor stands for.

Converters rename, add and drop operators, so no single sign is enough. Tried in this order: the same name;
values that agree; the same operator on inputs that were matched before (which finds a layer even when int8
destroyed its values); the same place among the model's outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.records import FloatArray
from converter.preserved_tensors import fit_layout
from converter.tflite_model.structure import Operator, Subgraph, Tensor

PASSING = frozenset(
    {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "PAD", "CAST"}
)
"""Operators that may stand in one model and not in the other without changing what is computed."""
CERTAIN_AGREEMENT = 0.9999
SURE_AGREEMENT = 0.97
LIKELY_AGREEMENT = 0.8
_SAMPLE = 20_000


def match_layers(
    int8: Subgraph,
    reference: Subgraph,
    int8_values: Mapping[int, FloatArray],
    reference_values: Mapping[int, FloatArray],
) -> dict[int, int]:
    """Pair the activations of two models.

    Args:
        int8: main subgraph of the int8 model.
        reference: main subgraph of the float model.
        int8_values, reference_values: real values of the activations by tensor index, from one run on the
            same input; tensors without values are not matched.

    Returns:
        Index of the float tensor by index of the int8 tensor, for those that were found.
    """
    matcher = _Matcher(int8, reference, int8_values, reference_values)
    for op in int8.operators:
        for index in op.outputs:
            found = matcher.find(op, index)
            if found is not None:
                matcher.matched[index] = found
    if len(int8.outputs) == len(reference.outputs):
        for index, other in zip(int8.outputs, reference.outputs, strict=True):
            if index not in matcher.matched and matcher.comparable(index, other):
                matcher.matched[index] = other
    return matcher.matched


class _Matcher:
    def __init__(
        self,
        int8: Subgraph,
        reference: Subgraph,
        int8_values: Mapping[int, FloatArray],
        reference_values: Mapping[int, FloatArray],
    ) -> None:
        self._int8, self._reference = int8, reference
        self._int8_values, self._reference_values = int8_values, reference_values
        self.matched: dict[int, int] = dict(zip(int8.inputs, reference.inputs, strict=False))
        self._by_name = {_plain_name(t.name): t.index for t in reference.tensors if not t.constant and t.name}
        self._producer = {i: op for op in reference.operators for i in op.outputs}
        self._consumers: dict[int, list[Operator]] = {}
        for op in reference.operators:
            for i in op.inputs:
                self._consumers.setdefault(i, []).append(op)
        self._by_size: dict[tuple[int, ...], list[int]] = {}
        for i, value in reference_values.items():
            self._by_size.setdefault(_dimensions(value.shape), []).append(i)

    def comparable(self, index: int, other: int) -> bool:
        """Both have values, and as many along the same dimensions."""
        a, b = self._int8_values.get(index), self._reference_values.get(other)
        return a is not None and b is not None and _dimensions(a.shape) == _dimensions(b.shape)

    def find(self, op: Operator, index: int) -> int | None:
        """The float tensor for an output of an int8 operator."""
        named = self._by_name.get(_plain_name(self._int8.tensors[index].name))
        if named is not None and self.comparable(index, named):
            return named
        if op.name in {"QUANTIZE", "DEQUANTIZE"} and op.inputs[0] in self.matched:
            return self.matched[op.inputs[0]]
        if index not in self._int8_values:
            return None
        if len(op.outputs) > 1:  # the parts of a SPLIT are told apart by place: they may hold nearly the same
            return self._same_operator(op, index)
        found, agreement = self._most_alike(index, op.name)
        if found is not None and agreement >= SURE_AGREEMENT:
            return found
        placed = self._same_operator(op, index)
        if placed is not None:
            return placed
        if op.name in PASSING and op.inputs[0] in self.matched:
            return self.matched[op.inputs[0]]
        return found if agreement >= LIKELY_AGREEMENT else None

    def _most_alike(self, index: int, operator: str) -> tuple[int | None, float]:
        value = self._int8_values[index]
        best, best_agreement = None, 0.0
        for other in self._by_size.get(_dimensions(value.shape), ()):
            producer = self._producer.get(other)
            if producer is None or (producer.name != operator and operator not in PASSING):
                continue
            agreement = _agreement(value, self._reference_values[other])
            if agreement > best_agreement:
                best, best_agreement = other, agreement
            if agreement > CERTAIN_AGREEMENT:
                break
        return best, best_agreement

    def _same_operator(self, op: Operator, index: int) -> int | None:
        """The same output of the same operator on the matched inputs; of several operators the most alike."""
        wanted = {self.matched[i] for i in op.inputs if i in self.matched}
        if not wanted:
            return None
        reached = set(wanted)
        waiting = list(wanted)
        while waiting:
            for later in self._consumers.get(waiting.pop(), ()):
                if later.name in PASSING:
                    fresh = set(later.outputs) - reached
                    reached |= fresh
                    waiting += fresh
        place = op.outputs.index(index)
        candidates = [
            other.outputs[place]
            for other in self._reference.operators
            if other.name == op.name and len(other.outputs) == len(op.outputs) and reached & set(other.inputs)
            if self.comparable(index, other.outputs[place])
        ]
        value = self._int8_values[index]
        return max(candidates, key=lambda i: _agreement(value, self._reference_values[i]), default=None)


def _plain_name(name: str) -> str:
    """A tensor's name without what quantisation appends to it."""
    for ending in ("_int8", "_quantized", "_dequantize", "_requantized"):
        name = name.removesuffix(ending)
    return name


def _dimensions(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Dimensions over 1, without their order: equal for NCHW and NHWC."""
    return tuple(sorted(size for size in shape if size > 1))


def _agreement(value: FloatArray, other: FloatArray) -> float:
    """Correlation of two tensors of as many elements, on at most 20,000 of them; 0 where one is constant."""
    a, b = value.reshape(-1), fit_layout(other, value.shape).reshape(-1)
    step = max(1, a.size // _SAMPLE)
    a, b = a[::step], b[::step]
    a, b = a - a.mean(), b - b.mean()
    power = float(np.sqrt(np.dot(a, a)) * np.sqrt(np.dot(b, b)))
    return float(np.dot(a, b)) / power if power > 0 and np.isfinite(power) else 0.0


def activations(graph: Subgraph) -> list[Tensor]:
    """Tensors that operators write, in execution order, each once."""
    seen: dict[int, Tensor] = {}
    for op in graph.operators:
        for i in op.outputs:
            if i >= 0 and not graph.tensors[i].constant:
                seen.setdefault(i, graph.tensors[i])
    return list(seen.values())
