"""Parts of a quantised model that still compute in floating point."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from converter.tflite_model.structure import Operator, Subgraph

BOUNDARIES = frozenset({"QUANTIZE", "DEQUANTIZE"})


@dataclass(frozen=True, slots=True)
class FloatIsland:
    """Operators that hang together by floating-point tensors.

    Args:
        operators: their indices, in execution order; QUANTIZE and DEQUANTIZE at the shore are not counted.
        names: how often each operator occurs, most frequent first.
        reads_input: takes one of the model's inputs.
        writes_output: gives one of the model's outputs.
    """

    operators: tuple[int, ...]
    names: tuple[tuple[str, int], ...]
    reads_input: bool
    writes_output: bool

    @property
    def text(self) -> str:
        """One line for a person."""
        kinds = ", ".join(f"{count}× {name}" if count > 1 else name for name, count in self.names[:4])
        more = f" and {len(self.names) - 4} other kinds" if len(self.names) > 4 else ""
        first, last = self.operators[0], self.operators[-1]
        span = f"operator {first}" if first == last else f"operators {first} to {last}"
        return f"{span}: {kinds}{more}"


def float_islands(graph: Subgraph) -> tuple[FloatIsland, ...]:
    """Find the floating-point parts of a graph, in execution order.

    A model that is float throughout is one island (or as many as it has separate branches).
    """
    members: dict[int, Operator] = {}
    for op in graph.operators:
        inputs, outputs = graph.activations(op)
        if op.name not in BOUNDARIES and any(tensor.is_float for tensor in (*inputs, *outputs)):
            members[op.index] = op
    group = {index: index for index in members}

    def root(index: int) -> int:
        while group[index] != index:
            group[index] = group[group[index]]
            index = group[index]
        return index

    seen_with: dict[int, int] = {}  # a float tensor and an operator of its island
    for op in members.values():
        for i in (*op.inputs, *op.outputs):
            tensor = graph.tensor(i)
            if tensor is None or tensor.constant or not tensor.is_float:
                continue
            if i in seen_with:
                group[root(op.index)] = root(seen_with[i])
            seen_with[i] = op.index
    islands: dict[int, list[int]] = {}
    for index in members:
        islands.setdefault(root(index), []).append(index)
    found = []
    for indices in sorted(islands.values()):
        names = Counter(members[i].name for i in indices).most_common()
        touched_in = {t for i in indices for t in members[i].inputs}
        touched_out = {t for i in indices for t in members[i].outputs}
        found.append(
            FloatIsland(
                tuple(indices),
                tuple(names),
                bool(touched_in & set(graph.inputs)),
                bool(touched_out & set(graph.outputs)),
            )
        )
    return tuple(found)
