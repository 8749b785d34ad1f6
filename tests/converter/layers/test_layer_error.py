"""Layer errors on real models: equal ones, the published broken one, and one with a known fault put in."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import DataError, ModelError
from agent.records import FloatArray
from converter.layer_error import MAX_DB, LayerError, layer_errors, worst_layers
from converter.preserved_tensors import PreservedTensors, fit_layout, to_codes
from converter.tflite_model.reader import read_tflite

pytest.importorskip("ai_edge_litert.interpreter")

TINY_CNN = """
import sys
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

rng = np.random.default_rng(5)
weights = [rng.normal(0, (2 / (9 * i)) ** 0.5, (3, 3, i, o)).astype("f") for i, o in ((3, 8), (8, 8), (8, 8))]

@tf.function(input_signature=[tf.TensorSpec((1, 24, 24, 3), tf.float32)])
def network(x):
    for i, w in enumerate(weights):
        x = tf.nn.conv2d(x, w, 1, "SAME", name=f"conv{i}")
        x = tf.nn.relu(x, name=f"relu{i}") if i < 2 else x
    return tf.reduce_mean(x, [1, 2], name="mean")

frozen = convert_variables_to_constants_v2(network.get_concrete_function())
for name in ("float", "int8"):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if name == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([rng.random((1, 24, 24, 3), "f")] for _ in range(20))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    open(f"{sys.argv[1]}/{name}.tflite", "wb").write(converter.convert())
"""


@pytest.fixture(scope="module")
def tiny_cnn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A float and an int8 file of one small network, written by TensorFlow in a process of its own."""
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("cnn")
    subprocess.run([sys.executable, "-c", TINY_CNN, str(folder)], check=True, capture_output=True)
    return folder / "float.tflite", folder / "int8.tflite"


def noise(count: int) -> list[list[FloatArray]]:
    rng = np.random.default_rng(9)
    return [[rng.random((1, 24, 24, 3), np.float32)] for _ in range(count)]


@pytest.mark.slow
def test_good_conversion_loses_little_everywhere(tiny_cnn: tuple[Path, Path]) -> None:
    errors = layer_errors(*tiny_cnn, noise(4))
    assert [e.operator for e in errors] == ["CONV_2D", "CONV_2D", "CONV_2D", "MEAN"]
    assert all(e.snr_db > 25 for e in errors)
    assert worst_layers([e for e in errors if e.cause]) == []
    for error in errors:
        assert error.kept_min is not None
        assert error.kept_max is not None
        assert error.float_min >= error.kept_min * 1.2 - 0.2
        assert error.codes_used is not None
        assert error.codes_used > 10


@pytest.mark.slow
def test_ratio_equals_its_definition(tiny_cnn: tuple[Path, Path]) -> None:
    """Oracle: both models run by hand, the ratio over all samples of the output."""
    samples = noise(3)
    reference, int8 = PreservedTensors(tiny_cnn[0]), PreservedTensors(tiny_cnn[1])
    output, twin = int8.model.main.tensors[int8.model.main.outputs[0]], reference.model.main.outputs[0]
    signal = difference = 0.0
    for sample in samples:
        reference.run(sample)
        int8.run(sample)
        true = reference.read(reference.model.main.tensors[twin])
        codes = int8.read(output)
        assert true is not None
        assert codes is not None
        assert output.quantization is not None
        value = (codes.astype(np.float64) - output.quantization.zero_points[0]) * output.quantization.scales[
            0
        ]
        signal += float(np.sum(true.astype(np.float64) ** 2))
        difference += float(np.sum((true - value) ** 2))
    expected = 10 * np.log10(signal / difference)
    assert layer_errors(*tiny_cnn, samples)[-1].snr_db == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
def test_scale_made_too_small_is_found_as_clipping_in_its_layer(
    tiny_cnn: tuple[Path, Path], tmp_path: Path
) -> None:
    """A fault put in by hand: the second convolution's output can say an eighth of what it should."""
    model = read_tflite(tiny_cnn[1])
    op = [op for op in model.main.operators if op.name == "CONV_2D"][1]
    quantization = model.main.tensors[op.outputs[0]].quantization
    assert quantization is not None
    scale = struct.pack("<f", quantization.scales[0])
    content = tiny_cnn[1].read_bytes()
    assert content.count(scale) == 1
    faulty = tmp_path / "faulty.tflite"
    faulty.write_bytes(content.replace(scale, struct.pack("<f", quantization.scales[0] / 8)))
    worst = worst_layers(layer_errors(tiny_cnn[0], faulty, noise(4)))[0]
    assert worst.index == op.index
    assert worst.lost_db > 10
    assert worst.clipped > 0.1
    assert "lie outside of" in worst.cause


@pytest.mark.slow
def test_scale_made_too_large_is_found_as_too_few_codes(tiny_cnn: tuple[Path, Path], tmp_path: Path) -> None:
    model = read_tflite(tiny_cnn[1])
    op = [op for op in model.main.operators if op.name == "CONV_2D"][1]
    quantization = model.main.tensors[op.outputs[0]].quantization
    assert quantization is not None
    content = tiny_cnn[1].read_bytes()
    faulty = tmp_path / "faulty.tflite"
    scale = quantization.scales[0]
    faulty.write_bytes(content.replace(struct.pack("<f", scale), struct.pack("<f", scale * 40)))
    worst = worst_layers(layer_errors(tiny_cnn[0], faulty, noise(4)))[0]
    assert worst.index == op.index
    assert "of 256 codes are used" in worst.cause


def test_operator_with_many_outputs_is_named_once() -> None:
    def error(index: int, snr_db: float, cause: str) -> LayerError:
        return LayerError(
            index, "SPLIT", "t", "t", snr_db, 40.0, 0.0, 1.0, None, None, 0.0, None, cause
        )  # fmt: skip

    worst = worst_layers([error(2, 20.0, "a"), error(2, 5.0, "b"), error(7, 1.0, ""), error(9, 39.0, "")])
    assert [(e.index, e.cause) for e in worst] == [(2, "b"), (7, "")]


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> list[list[FloatArray]]:
    """Letterboxed 416×416 BGR, 0..255, NCHW, as YOLOX takes them."""
    samples = []
    for path in sorted((shared_data / "coco" / "images" / "val2017").glob("*.jpg"))[:2]:
        image = cv2.imread(str(path))
        ratio = min(416 / image.shape[0], 416 / image.shape[1])
        small = cv2.resize(image, (int(image.shape[1] * ratio), int(image.shape[0] * ratio)))
        padded = np.full((416, 416, 3), 114, np.uint8)
        padded[: small.shape[0], : small.shape[1]] = small
        samples.append([padded.transpose(2, 0, 1)[None].astype(np.float32)])
    return samples


@pytest.mark.data
@pytest.mark.slow
def test_published_int8_file_is_convicted_with_layer_and_cause(
    shared_data: Path, pictures: list[list[FloatArray]]
) -> None:
    models = shared_data / "models"
    errors = layer_errors(
        models / "yolox_nano_float16_quantize.tflite",
        models / "yolox_nano_published_int8_broken.tflite",
        pictures,
    )
    assert len(errors) == 625  # every layer has its twin
    worst = worst_layers(errors, 3)
    # The box branches of the three grids, where they are quantised to the range of the scores.
    assert sorted(e.index for e in worst) == [490, 552, 614]
    for error in worst:
        assert error.operator == "QUANTIZE"
        assert (error.kept_min, error.kept_max) == (0.0, pytest.approx(255 / 256))
        assert error.clipped > 0.5
        assert "lie outside of the 0 to 0.9961" in error.cause
    backbone = [e for e in errors if e.index < 400]
    assert min(e.snr_db for e in backbone) > 30


@pytest.mark.data
@pytest.mark.slow
def test_model_equals_itself(shared_data: Path, pictures: list[list[FloatArray]]) -> None:
    path = shared_data / "models" / "yolox_nano_float16_quantize.tflite"
    errors = layer_errors(path, path, pictures[:1])
    assert all(e.snr_db == MAX_DB for e in errors)
    assert worst_layers(errors) == []


@pytest.mark.data
def test_no_sample_and_wrong_samples_are_said_so(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant.tflite"
    with pytest.raises(DataError, match="one sample or more"):
        layer_errors(path, path, [])
    with pytest.raises(ModelError, match="expected 1 inputs, got 2"):
        layer_errors(path, path, [[np.zeros((1, 128, 128, 3), np.float32)] * 2])
    with pytest.raises(ModelError, match="expected a run"):
        layer_errors(path, path, [[np.zeros((1, 7, 7, 3), np.float32)]])
    with pytest.raises(DataError):
        layer_errors(tmp_path / "nothing.tflite", path, [[np.zeros(1, np.float32)]])


@pytest.mark.data
def test_model_that_litert_cannot_run_is_said_so(shared_data: Path) -> None:
    with pytest.raises(ModelError, match="expected a model that LiteRT runs"):
        PreservedTensors(shared_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite")


def test_layout_is_turned_both_ways() -> None:
    nchw = np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 4)
    nhwc = nchw.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(fit_layout(nchw, (1, 3, 4, 2)), nhwc)
    np.testing.assert_array_equal(fit_layout(nhwc, (1, 2, 3, 4)), nchw)
    assert fit_layout(nchw, (24,)).shape == (24,)
    np.testing.assert_array_equal(fit_layout(nchw[0], (2, 4, 3)), nchw[0].transpose(0, 2, 1))
    with pytest.raises(ValueError, match="reshape"):
        fit_layout(nchw, (5, 5))


@pytest.mark.data
def test_inputs_are_quantised_as_the_file_says(shared_data: Path) -> None:
    graph = read_tflite(shared_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant.tflite").main
    tensor = graph.tensors[graph.inputs[0]]  # 1/128 · (q - 128)
    values = np.zeros(tensor.shape, np.float32)
    values.reshape(-1)[:4] = [-1.0, 0.0, 127 / 128, 99.0]
    assert to_codes(values, tensor).reshape(-1)[:4].tolist() == [0, 128, 255, 255]
