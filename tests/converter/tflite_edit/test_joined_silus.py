"""SiLUs that a concatenation joins are equalised together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from converter.load.float_model import Loaded, LoadOptions
from converter.observe import feed, run_float
from converter.tflite_edit.edit import EditableModel
from converter.tflite_edit.silu import equalize_silus, statistics_needed
from converter.worker import Worker

CHANNELS = 6
RNG = np.random.default_rng(3)
SAMPLE = {"x": RNG.normal(0, 1, (1, 16, 16, CHANNELS)).astype(np.float32)}


def joined(second: str) -> onnx.ModelProto:
    """A SiLU with channels of very different size, joined with an even SiLU or with a RELU."""
    uneven = RNG.normal(0, 1, (CHANNELS, CHANNELS, 1, 1)) * np.array([60, 30, 2, 1, 1, 1]).reshape(
        -1, 1, 1, 1
    )
    constants = {
        "w1": uneven,
        "w2": RNG.normal(0, 2, (CHANNELS, CHANNELS, 1, 1)),
        "w3": RNG.normal(0, 1, (4, 2 * CHANNELS, 1, 1)),
        "b": np.zeros(CHANNELS),
        "b3": np.zeros(4),
    }
    nodes = [helper.make_node("Conv", ["x", "w1", "b"], ["c1"]), helper.make_node("Sigmoid", ["c1"], ["g1"])]
    nodes += [
        helper.make_node("Mul", ["c1", "g1"], ["s1"]),
        helper.make_node("Conv", ["x", "w2", "b"], ["c2"]),
    ]
    if second == "silu":
        nodes += [helper.make_node("Sigmoid", ["c2"], ["g2"]), helper.make_node("Mul", ["c2", "g2"], ["s2"])]
    else:
        nodes += [helper.make_node("Relu", ["c2"], ["s2"])]
    nodes += [helper.make_node("MaxPool", ["s2"], ["p"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])]
    nodes += [helper.make_node("Concat", ["s1", "p"], ["j"], axis=1)]
    nodes += [helper.make_node("Conv", ["j", "w3", "b3"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def run(content: bytes, tensors: list[int]) -> dict[int, NDArray[np.float32]]:
    interpreter = run_float(content, "test", keep_all=True)
    feed(interpreter, SAMPLE)
    interpreter.invoke()
    return {tensor: interpreter.get_tensor(tensor).copy() for tensor in tensors}


@pytest.mark.parametrize("second", ["silu", "relu"])
def test_parts_of_a_concatenation_end_up_of_one_size(worker: Worker, tmp_path: Path, second: str) -> None:
    path = tmp_path / "joined.onnx"
    onnx.save(joined(second), str(path))
    loaded: Loaded = worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
    edited = EditableModel(loaded.model.content)
    values = run(loaded.model.content, statistics_needed(edited))
    axes = (0, 1, 2)
    limits = equalize_silus(
        edited,
        {tensor: value.min(axis=axes) for tensor, value in values.items()},
        {tensor: value.max(axis=axes) for tensor, value in values.items()},
    )
    assert len(limits) == (4 if second == "silu" else 2)
    (join,) = edited.named("CONCATENATION")
    content = edited.content()
    parts = run(content, [*join.inputs, *edited.graph.outputs])
    sizes = [float(parts[tensor].max()) for tensor in join.inputs]
    assert max(sizes) < 2 * min(sizes)
    (result,) = edited.graph.outputs
    before = run(loaded.model.content, [result])[result]
    np.testing.assert_allclose(parts[result], before, rtol=1e-3, atol=1e-3 * np.abs(before).max())
