"""The last line of a conversion: what was shown, and what was not."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.converter.conversion.test_command_line import run
from tests.converter.parity.test_guessed_task import write_model

RNG = np.random.default_rng(5)


def told(folder: Path, *words: str | Path) -> str:
    """What `convert` prints of a model with ten classes that nobody trained, in one line."""
    model = write_model(folder / "m.onnx", 10, "Tanh", (1, 10))
    result = run("convert", model, *words, "-o", folder / "out", "-q")
    assert (result.returncode, result.stderr) == (0, "")
    return " ".join(result.stdout.split())


@pytest.mark.slow
def test_agreement_on_few_calibration_samples_alone_is_no_proof(tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", x=RNG.normal(0, 0.3, size=(8, 8)).astype(np.float32))
    text = told(tmp_path, "--calibration", tmp_path / "few.npz")
    assert "the int8 model loses no more than allowed: top-1 agreement 1.0000; but that was measured" in text
    assert "on the 8 calibration samples alone, which are few: of others nothing is shown" in text
    assert "does its job" not in text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["verdict"], len(report["doubts"])) == ("passed", 1)
    assert 'class="badge doubted"' in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_model_at_chance_and_missing_classes_are_told(tmp_path: Path) -> None:
    values = RNG.normal(0, 0.3, size=(120, 8)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=values)
    np.savez(tmp_path / "test.npz", x=values, y=np.arange(120) % 5)
    text = told(
        tmp_path,
        "--calibration",
        tmp_path / "x.npz",
        "--evaluate",
        tmp_path / "test.npz",
        "--max-drop",
        "1",
        "--min-agreement",
        "0",
    )
    assert "but the float model itself is near chance" in text
    assert "but 5 of 10 classes have no sample" in text
    assert "does its job" not in text


@pytest.mark.slow
def test_enough_varied_samples_leave_no_doubt(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=RNG.normal(0, 0.3, size=(120, 8)).astype(np.float32))
    text = told(tmp_path, "--calibration", tmp_path / "x.npz")
    assert "the int8 model does its job: top-1 agreement" in text
    assert "but" not in text


def write_nodes(path: Path, nodes: list[onnx.NodeProto], outputs: dict[str, int]) -> Path:
    """A model from x (1, 8) with two constants: w (8, 8), and far, (8,) of 1000."""
    weights = np.random.default_rng(0).normal(0, 0.4, size=(8, 8)).astype(np.float32)
    constants = {"w": weights, "far": np.full(8, 1000, np.float32), "shape": np.array([1, 2, 8])}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["any"] * n) for name, n in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def write_far_output(path: Path) -> Path:
    """Two outputs; the second lies so far from zero that int8 codes cannot tell its values apart."""
    chain = ["x", *(f"h{number}" for number in range(8)), "y"]
    nodes = [
        helper.make_node("MatMul", [before, "w"], [after]) for before, after in itertools.pairwise(chain)
    ]
    return write_nodes(path, [*nodes, helper.make_node("Add", ["y", "far"], ["z"])], {"y": 2, "z": 2})


def write_joined_output(path: Path) -> Path:
    """(1, 2, 8): places in hundreds of px beside scores in 0..1, as detectors' files have them."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Mul", ["m", "far"], ["places"]),
        helper.make_node("Sigmoid", ["m"], ["scores"]),
        helper.make_node("Concat", ["places", "scores"], ["both"], axis=1),
        helper.make_node("Reshape", ["both", "shape"], ["y"]),
    ]
    return write_nodes(path, nodes, {"y": 3})


@pytest.mark.slow
def test_small_part_of_an_output_that_is_lost_beside_a_large_one_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=RNG.normal(0, 0.3, size=(120, 8)).astype(np.float32))
    model = write_joined_output(tmp_path / "m.onnx")
    result = run("convert", model, "--calibration", tmp_path / "x.npz", "-o", tmp_path / "out", "-q")
    text = " ".join(result.stdout.split())
    assert "the int8 model loses no more than allowed: relative error" in text, result.stderr
    assert "few codes are left beside larger values of one output, which its error does not show" in text


@pytest.mark.slow
def test_output_at_fault_is_the_one_that_is_told_of(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=RNG.normal(0, 0.3, size=(120, 8)).astype(np.float32))
    model = write_far_output(tmp_path / "m.onnx")
    result = run("convert", model, "--calibration", tmp_path / "x.npz", "-o", tmp_path / "out", "-q")
    lines = result.stdout.splitlines()
    tried = [line for line in lines if line.startswith("tried ")]
    assert tried and all("relative error of output 1" in line for line in tried), result.stderr
