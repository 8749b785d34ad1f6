"""Scales that do harm are found and named; those of good models are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter.tflite_model.reader import read_tflite
from converter.tflite_model.scales import scale_warnings
from converter.tflite_model.structure import Operator, Quantization, Subgraph, Tensor


def tensor(index: int, scale: float | None, zero: int = 0, **fields: object) -> Tensor:
    quantization = None if scale is None else Quantization((scale,), (zero,))
    dtype = "float32" if scale is None else "int8"
    return Tensor(index, f"t{index}", dtype, (1, 4), (1, 4), quantization, None, **fields)  # type: ignore[arg-type]


def graph(tensors: list[Tensor], operators: list[Operator], outputs: tuple[int, ...] = ()) -> Subgraph:
    return Subgraph("", tuple(tensors), tuple(operators), (0,), outputs)


@pytest.mark.data
def test_published_file_is_caught_cutting_its_boxes(broken_yolox: Path) -> None:
    warnings = scale_warnings(read_tflite(broken_yolox).main)
    assert len(warnings) == 3  # one for each of its three grids
    for warning in warnings:
        assert warning.code == "joined-ranges"
        assert "CONV_2D" in warning.text
        assert "cut here to 0..0.9961" in warning.text
        assert "in an output of the model" in warning.text


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "models/mobilenet_v2_1.0_224_quant.tflite",
        "models/movenet_single_pose_lightning_ptq.tflite",
        "edgetpu_pairs/keras_lstm_mnist_ptq.tflite",
    ],
)
def test_good_models_give_no_warning(shared_data: Path, name: str) -> None:
    assert scale_warnings(read_tflite(shared_data / name).main) == ()


@pytest.mark.parametrize(
    ("scale", "zero", "code"),
    [
        (1e36, 0, "scale-range"),  # -inf padding ahead of MAX_POOL_2D
        (float("inf"), 0, "scale-range"),
        (float("nan"), 0, "scale-range"),
        (-0.1, 0, "scale-range"),
        (0.0, 0, "scale-range"),
        (1e-12, 0, "scale-zero"),
        (0.1, 300, "zero-point"),
        (0.1, -128, ""),
        (1000.0, 0, ""),
    ],
)
def test_scale_out_of_reason_is_named(scale: float, zero: int, code: str) -> None:
    found = scale_warnings(
        graph([tensor(0, 0.1), tensor(1, scale, zero)], [Operator(0, "MAX_POOL_2D", 1, (0,), (1,), {})])
    )
    assert [w.code for w in found] == ([code] if code else [])
    assert all(w.operator == 0 and w.tensor == "t1" and w.advice for w in found)


@pytest.mark.parametrize(("box_scale", "warned"), [(1.0, True), (0.1, True), (0.02, True), (0.01, False)])
def test_scores_joined_with_boxes_keep_too_few_codes(box_scale: float, warned: bool) -> None:
    """Scores of 0..1 requantised to the boxes' scale: 255/256/scale + 1 codes are left."""
    tensors = [
        tensor(0, 0.1),
        tensor(1, 1 / 256, -128),
        tensor(2, box_scale),
        tensor(3, box_scale),
        tensor(4, box_scale),
    ]
    operators = [
        Operator(0, "LOGISTIC", 1, (0,), (1,), {}),
        Operator(1, "QUANTIZE", 1, (1,), (2,), {}),
        Operator(2, "CONV_2D", 1, (0,), (3,), {}),
        Operator(3, "CONCATENATION", 1, (3, 2), (4,), {}),
    ]
    found = scale_warnings(graph(tensors, operators, (4,)))
    assert [(w.code, w.tensor) for w in found] == ([("joined-ranges", "t2")] if warned else [])
    if warned:
        codes = int(255 / 256 / box_scale + 1)
        assert f"{codes} of 256 codes" in found[0].text


def test_float_scores_joined_before_quantising_are_found() -> None:
    """CONCATENATION in float, then QUANTIZE: the scale is the joined one's."""
    tensors = [tensor(0, None), tensor(1, None), tensor(2, None), tensor(3, None), tensor(4, 2.0)]
    operators = [
        Operator(0, "LOGISTIC", 1, (0,), (1,), {}),
        Operator(1, "CONV_2D", 1, (0,), (2,), {}),
        Operator(2, "CONCATENATION", 1, (2, 1), (3,), {}),
        Operator(3, "QUANTIZE", 1, (3,), (4,), {}),
    ]
    (found,) = scale_warnings(graph(tensors, operators, (4,)))
    assert (found.code, found.tensor, found.operator) == ("joined-ranges", "t1", 2)


def test_weights_with_one_scale_for_uneven_channels_are_found() -> None:
    values = np.ones((8, 1, 1, 4), np.int8)
    values[0] = 127
    data = np.frombuffer(values.tobytes(), np.uint8)
    weights = Tensor(1, "w", "int8", (8, 1, 1, 4), (8, 1, 1, 4), Quantization((0.1,), (0,)), data)
    op = Operator(0, "CONV_2D", 1, (0, 1), (2,), {})
    (found,) = scale_warnings(graph([tensor(0, 0.1), weights, tensor(2, 0.1)], [op]))
    assert found.code == "starved-weights"
    assert "7 of 8 channels" in found.text


def test_representable_range_follows_the_zero_point() -> None:
    assert tensor(0, 0.5, -128).representable == (0.0, 127.5)
    assert tensor(0, None).representable is None
