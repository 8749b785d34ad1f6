"""ONNX LSTM and GRU against onnxruntime, and as int8 that maps to the Edge TPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from agent.errors import ModelError
from converter.conversion import Request, convert
from converter.inspection import inspect_file
from converter.load.float_model import Loaded, LoadOptions
from converter.observe import feed, run_float
from converter.worker import Worker

STEPS, FEATURES, UNITS, CLASSES = 6, 5, 8, 3
GATES = {"LSTM": 4, "GRU": 3}
RNG = np.random.default_rng(11)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


def layer(kind: str, batch_first: bool, **attributes: Any) -> onnx.ModelProto:
    """A recurrent layer, as PyTorch exports it: transposed where the batch comes first; every output read."""
    gates, initial = GATES[kind], attributes.pop("initial", False)
    constants = {
        "w": weights(1, gates * UNITS, FEATURES),
        "r": weights(1, gates * UNITS, UNITS),
        "b": weights(1, 2 * gates * UNITS),
        "dense": weights(UNITS, CLASSES),
        "axis": np.array([1]),
        "last": np.array(STEPS - 1),
    }
    states = ["h0", "c0"][: 2 if kind == "LSTM" else 1] if initial else []
    constants |= {name: weights(1, 1, UNITS) for name in states}
    source = "turned" if batch_first else "x"
    nodes = [helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2])] if batch_first else []
    names = ["all", "h", "c"][: 3 if kind == "LSTM" else 2]
    read = [source, "w", "r", "b", "", *states] if states else [source, "w", "r", "b"]
    nodes += [
        helper.make_node(kind, read, names, name=f"the_{kind.lower()}", hidden_size=UNITS, **attributes),
        helper.make_node("Squeeze", ["all", "axis"], ["every"]),
        helper.make_node("Gather", ["every", "last"], ["step"], axis=0),
        helper.make_node("MatMul", ["step", "dense"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=-1),
    ]
    shape = [1, STEPS, FEATURES] if batch_first else [STEPS, "batch", FEATURES]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"]),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, ["a", "b", "c"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "m.onnx"
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("LSTM", {}),
        ("LSTM", {"direction": "reverse"}),
        ("LSTM", {"initial": True}),
        ("GRU", {"linear_before_reset": 1}),
        ("GRU", {"linear_before_reset": 0}),
        ("GRU", {"linear_before_reset": 0, "initial": True, "direction": "reverse"}),
    ],
)
def test_layer_computes_what_onnxruntime_does(
    worker: Worker, tmp_path: Path, kind: str, attributes: dict[str, Any], batch_first: bool
) -> None:
    path = saved(layer(kind, batch_first, **attributes), tmp_path)
    sample = RNG.normal(size=(1, STEPS, FEATURES)).astype(np.float32)
    loaded: Loaded = worker.call(
        "converter.load.source:load_float", path, LoadOptions(), [{"x": sample}], on=path
    )
    interpreter = run_float(loaded.model.content, "test")
    feed(interpreter, {"x": sample})
    interpreter.invoke()
    shape = (1, STEPS, FEATURES) if batch_first else (STEPS, 1, FEATURES)
    assert tuple(interpreter.get_input_details()[0]["shape"]) == shape
    for own, expected in zip(interpreter.get_output_details(), loaded.expected[0], strict=True):
        np.testing.assert_allclose(interpreter.get_tensor(own["index"]), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"direction": "bidirectional"}, "the_lstm (LSTM): expected one direction, got bidirectional"),
        ({"clip": 1.0}, "expected no clip"),
        ({"input_forget": 1}, "expected input_forget 0"),
        ({"activations": ["Relu", "Tanh", "Tanh"]}, "expected activations Sigmoid, Tanh, Tanh, got Relu"),
    ],
)
def test_what_cannot_be_unrolled_is_named_with_its_node(
    worker: Worker, tmp_path: Path, attributes: dict[str, Any], said: str
) -> None:
    path = saved(layer("LSTM", True, **attributes), tmp_path)
    with pytest.raises(ModelError) as raised:
        worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
    assert said in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_int8_keeps_the_classes_and_maps_to_the_edge_tpu(tmp_path: Path, kind: str) -> None:
    more = {"linear_before_reset": 1} if kind == "GRU" else {}
    path = saved(layer(kind, True, **more), tmp_path)
    samples = tmp_path / "x.npz"
    np.savez(samples, x=RNG.normal(size=(80, STEPS, FEATURES)).astype(np.float32))
    result = convert(Request(path, samples, tmp_path / "out"))
    assert result.passed, result.report.summary
    verdict = inspect_file(tmp_path / "out" / "m.tflite").edgetpu
    assert (verdict.mapped, verdict.refused) == (verdict.total, None)
