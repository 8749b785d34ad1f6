"""Damaged model files are refused before a native parser sees them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from agent.detect.tflite_file import check_tflite
from agent.errors import ModelError

RUN = """
import sys
from tflite_runtime.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1])
interpreter.allocate_tensors()
"""


def test_a_whole_file_passes(small_models):
    for path in small_models.glob("*.tflite"):
        check_tflite(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"person\nbicycle\n", "b'person"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\x1c\x00\x00\x00TFL3", "truncated or damaged"),
        (b"\xff\xff\xff\xffTFL3" + b"\x00" * 99, "truncated or damaged"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "x.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        check_tflite(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: expected")
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        check_tflite(tmp_path / "none.tflite")
    with pytest.raises(ModelError, match="Is a directory"):
        check_tflite(tmp_path)


def test_a_file_that_lost_its_end_is_refused(small_models, tmp_path):
    whole = (small_models / "bright.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    passed = []
    for length in range(8, len(whole), 4):
        path.write_bytes(whole[:length])
        try:
            check_tflite(path)
        except ModelError:
            continue
        passed.append(length)
    # What lies behind the last buffer, tensor and operator names nothing that a parser needs.
    assert all(length > 0.9 * len(whole) for length in passed), passed


def test_random_damage_is_refused_or_passed_but_never_raises_else(small_models, tmp_path):
    whole = (small_models / "ssd.tflite").read_bytes()
    path = tmp_path / "damaged.tflite"
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        content = np.frombuffer(whole, np.uint8).copy()
        places = rng.integers(0, len(content), rng.integers(1, 20))
        content[places] = rng.choice(np.uint8([0, 1, 127, 128, 255]), len(places))
        path.write_bytes(content.tobytes())
        try:
            check_tflite(path)
        except ModelError:
            refused += 1
    assert refused > 100


@pytest.mark.data
def test_a_truncated_file_that_kills_tflite_runtime_is_refused(shared_data, tmp_path):
    pytest.importorskip("tflite_runtime")
    whole = (shared_data / "models" / "mobilenet_v2_1.0_224_quant.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(whole[:1_000_000])
    assert subprocess.run([sys.executable, "-c", RUN, path], capture_output=True, check=False).returncode < 0
    with pytest.raises(ModelError, match="truncated or damaged"):
        check_tflite(path)
