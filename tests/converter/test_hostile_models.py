"""Model files that would do more than compute, in a real TensorFlow: nothing is written, one line is said."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from agent.errors import ModelError
from converter.keras_functions import computes_only
from converter.load.float_model import LoadOptions
from converter.safety import check_keras_config
from converter.worker import Worker

SAMPLE = {"x": np.ones((1, 4), np.float32)}


def load(worker: Worker, path: Path) -> object:
    return worker.call("converter.load.source:load_float", path, LoadOptions(), [SAMPLE], on=path)


def writing_h5(path: Path, victim: Path) -> None:
    """A Keras 2 model that calls tf.io.write_file while it is put together."""
    start = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [1, 4]}}
    write = {"class_name": "TFOpLambda", "config": {"name": "w", "function": "io.write_file"}}
    layers = [
        {**start, "name": "x", "inbound_nodes": []},
        {
            **write,
            "name": "w",
            "inbound_nodes": [["_CONSTANT_VALUE", -1, str(victim), {"contents": "owned"}]],
        },
    ]
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["x", 0, 0]]}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        file.create_group("model_weights").attrs["layer_names"] = np.array([], "S1")


def test_keras_file_that_writes_while_it_is_opened_is_refused(worker: Worker, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    writing_h5(tmp_path / "m.h5", victim)
    with pytest.raises(ModelError) as caught:
        load(worker, tmp_path / "m.h5")
    assert not victim.exists()
    assert "layer w: expected layers without code of their own, got a call of tf.io.write_file" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("how", "operator"),
    [("write", "WriteFile"), ("python", "PyFunc"), ("save", "SaveV2"), ("print", "PrintV2")],
)
def test_saved_model_that_does_more_than_compute_is_refused(
    worker: Worker, tmp_path: Path, how: str, operator: str
) -> None:
    victim = tmp_path / "victim"
    worker.call("tests.converter.write_models:save_module", tmp_path / "m", victim, how, on=tmp_path)
    with pytest.raises(ModelError, match=f"expected operators that compute, got .*{operator}"):
        load(worker, tmp_path / "m")
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]


@pytest.mark.parametrize(
    ("name", "write"),
    [("m.h5", "save_keras_2"), ("m.keras", "save_keras_2"), ("m.keras", "save_keras_3")],
)
def test_honest_keras_file_loads(worker: Worker, tmp_path: Path, name: str, write: str) -> None:
    worker.call(f"tests.converter.write_models:{write}", tmp_path / name, on=tmp_path)
    load(worker, tmp_path / name)


def test_honest_saved_model_loads(worker: Worker, tmp_path: Path) -> None:
    worker.call("tests.converter.write_models:save_module", tmp_path / "m", tmp_path, "honest", on=tmp_path)
    assert (tmp_path / "m" / "variables").is_dir()
    load(worker, tmp_path / "m")


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ({"class_name": "TFOpLambda", "config": {"function": "io.write_file"}}, "tf.io.write_file"),
        ({"class_name": "SlicingOpLambda", "config": {"function": "py_function"}}, "tf.py_function"),
        ({"class_name": "Custom>TFOpLambda", "config": {"function": None}}, "a call of tf.None"),
        (
            {"class_name": "ClassMethod", "config": {"cls_symbol": "io.TFRecordWriter"}},
            "of class ClassMethod",
        ),
        ({"class_name": "InstanceMethod", "config": {"attr_name": "x"}}, "of class InstanceMethod"),
        ({"class_name": "TensorFlowOpLayer", "config": {"node_def": {}}}, "of class TensorFlowOpLayer"),
        ({"class_name": "function", "config": "system", "module": "os"}, "one of the module os"),
    ],
)
def test_layer_that_names_what_it_runs_needs_leave(layer: dict[str, object], told: str) -> None:
    config = {"class_name": "Functional", "config": {"layers": [layer]}}
    with pytest.raises(ModelError, match=r"which would run as you; .*--allow-lambda") as caught:
        check_keras_config(config, Path("m.h5"), allow_lambda=False)
    assert told in str(caught.value)
    check_keras_config(config, Path("m.h5"), allow_lambda=True)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("math.add", True),
        ("__operators__.getitem", True),
        ("compat.v1.nn.softmax", True),
        ("compat.v1.transpose", True),
        ("keras.backend.mean", True),
        ("image.resize", True),
        ("io.write_file", False),
        ("raw_ops.WriteFile", False),
        ("compat.v1.py_func", False),
        ("keras.utils.get_file", False),
        ("keras.activations.deserialize", False),
        ("print", False),
    ],
)
def test_functions_that_only_compute_are_known_by_name(function: str, expected: bool) -> None:
    assert computes_only(function) is expected
