"""Bad and hostile input through the command line: one line, an exit code, and nothing written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[3]
SIDE = 16
RUN = "import sys; from converter.cli import main; sys.argv[0] = 'edgetrack-convert'; main()"


def write_onnx(path: Path, operator: str = "Relu", side: int = SIDE, **attributes: int) -> Path:
    """One convolution and one more operator, each named."""
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="stem/conv", pads=[1, 1, 1, 1]),
        helper.make_node(operator, ["c"], ["y"], name="head/last", **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def write_keras(path: Path, layer: dict[str, object]) -> Path:
    layers = [{"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [None, 8]}}, layer]
    config = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.9.0"}')
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", b"")
    return path


def write_bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(2**26))
    return path


def write_half(path: Path) -> Path:
    whole = write_onnx(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def samples(path: Path, side: int = SIDE) -> Path:
    np.savez(path, x=np.random.default_rng(1).normal(size=(40, side, side, 3)).astype(np.float32))
    return path


def convert(folder: Path, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, "convert", *map(str, words), "--quiet"]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that a user gets."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


Write = Callable[[Path], Path]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        (
            "a.onnx",
            lambda path: write_onnx(path, "Hardmax", axis=1),
            "node head/last (Hardmax): expected a supp",
        ),
        ("b.onnx", lambda path: write_onnx(path, side=10**6), "input x: expected under 268435456 elements"),
        ("c.onnx", write_half, "expected an ONNX model, got something else or a damaged one"),
        ("d.keras", write_bomb, "this may be a zip bomb"),
        (
            "e.keras",
            lambda path: write_keras(path, {"class_name": "Dense", "config": {"name": "fc", "units": 10**9}}),
            "layer fc: expected units up to 1048576, got 1000000000",
        ),
        (
            "f.keras",
            lambda path: write_keras(path, {"class_name": "Lambda", "config": {"name": "code"}}),
            "layer code: expected layers without code of their own, got a Lambda layer",
        ),
    ],
    ids=["operator", "dimensions", "damaged", "bomb", "layer-size", "lambda"],
)
def test_model_that_cannot_be_used_is_one_line(
    tmp_path: Path, name: str, write: Write, expected: str
) -> None:
    result = convert(
        tmp_path, write(tmp_path / name), "--calibration", samples(tmp_path / "x.npz"), "-o", "out"
    )
    assert result.returncode == 70
    assert expected in complaint(result)
    assert {path.name for path in tmp_path.iterdir()} == {name, "x.npz"}


@pytest.mark.slow
def test_samples_of_another_size_are_one_line(tmp_path: Path) -> None:
    model, wrong = write_onnx(tmp_path / "m.onnx"), samples(tmp_path / "x.npz", side=8)
    result = convert(tmp_path, model, "--calibration", wrong, "-o", "out")
    assert result.returncode == 65
    assert "input x: expected samples of shape (1, 16, 16, 3), got (1, 8, 8, 3)" in complaint(result)
    assert not (tmp_path / "out").exists()


def test_name_that_leads_out_of_the_output_is_refused(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text('{"name": "../../evil", "task": "embedding", "input": {"width": 16, "height": 16}}')
    model, data = write_onnx(tmp_path / "m.onnx"), samples(tmp_path / "x.npz")
    result = convert(tmp_path, model, "--calibration", data, "--spec", spec, "-o", "out")
    assert result.returncode == 70
    assert "without folders, got '../../evil'" in complaint(result)
    assert {path.name for path in tmp_path.iterdir()} == {"m.onnx", "x.npz", "spec.json"}


@pytest.mark.slow
def test_failed_conversion_tells_that_the_model_beside_its_report_is_older(tmp_path: Path) -> None:
    model, data = write_onnx(tmp_path / "m.onnx"), samples(tmp_path / "x.npz")
    words = [model, "--calibration", data, "-o", "out", "--no-rescue"]
    assert convert(tmp_path, *words).returncode == 0
    kept = (tmp_path / "out" / "m.tflite").read_bytes()
    assert convert(tmp_path, *words, "--max-error", "0").returncode == 1
    assert (tmp_path / "out" / "m.tflite").read_bytes() == kept
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["verdict"] == "failed"
    assert "m.tflite in this folder is of an earlier conversion, not of this one" in report["warnings"]


@pytest.mark.slow
def test_failing_compiler_leaves_no_bundle(tmp_path: Path) -> None:
    compiler = tmp_path / "edgetpu_compiler"
    compiler.write_text("#!/bin/sh\necho 'Internal compiler error. Aborting!' >&2\nexit 1\n")
    compiler.chmod(0o755)
    model, data = write_onnx(tmp_path / "m.onnx"), samples(tmp_path / "x.npz")
    result = convert(tmp_path, model, "--calibration", data, "-o", "out", "--edgetpu-compiler", compiler)
    assert result.returncode == 70
    assert "out/m.tflite: the compiler gave up with an internal error" in complaint(result)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("full", ["output", "temporary"])
def test_full_disk_is_one_line_and_no_bundle(tmp_path: Path, full: str) -> None:
    """On a real file system of 16 kB, mounted in a namespace of its own."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux)")
    small = tmp_path / "small"
    small.mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    script = 'mount -t tmpfs -o size=16k none "$0" && exec "$@"'
    if subprocess.run([*mount, script, str(small), "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs user namespaces")
    model, data = write_onnx(tmp_path / "m.onnx"), samples(tmp_path / "x.npz")
    check = 'mount -t tmpfs -o size=16k none "$0" && { "$@"; code=$?; ls -A "$0"; exit $code; }'
    output = small / "out" if full == "output" else tmp_path / "out"
    words = ["convert", model, "--calibration", data, "-o", output, "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    if full == "temporary":
        environment["TMPDIR"] = str(small)
        # A model that is larger than the file system.
        words[1] = _large(tmp_path / "large.onnx")
    result = subprocess.run(
        [*mount, check, str(small), sys.executable, "-c", RUN, *map(str, words)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 74, result.stderr
    assert "No space left on device" in complaint(result)
    assert result.stdout == ""  # the small disk is as empty as it was
    assert not (tmp_path / "out").exists()


def _large(path: Path) -> Path:
    """A model of 100 kB."""
    model = onnx.load(str(write_onnx(path)))
    weights = np.random.default_rng(0).normal(size=(900, 3, 3, 3)).astype(np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    onnx.save(model, str(path))
    return path
