"""Activations that are zero in calibration, dense layers over many rows, and files that do not load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from agent.detect.interpreter import Interpreter, _first_line
from agent.errors import ModelError
from converter.load.float_model import FloatModel, Loaded, LoadOptions
from converter.observe import feed, observe, run_float
from converter.ranges import Ranges, choose_ranges, min_max
from converter.runtime_check import check_loads
from converter.tflite_edit.dense_rows import rows_as_pictures
from converter.tflite_edit.edit import EditableModel
from converter.tflite_edit.scale_ratios import MAX_RATIO, widened
from converter.worker import Worker

RNG = np.random.default_rng(11)
ROWS, FEATURES = 7, 5
SAMPLES = [{"x": RNG.normal(0, 1, (1, ROWS, FEATURES)).astype(np.float32)} for _ in range(4)]


def load(
    worker: Worker, path: Path, nodes: list[onnx.NodeProto], **constants: NDArray[np.floating]
) -> FloatModel:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, ROWS, FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c"])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    loaded: Loaded = worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
    return loaded.model


@pytest.fixture(scope="module")
def dead(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> FloatModel:
    """What never exceeds 100 shares a scale with what does not stay 0, and goes through a dense layer."""
    nodes = [
        helper.make_node("Sub", ["x", "hundred"], ["s"]),
        helper.make_node("Relu", ["s"], ["never"]),
        helper.make_node("MatMul", ["never", "w"], ["d"]),
        helper.make_node("Add", ["x", "d"], ["sum"]),
        helper.make_node("Concat", ["sum", "never"], ["y"], axis=2),
    ]
    weights = RNG.normal(0, 1, (FEATURES, FEATURES))
    path = tmp_path_factory.mktemp("dead") / "dead.onnx"
    return load(worker, path, nodes, w=weights, hundred=np.array(100.0))


def quantized(worker: Worker, model: FloatModel, content: bytes, ranges: Ranges, path: Path) -> Path:
    edited = EditableModel(content)
    edited.set_ranges(ranges)
    result: bytes = worker.call(
        "converter.quantize:quantize", edited.content(), model.inputs, model.outputs, on=path
    )
    path.write_bytes(result)
    return path


def with_convolution(model: FloatModel) -> tuple[EditableModel, Ranges]:
    edited = EditableModel(model.content)
    rows_as_pictures(edited)
    return edited, choose_ranges(observe(edited.content(), SAMPLES, "test"), min_max)


def test_dead_activations_get_ranges_that_the_runtime_takes(
    worker: Worker, dead: FloatModel, tmp_path: Path
) -> None:
    edited, ranges = with_convolution(dead)
    wide = widened(edited, ranges)
    (result,) = edited.named("CONV_2D")[0].outputs
    assert ranges[result][1] - ranges[result][0] < 1e-5
    (total,) = edited.named("ADD")[0].outputs
    width = wide[total][1] - wide[total][0]
    assert wide[result][1] - wide[result][0] >= width / MAX_RATIO * 0.99
    # What was wide enough stays as it was.
    assert wide[edited.graph.inputs[0]] == ranges[edited.graph.inputs[0]]
    content = edited.content()
    Interpreter(quantized(worker, dead, content, wide, tmp_path / "wide.tflite"))


def test_refused_file_names_the_user_s_model_and_the_operator(
    worker: Worker, dead: FloatModel, tmp_path: Path
) -> None:
    edited, ranges = with_convolution(dead)
    file = quantized(worker, dead, edited.content(), widened(edited, ranges), tmp_path / "int8-1.tflite")
    broken = EditableModel(file.read_bytes())
    (convolution,) = broken.named("CONV_2D")
    given, weights = (broken.graph.tensors[own].quantization.scale for own in convolution.inputs[:2])
    passed_on = [own.outputs[0] for own in broken.named("RESHAPE", "TRANSPOSE")[-2:]]
    narrow = np.array([given[0] * max(weights) / 600], np.float32)
    for tensor in (convolution.outputs[0], *passed_on):
        broken.graph.tensors[tensor].quantization.scale = narrow
    file.write_bytes(broken.content())
    with pytest.raises(ModelError) as caught:
        check_loads(file, worker, Path("models/mine.keras"))
    text = str(caught.value)
    assert text.startswith("models/mine.keras: expected an int8 file that the runtime loads, got one")
    assert f"at CONV_2D {broken.name(convolution.outputs[0])}: " in text
    assert "int8-1" not in text and str(tmp_path) not in text and "\n" not in text
    assert ".;" not in text


def test_what_the_runtime_says_of_every_part_is_told_once() -> None:
    once = "failed to create XNNPACK runtime"
    error = RuntimeError(f"{once}{once}{once}Node number 342 (TfLiteXNNPackDelegate) failed to prepare.\n")
    assert _first_line(error) == f"{once}: Node number 342 (TfLiteXNNPackDelegate) failed to prepare"


@pytest.mark.parametrize("bias", [True, False])
def test_dense_rows_become_a_convolution_with_the_same_result(
    worker: Worker, tmp_path: Path, bias: bool
) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["a"])]
    nodes += [helper.make_node("Relu", ["a" if bias else "m"], ["y"])]
    weights, biases = RNG.normal(0, 1, (FEATURES, 3)), RNG.normal(0, 1, 3)
    model = load(worker, tmp_path / "m.onnx", nodes if bias else [nodes[0], nodes[2]], w=weights, b=biases)
    edited = EditableModel(model.content)
    assert rows_as_pictures(edited) == 1
    assert not edited.named("FULLY_CONNECTED")
    (convolution,) = edited.named("CONV_2D")
    assert convolution.builtinOptions.fusedActivationFunction == schema.ActivationFunctionType.RELU
    results = []
    for content in (model.content, edited.content()):
        interpreter = run_float(content, "test")
        feed(interpreter, {model.inputs[0]: SAMPLES[0]["x"]})
        interpreter.invoke()
        results.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy())
    assert results[0].shape == results[1].shape == (1, ROWS, 3)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-6)


def test_dense_layer_of_one_row_stays(worker: Worker, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["p"], axes=[1], keepdims=1),
        helper.make_node("MatMul", ["p", "w"], ["y"]),
    ]
    model = load(worker, tmp_path / "m.onnx", nodes, w=RNG.normal(0, 1, (FEATURES, 3)))
    edited = EditableModel(model.content)
    assert len(edited.named("FULLY_CONNECTED")) == 1
    assert rows_as_pictures(edited) == 0
