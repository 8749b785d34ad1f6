"""Pairing the activations of two graphs that a converter changed, on values made by hand."""

from __future__ import annotations

import numpy as np

from agent.records import FloatArray
from converter.layer_match import match_layers
from converter.tflite_model.structure import Operator, Quantization, Subgraph, Tensor

Row = tuple[str, tuple[int, ...], tuple[int, ...]]


def graph(
    names: list[str], operators: list[Row], dtype: str = "float32", outputs: tuple[int, ...] = ()
) -> Subgraph:
    scale = Quantization((0.1,), (0,)) if dtype == "int8" else None
    tensors = tuple(Tensor(i, name, dtype, (1, 8), (1, 8), scale, None) for i, name in enumerate(names))
    ops = tuple(Operator(i, name, 1, a, b, {}) for i, (name, a, b) in enumerate(operators))
    return Subgraph("", tensors, ops, (0,), outputs)


def rows(*seeds: int) -> dict[int, FloatArray]:
    """Values per tensor: equal seeds are equal values, 0 is all zero."""
    return {
        i: np.random.default_rng(seed).normal(size=(1, 8)).astype(np.float32) * (seed != 0)
        for i, seed in enumerate(seeds)
    }


def test_equal_names_win() -> None:
    operators: list[Row] = [("RELU", (0,), (1,)), ("RELU", (1,), (2,))]
    int8, other = graph(["x", "b", "a"], operators, "int8"), graph(["x", "a", "b"], operators)
    found = match_layers(int8, other, rows(1, 2, 3), rows(1, 2, 3))
    assert found == {0: 0, 1: 2, 2: 1}


def test_other_names_are_found_by_values() -> None:
    int8: list[Row] = [("RELU", (0,), (1,)), ("TANH", (0,), (2,))]
    other: list[Row] = [("TANH", (0,), (1,)), ("RELU", (0,), (2,))]
    graphs = graph(["x", "p", "q"], int8, "int8"), graph(["x", "r", "s"], other)
    found = match_layers(*graphs, rows(1, 2, 3), rows(1, 3, 2))
    assert found == {0: 0, 1: 2, 2: 1}


def test_destroyed_values_are_found_by_place() -> None:
    """The int8 layer gives something else altogether; its input and operator tell whose it is."""
    operators: list[Row] = [("RELU", (0,), (1,)), ("TANH", (1,), (2,))]
    graphs = graph(["x", "p", "q"], operators, "int8"), graph(["x", "r", "s"], operators)
    found = match_layers(*graphs, rows(1, 2, 9), rows(1, 2, 3))
    assert found[2] == 2


def test_operators_between_are_passed() -> None:
    """QUANTIZE stands in one graph only, TRANSPOSE in the other only."""
    int8: list[Row] = [("QUANTIZE", (0,), (1,)), ("TANH", (1,), (2,))]
    other: list[Row] = [("TRANSPOSE", (0,), (1,)), ("TANH", (1,), (2,))]
    graphs = graph(["x", "p", "q"], int8, "int8"), graph(["x", "r", "s"], other)
    found = match_layers(*graphs, rows(1, 1, 9), rows(1, 1, 3))
    assert found[1] in (0, 1)
    assert found[2] == 2


def test_parts_of_a_split_are_told_apart_by_place() -> None:
    """All parts are nearly zero in int8: values say nothing, and neither do the names."""
    operators: list[Row] = [("SPLIT", (0,), (1, 2, 3))]
    found = match_layers(
        graph(["x", "p0", "p1", "p2"], operators, "int8"),
        graph(["x", "r0", "r1", "r2"], operators),
        rows(1, 0, 0, 0),
        rows(1, 4, 5, 6),
    )
    assert found == {0: 0, 1: 1, 2: 2, 3: 3}


def test_outputs_are_matched_by_their_order_at_last() -> None:
    int8: list[Row] = [("HARD_SWISH", (0,), (1,))]
    other: list[Row] = [("MUL", (0,), (1,))]
    found = match_layers(
        graph(["x", "p"], int8, "int8", (1,)), graph(["x", "r"], other, outputs=(1,)), rows(1, 9), rows(1, 3)
    )
    assert found == {0: 0, 1: 1}


def test_what_has_no_twin_stays_alone() -> None:
    int8: list[Row] = [("ELU", (0,), (1,))]
    other: list[Row] = [("MUL", (0,), (1,))]
    graphs = graph(["x", "p"], int8, "int8"), graph(["x", "r"], other)
    assert match_layers(*graphs, rows(1, 9), rows(1, 3)) == {0: 0}
