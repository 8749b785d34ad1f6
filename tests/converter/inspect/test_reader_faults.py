"""Damaged and hostile files: one clear error each, soon, and never a traceback of another kind."""

from __future__ import annotations

import contextlib
import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import DataError, EdgetrackError
from converter.edgetpu.verdict import judge
from converter.runtimes import judge_runtimes
from converter.tflite_model.float_islands import float_islands
from converter.tflite_model.reader import parse_tflite, read_tflite
from converter.tflite_model.scales import scale_warnings
from converter.tflite_model.structure import Operator, Quantization, Subgraph, Tensor, TfliteModel

PATH = Path("damaged.tflite")


def inspect(content: bytes) -> None:
    """All that `inspect` does with a file."""
    model = parse_tflite(content, PATH)
    judge(model)
    judge_runtimes(model)
    float_islands(model.main)
    scale_warnings(model.main)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "an empty file"),
        (b"TFL3", "TFL3 at byte 4"),
        (b"PK\x03\x04" + b"\0" * 50, "expected a TFLite model"),
        (b"\x10\0\0\0TFL3", "damaged"),
        (b"\xff\xff\xff\xffTFL3" + b"\xff" * 64, "damaged"),
        (b"\x00\0\0\0TFL3" + b"\0" * 64, "damaged"),
    ],
)
def test_what_is_no_model_is_said_so(content: bytes, text: str) -> None:
    with pytest.raises(DataError, match=text) as caught:
        parse_tflite(content, PATH)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 65


def test_missing_file_and_folder_are_said_so(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.tflite", tmp_path, Path("/dev/zero")):
        with pytest.raises(DataError, match=r"expected a \.tflite file"):
            read_tflite(path)


@pytest.mark.data
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_give_an_error_or_a_model(small_model: bytes, flips: list[tuple[int, int]]) -> None:
    content = bytearray(small_model)
    for position, value in flips:
        content[position % len(content)] = value
    started = time.process_time()
    try:
        inspect(bytes(content))
    except EdgetrackError as error:
        assert str(error).startswith("damaged.tflite: ")
    assert time.process_time() - started < 5


@pytest.mark.data
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(0, 2**20),
    word=st.one_of(
        st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 2**24]),
        st.integers(0, 2**32 - 1),
    ),
)
def test_hostile_words_give_an_error_or_a_model(small_model: bytes, place: int, word: int) -> None:
    """Whole 32-bit words: tables and vectors keep their offsets and lengths in them."""
    content = bytearray(small_model)
    at = 4 * (place % (len(content) // 4))
    content[at : at + 4] = struct.pack("<I", word)
    with contextlib.suppress(EdgetrackError):
        inspect(bytes(content))


@pytest.mark.data
def test_every_truncation_gives_an_error_or_a_model(small_model: bytes) -> None:
    whole = 0
    for length in range(0, len(small_model), 41):
        try:
            inspect(small_model[:length])
            whole += 1
        except EdgetrackError:
            pass
    assert whole == 0


@pytest.mark.data
def test_huge_lengths_cost_no_memory(small_model: bytes) -> None:
    """Every word in turn claims two thousand million elements."""
    tracemalloc.start()
    try:
        for at in range(8, len(small_model) - 4, 212):
            content = bytearray(small_model)
            content[at : at + 4] = struct.pack("<I", 0x7FFFFFF0)
            try:
                inspect(bytes(content))
            except EdgetrackError:
                continue
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50e6


def test_long_chains_are_looked_at_in_linear_time() -> None:
    """20,000 joins, each of which could be followed through 20,000 others."""
    count = 20_000
    tensors = tuple(
        Tensor(i, f"t{i}", "int8", (1, 4), (1, 4), Quantization((0.1,), (0,)), None) for i in range(count + 1)
    )
    kinds = ("CONCATENATION", "RESHAPE", "QUANTIZE")
    operators = tuple(Operator(i, kinds[i % 3], 1, (i,), (i + 1,), {}) for i in range(count))
    graph = Subgraph("", tensors, operators, (0,), (count,))
    model = TfliteModel(PATH, 0, "", (graph,), {}, "", ())
    started = time.process_time()
    judge(model)
    judge_runtimes(model)
    float_islands(graph)
    scale_warnings(graph)
    assert time.process_time() - started < 20  # quadratic: minutes
