"""Specs for files that come without one."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from agent.errors import ModelError
from agent.vision.embedded import read_embedded
from agent.vision.infer_spec import infer_spec, read_spec_or_infer
from agent.vision.letterbox import Letterbox
from agent.vision.model_spec import InputSpec, ModelSpec, save_spec
from agent.vision.quantize import TensorInfo

FLOAT = np.dtype(np.float32)
CELLS_416 = 3549
COCO = tuple(f"name-{n}" for n in range(80))


def never() -> list[np.ndarray]:
    raise AssertionError("the file alone was to decide")


def picture(shape, dtype=np.float32, scale=0.0, zero_point=0):
    return TensorInfo("images", shape, np.dtype(dtype), scale, zero_point)


def infer(path, shape_in, shape_out, reach=None, **more):
    outputs = [TensorInfo("out", shape_out, FLOAT)]
    run = never if reach is None else lambda: [np.full(shape_out, reach, np.float32)]
    return infer_spec(path, [picture(shape_in)], outputs, run, **more)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "some.tflite"
    path.write_bytes(b"\x00" * 64)
    return path


def append(path, name, text):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, text)


def test_yolox_is_known_by_its_cells_and_undecoded_offsets(model):
    spec = infer(model, (1, 3, 416, 416), (1, CELLS_416, 85), reach=0.6)
    assert (spec.decoder, spec.name) == ("yolox", "some")
    assert spec.input == InputSpec(
        width=416, height=416, layout="nchw", colour="bgr", mean=(0.0,), std=(1.0,), anchor="top-left"
    )


def test_yolox_that_decodes_its_boxes_itself_is_seen_by_running_it(model):
    spec = infer(model, (1, 3, 416, 416), (1, CELLS_416, 85), reach=410.0)
    assert (spec.decoder, spec.box_scale) == ("yolov5", 1.0)


@pytest.mark.parametrize(("reach", "scale"), [(0.99, (320.0, 256.0)), (316.0, 1.0)])
@pytest.mark.parametrize(("decoder", "shape"), [("yolov8", (1, 84, 1680)), ("yolov5", (1, 3 * 1680, 85))])
def test_ultralytics_boxes_are_in_px_or_in_parts_as_running_shows(model, decoder, shape, reach, scale):
    spec = infer(model, (1, 256, 320, 3), shape, reach=reach)
    assert (spec.decoder, spec.box_scale) == (decoder, scale)
    assert spec.input == InputSpec(width=320, height=256)


def test_fastestdet_is_known_by_its_grid(model):
    for shape in ((1, 85, 22, 22), (1, 22, 22, 85)):
        spec = infer(model, (1, 3, 352, 352), shape)
        assert spec.decoder == "fastestdet"
        assert spec.input is not None
        assert (spec.input.colour, spec.input.resize) == ("bgr", "stretch")


@pytest.mark.parametrize("as_json", [True, False])
def test_embedded_metadata_gives_the_labels(model, as_json):
    content = {"task": "detect", "names": {0: "cat", 1: "dog"}, "imgsz": [320, 256]}
    append(
        model,
        "metadata.json" if as_json else "temp_meta.txt",
        json.dumps(content) if as_json else str(content),
    )
    spec = infer(model, (1, 256, 320, 3), (1, 6, 1680), reach=1.0)
    assert spec.labels == ("cat", "dog")
    assert infer(model, (1, 256, 320, 3), (1, 6, 1680), reach=1.0, labels=("a", "b")).labels == ("a", "b")


def test_an_end_to_end_export_is_known_by_its_metadata(model):
    append(model, "metadata.json", json.dumps({"task": "detect", "names": ["cat"]}))
    spec = infer(model, (1, 256, 320, 3), (1, 300, 6))
    assert (spec.decoder, spec.box_scale) == ("end-to-end", (320.0, 256.0))


def test_a_model_for_another_task_is_refused(model):
    append(model, "metadata.json", json.dumps({"task": "pose", "names": ["person"]}))
    with pytest.raises(ModelError, match="finds boxes, got one for 'pose'"):
        infer(model, (1, 256, 320, 3), (1, 56, 1680))


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point"),
    [(np.uint8, 0.0078125, 128), (np.uint8, 1 / 255, 0), (np.int8, 0.0078125, 0), (np.int8, 0.007843, -1)],
)
def test_coral_ssd_pixels_enter_a_quantised_input_as_they_are(model, dtype, scale, zero_point):
    name = "TFLite_Detection_PostProcess"
    outputs = [
        TensorInfo(name + end, shape, FLOAT)
        for end, shape in (("", (1, 20, 4)), (":1", (1, 20)), (":2", (1, 20)), (":3", (1,)))
    ]
    tensor = picture((1, 300, 300, 3), dtype, scale, zero_point)
    spec = infer_spec(model, [tensor], outputs, never, COCO)
    assert (spec.decoder, spec.labels) == ("ssd-postprocess", COCO)
    assert spec.input is not None
    assert spec.input.resize == "stretch"
    letterbox = Letterbox(spec.input, tensor)
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    buffer = letterbox.new_buffer()
    letterbox(image, buffer)
    shift = 128 if dtype == np.int8 else 0
    np.testing.assert_array_equal(buffer[0].astype(int) + shift, image[..., ::-1])


@pytest.mark.parametrize(
    ("shape_in", "shapes_out", "said"),
    [
        ((1, 224, 224, 3), [(1, 1001)], "out0 float32 (1, 1001)"),
        ((1, 192, 192, 3), [(1, 1, 17, 3)], "(1, 1, 17, 3)"),
        ((1, 320, 320, 3), [(1, 300, 6)], "(1, 300, 6)"),
        ((1, 320, 320, 3), [(1, 10, 4), (1, 10)], "some.json"),
        ((1, 320, 320, 3), [(1, 10, 4), (1, 10), (1, 10), (1,)], "role"),
        ((1, 28, 28), [(1, 10)], "expected one input"),
    ],
)
def test_what_fits_nothing_is_refused_with_its_outputs(model, shape_in, shapes_out, said):
    outputs = [TensorInfo(f"out{n}", shape, FLOAT) for n, shape in enumerate(shapes_out)]
    with pytest.raises(ModelError) as caught:
        infer_spec(model, [picture(shape_in)], outputs, never)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_spec_beside_the_file_or_given_wins_and_labels_replace_its_own(model, tmp_path):
    beside = ModelSpec(
        name="beside", task="detection", decoder="yolov8", input=InputSpec(width=9, height=9), labels=("a",)
    )
    save_spec(beside, tmp_path / "some.json")
    elsewhere = tmp_path / "other.json"
    save_spec(beside.model_copy(update={"name": "other"}), elsewhere)
    assert read_spec_or_infer(model, [], [], never) == beside
    assert read_spec_or_infer(model, [], [], never, spec=elsewhere, labels=("b",)) == beside.model_copy(
        update={"name": "other", "labels": ("b",)}
    )


@pytest.mark.parametrize("content", [b"", b"TFL3", b"PK\x05\x06" + b"\x00" * 18, b"PK\x03\x04broken"])
def test_files_without_a_readable_zip_hold_nothing(tmp_path, content):
    path = tmp_path / "x.tflite"
    path.write_bytes(content)
    found = read_embedded(path)
    assert (found.metadata, found.labels) == ({}, ())


def test_a_damaged_zip_raises_nothing(tmp_path):
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", json.dumps({"task": "detect", "names": ["person"] * 50}))
    assert read_embedded(whole).labels == ("person",) * 50
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.zip"
    for _ in range(500):
        content = np.frombuffer(whole.read_bytes(), np.uint8).copy()
        content[rng.integers(0, len(content), 3)] = rng.integers(0, 256, 3, dtype=np.uint8)
        path.write_bytes(content.tobytes())
        assert set(read_embedded(path).labels) <= {"person"}


def test_a_member_that_unpacks_to_more_than_a_megabyte_is_left_alone(model):
    with zipfile.ZipFile(model, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", json.dumps({"task": "detect", "names": ["x" * 2_000_000]}))
    assert read_embedded(model).metadata == {}


def test_a_label_list_appended_by_task_metadata_is_read(model):
    append(model, "labelmap.txt", "person\nbicycle\n")
    assert read_embedded(model).labels == ("person", "bicycle")


@pytest.mark.parametrize("names", [{"a": "x"}, {"999999999": "x"}, 7])
def test_names_that_make_no_list_are_no_labels(model, names):
    append(model, "metadata.json", json.dumps({"task": "detect", "names": names}))
    assert read_embedded(model).labels == ()
