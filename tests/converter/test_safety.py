"""Model files that are damaged or hostile: one clear line each."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from agent.errors import ModelError
from converter.load.float_model import LoadOptions
from converter.load.source import model_kind
from converter.safety import check_h5, check_keras_config, check_zip
from converter.worker import Worker

HERE = Path("model.keras")


def test_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"0" * 40_000_000)
    with pytest.raises(ModelError, match="zip bomb"):
        check_zip(path)


def test_archive_that_writes_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../.bashrc", b"x")
    with pytest.raises(ModelError, match="expected entries within the archive"):
        check_zip(path)


def test_absurd_h5_array_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", shape=(2**40,), dtype="f4", chunks=(2**20,), compression="gzip")
    with pytest.raises(ModelError, match="do not trust this file"):
        check_h5(path)


def test_h5_link_to_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "link.h5"
    with h5py.File(path, "w") as file:
        file["w"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ModelError, match="a link to '/etc/passwd'"):
        check_h5(path)


def test_lambda_is_refused_unless_allowed_however_deep_it_lies() -> None:
    inner = {"class_name": "Lambda", "config": {"name": "evil", "function": "…"}}
    config = {
        "class_name": "Functional",
        "config": {"layers": [{"class_name": "Sequential", "config": {"layers": [inner]}}]},
    }
    with pytest.raises(ModelError, match=r"layer evil: expected layers without code .* --allow-lambda"):
        check_keras_config(config, HERE, allow_lambda=False)
    check_keras_config(config, HERE, allow_lambda=True)


def test_absurd_layer_is_refused() -> None:
    config = {"class_name": "Dense", "config": {"name": "wide", "units": 10**12}}
    with pytest.raises(ModelError, match="layer wide: expected units up to"):
        check_keras_config(config, HERE, allow_lambda=False)


def keras_archive(path: Path, config: object, version: str = "3.9.0") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config))
    return path


def external_onnx() -> bytes:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [x], [tensor])
    return helper.make_model(graph).SerializeToString()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("m.onnx", b"this is no model", "expected an ONNX model"),
        ("m.onnx", external_onnx(), "got external data"),
        ("m.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "expected an HDF5 file"),
        ("m.keras", b"PK\x03\x04 damaged", "expected a Keras archive"),
        ("m.h5", b"\0" * 100, "expected a Keras file"),
        ("m.keras", None, "expected a Keras 3 model"),
    ],
)
def test_damaged_file_is_one_line(
    worker: Worker, tmp_path: Path, name: str, content: bytes | None, expected: str
) -> None:
    path = tmp_path / name
    if content is None:
        keras_archive(path, {"class_name": "Nonsense", "module": "keras", "config": {}})
    else:
        path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("missing.onnx", None, "got no such file"),
        ("model.pt", b"x", "got .pt"),
        ("empty.onnx", b"", "got an empty file"),
        ("folder", None, "expected saved_model.pb"),
    ],
)
def test_what_is_no_model_is_said_before_anything_is_loaded(
    tmp_path: Path, name: str, content: bytes | None, expected: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif name == "folder":
        path.mkdir()
    with pytest.raises(ModelError) as caught:
        model_kind(path)
    assert expected in str(caught.value)


def test_onnx_weights_shorter_than_they_say_are_refused(worker: Worker, tmp_path: Path) -> None:
    tensor = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[4], raw_data=np.zeros(2, np.float32).tobytes()
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    path = tmp_path / "short.onnx"
    onnx.save(
        helper.make_model(
            helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [tensor])
        ),
        str(path),
    )
    with pytest.raises(ModelError, match=r"short\.onnx"):
        worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
