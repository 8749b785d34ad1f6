"""What a model without a ModelSpec is judged by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.load.float_model import Loaded, LoadOptions
from converter.parity.guess import guessed_task
from converter.worker import Worker


def write_model(path: Path, width: int, last: str, shape: tuple[int, ...]) -> Path:
    """x (1, 8), one dense layer to `width`, an operator of one input, and a reshape."""
    weights = np.random.default_rng(0).normal(size=(8, width)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node(last, ["m"], ["a"]),
        helper.make_node("Reshape", ["a", "shape"], ["y"]) if shape != (1, width) else None,
    ]
    graph = helper.make_graph(
        [node for node in nodes if node is not None],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y" if shape != (1, width) else "a", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array(shape, np.int64), "shape")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize(
    ("width", "last", "shape", "task"),
    [
        (10, "Tanh", (1, 10), "classification"),
        (1, "Sigmoid", (1, 1), "classification"),
        (1, "Tanh", (1, 1), "sequence"),
        (48, "Relu", (1, 3, 4, 4), "sequence"),
        (30, "Sigmoid", (1, 5, 6), "sequence"),
    ],
    ids=["scores", "one-probability", "one-measure", "feature-map", "boxes-or-states"],
)
def test_only_one_score_per_class_is_taken_for_classes(
    tmp_path: Path, worker: Worker, width: int, last: str, shape: tuple[int, ...], task: str
) -> None:
    path = write_model(tmp_path / "m.onnx", width, last, shape)
    loaded: Loaded = worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
    assert guessed_task(loaded.model) == task
