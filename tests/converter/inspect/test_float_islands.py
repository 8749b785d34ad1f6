"""Floating-point parts of a quantised model."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.tflite_model.float_islands import float_islands
from converter.tflite_model.reader import read_tflite
from converter.tflite_model.structure import Operator, Quantization, Subgraph, Tensor


def made(kinds: str, operators: list[tuple[str, int, int]]) -> Subgraph:
    """`kinds`: one letter per tensor, f(loat) or i(nt8); operators read one tensor and write one."""
    tensors = tuple(
        Tensor(i, f"t{i}", "float32" if kind == "f" else "int8", (4,), (4,), Quantization((1.0,), (0,)), None)
        for i, kind in enumerate(kinds)
    )
    ops = tuple(Operator(i, name, 1, (a,), (b,), {}) for i, (name, a, b) in enumerate(operators))
    return Subgraph("", tensors, ops, (0,), (len(kinds) - 1,))


def test_island_between_its_shores_is_found() -> None:
    graph = made(
        "iifffii",
        [
            ("RELU", 0, 1),
            ("DEQUANTIZE", 1, 2),
            ("NEG", 2, 3),
            ("SQUARE", 3, 4),
            ("QUANTIZE", 4, 5),
            ("RELU", 5, 6),
        ],
    )
    (island,) = float_islands(graph)
    assert island.operators == (2, 3)
    assert dict(island.names) == {"NEG": 1, "SQUARE": 1}
    assert not island.reads_input
    assert not island.writes_output


def test_two_islands_stay_two() -> None:
    graph = made(
        "ffiffi",
        [("NEG", 0, 1), ("QUANTIZE", 1, 2), ("DEQUANTIZE", 2, 3), ("NEG", 3, 4), ("QUANTIZE", 4, 5)],
    )
    first, second = float_islands(graph)
    assert (first.operators, second.operators) == ((0,), (3,))
    assert first.reads_input
    assert not second.reads_input


def test_quantised_model_has_none() -> None:
    assert float_islands(made("iii", [("RELU", 0, 1), ("RELU", 1, 2)])) == ()


@pytest.mark.data
def test_published_int8_file_is_float_up_to_its_last_operators(broken_yolox: Path) -> None:
    graph = read_tflite(broken_yolox).main
    (island,) = float_islands(graph)
    assert island.reads_input
    assert not island.writes_output
    assert len(island.operators) > 590
    assert dict(island.names)["CONV_2D"] == 83
