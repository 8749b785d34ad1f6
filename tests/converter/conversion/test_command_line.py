"""What a user sees of `convert` and `compare`: one line per fault, exit codes, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.version import __version__

ROOT = Path(__file__).resolve().parents[3]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from converter.cli import main; sys.argv[0] = 'edgetrack-convert'; main()"
    command = [sys.executable, "-c", code, *map(str, words)]
    environment = {**os.environ, "TERM": "dumb"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32))
    return path


@pytest.mark.parametrize(
    ("model", "content", "expected", "code"),
    [
        ("missing.onnx", None, "missing.onnx: expected a model, got no such file", 70),
        ("model.pt", b"x", "got .pt", 70),
        ("noise.onnx", b"noise", "noise.onnx: expected an ONNX model", 70),
    ],
)
def test_bad_model_is_one_line_and_writes_nothing(
    tmp_path: Path, arrays: Path, model: str, content: bytes | None, expected: str, code: int
) -> None:
    if content is not None:
        (tmp_path / model).write_bytes(content)
    result = run(
        "convert", tmp_path / model, "--calibration", arrays, "--output", tmp_path / "out", "--quiet"
    )
    assert (result.returncode, result.stderr.count("\n")) == (code, 1), result.stderr
    assert expected in result.stderr
    assert not (tmp_path / "out").exists()


def test_bad_calibration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"not looked at yet")
    (tmp_path / "empty").mkdir()
    result = run(
        "convert", tmp_path / "m.onnx", "--calibration", tmp_path / "none", "-o", tmp_path / "out", "-q"
    )
    assert (result.returncode, result.stderr.count("\n")) == (65, 1)
    assert "got no such file" in result.stderr


def test_version_is_told() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"edgetrack-convert {__version__}\n")


def test_compare_wants_one_kind_of_data(tmp_path: Path) -> None:
    result = run("compare", tmp_path / "a.tflite", tmp_path / "b.tflite")
    assert result.returncode == 2
    assert "give either --images or --sequences" in result.stderr


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_published_broken_file_fails_loudly_with_its_cause(shared_data: Path, tmp_path: Path) -> None:
    spec = tmp_path / "yolox.json"
    spec.write_text(
        '{"name": "yolox_nano", "task": "detection", "decoder": "yolox", "strides": [8, 16, 32], "input": '
        '{"width": 416, "height": 416, "colour": "bgr", "std": [1], "anchor": "top-left"}}'
    )
    models = shared_data / "models"
    result = run(
        "compare",
        models / "yolox_nano.onnx",
        models / "yolox_nano_published_int8_broken.tflite",
        "--spec",
        spec,
        "--images",
        shared_data / "coco" / "images" / "val2017",
        "--names",
        models / "coco.names",
        "--limit",
        "24",
        "--report",
        tmp_path / "report",
        "--quiet",
    )
    assert result.returncode == 1, result.stderr
    text = " ".join(result.stdout.split())
    assert "the int8 file lost too much: mAP50" in text
    assert "Worst: operator" in text
    assert (tmp_path / "report" / "report.html").is_file()
