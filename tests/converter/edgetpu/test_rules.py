"""Each rule: an operator just inside it maps, one just outside stays, with a reason and advice."""

from __future__ import annotations

from typing import Any

import pytest

from converter.edgetpu.op_table import op_table
from converter.edgetpu.reason import UNSUPPORTED_ADVICE, Reason
from converter.edgetpu.rules import obstacle


def judged(maker: Any, min_runtime: int = 14) -> Reason | None:
    """The obstacle of the last operator."""
    graph = maker.graph()
    op = graph.operators[-1]
    return obstacle(op, graph, op_table().get(op.name), min_runtime)


def add(
    maker: Any, name: str, shape: tuple[int, ...], result: tuple[int, ...], *params: Any, **options: Any
) -> None:
    """An operator on one activation, with int32 constants behind it."""
    inputs = [maker.tensor(shape), *(maker.constant(p) for p in params)]
    maker.operator(name, inputs, [maker.tensor(result)], **options)


FUSED = {"fused_activation_function": "RELU6"}
SLICE = {"name": "STRIDED_SLICE", "params": ([0], [1], [1])}
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("TRANSPOSE 57,600 elements", {"name": "TRANSPOSE", "shape": (1, 20, 20, 144)}, ""),
    ("TRANSPOSE 60,000 elements", {"name": "TRANSPOSE", "shape": (1, 100, 100, 6)}, ""),
    ("TRANSPOSE 61,600 elements", {"name": "TRANSPOSE", "shape": (1, 20, 20, 154)}, "size"),
    ("TRANSPOSE 230,400 elements", {"name": "TRANSPOSE", "shape": (1, 40, 40, 144)}, "size"),
    ("batch of 2", {"name": "RELU", "shape": (2, 8, 8, 4)}, "rank"),
    ("five dimensions, outer two of 1", {"name": "RELU", "shape": (1, 1, 8, 8, 4)}, ""),
    ("four dimensions over 1", {"name": "RELU", "shape": (1, 2, 8, 8, 4)}, "rank"),
    ("free axis", {"name": "RELU", "shape": (-1, 8, 8, 4)}, "dynamic-shape"),
    ("softmax of a row", {"name": "SOFTMAX", "shape": (1, 1001)}, ""),
    ("softmax of 16,000", {"name": "SOFTMAX", "shape": (1, 16_000)}, ""),
    ("softmax of 16,001", {"name": "SOFTMAX", "shape": (1, 16_001)}, "size"),
    ("softmax of two rows", {"name": "SOFTMAX", "shape": (2, 10)}, "rank"),
    ("pool", {"name": "MAX_POOL_2D", "shape": (1, 8, 8, 4)}, ""),
    ("pool with activation", {"name": "MAX_POOL_2D", **FUSED}, "fused-activation"),
    ("mean pool with activation", {"name": "AVERAGE_POOL_2D", **FUSED}, "fused-activation"),
    ("slice", {"name": "STRIDED_SLICE", "params": ([0] * 4, [1] * 4, [1, 1, 1, 1])}, ""),
    ("slice with strides", {"name": "STRIDED_SLICE", "params": ([0] * 4, [1] * 4, [1, 2, 2, 1])}, "strides"),
    ("slice with a new axis", {**SLICE, "new_axis_mask": 1}, "strides"),
    ("slice with an ellipsis", {**SLICE, "ellipsis_mask": 1}, "strides"),
    ("resize by 2", {"name": "RESIZE_BILINEAR", "result": (1, 16, 16, 4)}, ""),
    ("resize by 8", {"name": "RESIZE_BILINEAR", "result": (1, 64, 64, 4)}, ""),
    ("resize by 9", {"name": "RESIZE_BILINEAR", "result": (1, 72, 64, 4)}, "size"),
    ("resize from 1×1", {"name": "RESIZE_BILINEAR", "shape": (1, 1, 1, 4), "result": (1, 4, 4, 4)}, "size"),
    ("resize to the same", {"name": "RESIZE_BILINEAR", "shape": (1, 1, 1, 4), "result": (1, 1, 1, 4)}, ""),
    ("mean over height and width", {"name": "MEAN", "params": ([1, 2],)}, ""),
    ("mean over the batch", {"name": "MEAN", "params": ([0, 1],)}, "batch"),
    ("mean over 4 channels", {"name": "MEAN", "params": ([-1],)}, ""),
    ("mean over 6 channels", {"name": "MEAN", "shape": (1, 8, 8, 6), "params": ([3],)}, "size"),
    ("sum over the batch", {"name": "SUM", "params": ([-4],)}, "batch"),
    ("maximum over the batch", {"name": "REDUCE_MAX", "params": ([0],)}, "batch"),
    ("pad height", {"name": "PAD", "params": ([[0, 0], [1, 1], [0, 0], [0, 0]],)}, ""),
    ("pad the batch", {"name": "PAD", "params": ([[0, 1], [1, 1], [0, 0], [0, 0]],)}, "batch"),
    ("pack along 1", {"name": "PACK", "axis": 1}, ""),
    ("pack along the batch", {"name": "PACK", "axis": 0}, "batch"),
    ("squeeze of leading ones", {"name": "SQUEEZE", "shape": (1, 1, 5, 10), "result": (5, 10)}, ""),
    ("squeeze to one row", {"name": "SQUEEZE", "shape": (1, 1, 1, 10), "result": (1, 10)}, ""),
    ("squeeze of the batch", {"name": "SQUEEZE", "shape": (1, 5, 1, 10), "result": (5, 1, 10)}, ""),
    ("squeeze to one number", {"name": "SQUEEZE", "shape": (1, 1, 1, 1), "result": ()}, ""),
    ("squeeze of an inner", {"name": "SQUEEZE", "shape": (1, 5, 1, 10), "result": (1, 5, 10)}, "relayout"),
    ("squeeze of the last", {"name": "SQUEEZE", "shape": (1, 5, 10, 1), "result": (5, 10)}, "relayout"),
    ("tile", {"name": "TILE", "params": ([1, 2, 1, 1],)}, ""),
    ("unsupported", {"name": "ELU"}, "unsupported"),
    ("unheard of", {"name": "NO_SUCH_OPERATOR"}, "unsupported"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "expected"), [(c, e) for _, c, e in CASES], ids=[n for n, _, _ in CASES])
def test_rule_draws_its_line(maker: Any, case: dict[str, Any], expected: str) -> None:
    case = dict(case)
    name, params = case.pop("name"), case.pop("params", ())
    shape = case.pop("shape", (1, 8, 8, 4))
    add(maker, name, shape, case.pop("result", shape), *params, **case)
    reason = judged(maker)
    assert (reason.code if reason else "") == expected
    assert reason is None or (reason.text and reason.advice)


@pytest.mark.parametrize(
    ("dilation", "code"), [((1, 1), ""), ((2, 2), ""), ((1, 2), "dilation"), ((4, 1), "dilation")]
)
@pytest.mark.parametrize("name", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_dilation_must_be_equal(maker: Any, name: str, dilation: tuple[int, int], code: str) -> None:
    weights = maker.constant([[[[1] * 4]]], "int8")
    maker.operator(
        name, [maker.tensor(), weights], dilation_hfactor=dilation[0], dilation_wfactor=dilation[1]
    )
    reason = judged(maker)
    assert (reason.code if reason else "") == code


def test_grouped_convolution_stays(maker: Any) -> None:
    maker.operator("CONV_2D", [maker.tensor((1, 8, 8, 8)), maker.constant([[[[1] * 4]]], "int8")])
    reason = judged(maker)
    assert reason is not None
    assert "2 groups" in reason.text


@pytest.mark.parametrize("name", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"])
def test_computed_weights_stay(maker: Any, name: str) -> None:
    maker.operator(name, [maker.tensor((1, 4)), maker.tensor((4, 4))], [maker.tensor((1, 4))])
    reason = judged(maker)
    assert reason is not None
    assert reason.code == "not-constant"


@pytest.mark.parametrize(
    ("dtype", "code"), [("int8", ""), ("uint8", ""), ("int16", "data-type"), ("float32", "data-type")]
)
def test_activations_must_be_8_bit(maker: Any, dtype: str, code: str) -> None:
    maker.operator("LOGISTIC", [maker.tensor(dtype=dtype)], [maker.tensor(dtype=dtype)])
    reason = judged(maker)
    assert (reason.code if reason else "") == code


def test_float_weights_stay(maker: Any) -> None:
    maker.operator("CONV_2D", [maker.tensor(), maker.constant([[[[1.0] * 4]]], "float32")])
    reason = judged(maker)
    assert reason is not None
    assert "weights are float32" in reason.text


def test_integer_tensor_without_scale_stays(maker: Any) -> None:
    maker.operator("RELU", [maker.tensor(quantization=None)])
    reason = judged(maker)
    assert reason is not None
    assert "without a scale" in reason.text


@pytest.mark.parametrize(("rows", "code"), [(1, ""), (2, "rank")])
def test_fully_connected_takes_one_row(maker: Any, rows: int, code: str) -> None:
    weights = maker.constant([[1] * 4] * 6, "int8")
    maker.operator("FULLY_CONNECTED", [maker.tensor((rows, 4)), weights], [maker.tensor((rows, 6))])
    reason = judged(maker)
    assert (reason.code if reason else "") == code


@pytest.mark.parametrize(
    ("constants", "others", "code"),
    [([[0, 0]], 1, ""), ([[0, 1]], 1, "constant-input"), ([[0, 0]], 2, "constant-input"), ([], 3, "")],
)
def test_concatenation_takes_one_constant_of_zeros(
    maker: Any, constants: list[Any], others: int, code: str
) -> None:
    inputs = [maker.tensor((1, 2)) for _ in range(others)] + [maker.constant([c], "int8") for c in constants]
    maker.operator("CONCATENATION", inputs, [maker.tensor((1, 4))])
    reason = judged(maker)
    assert (reason.code if reason else "") == code


def test_zeros_are_judged_by_the_zero_point(maker: Any) -> None:
    from converter.tflite_model.structure import Quantization

    zeros = maker.constant([[-128, -128]], "int8", quantization=Quantization((1.0,), (-128,)))
    maker.operator("CONCATENATION", [maker.tensor((1, 2)), zeros], [maker.tensor((1, 4))])
    assert judged(maker) is None


@pytest.mark.parametrize(("axis", "code"), [(1, ""), (3, ""), (0, "batch"), (-4, "batch")])
def test_split_may_not_cut_the_batch(maker: Any, axis: int, code: str) -> None:
    maker.operator("SPLIT", [maker.constant(axis), maker.tensor()], [maker.tensor(), maker.tensor()])
    reason = judged(maker)
    assert (reason.code if reason else "") == code


@pytest.mark.parametrize(("shape", "code"), [((1, 1, 4), ""), ((8, 8, 4), "rank")])
def test_prelu_shares_its_slopes(maker: Any, shape: tuple[int, ...], code: str) -> None:
    import numpy as np

    maker.operator("PRELU", [maker.tensor(), maker.constant(np.ones(shape), "int8")])
    reason = judged(maker)
    assert (reason.code if reason else "") == code


def test_older_runtime_takes_fewer_operators(maker: Any) -> None:
    add(maker, "TRANSPOSE", (1, 4, 4, 4), (1, 4, 4, 4))
    assert judged(maker, 14) is None
    reason = judged(maker, 13)
    assert reason is not None
    assert reason.code == "runtime"


@pytest.mark.parametrize("min_runtime", [10, 12, 13])
@pytest.mark.parametrize(
    ("name", "params", "plane"),
    [
        ("MEAN", [1, 2], True),
        ("MEAN", [2, 3], False),
        ("MEAN", [-1], False),
        ("PAD", [[0, 0], [1, 1], [2, 0], [0, 0]], True),
        ("PAD", [[0, 0], [0, 0], [0, 0], [0, 4]], False),
    ],
)
def test_runtimes_before_13_reduce_and_pad_the_plane_only(
    maker: Any, name: str, params: list[Any], plane: bool, min_runtime: int
) -> None:
    add(maker, name, (1, 8, 8, 4), (1, 8, 8, 4), params)
    reason = judged(maker, min_runtime)
    assert (reason.code if reason else "") == ("" if plane or min_runtime == 13 else "runtime")
    assert reason is None or "compile for runtime 13" in reason.advice


def test_custom_operator_stays_and_is_named(maker: Any) -> None:
    maker.operator("TFLite_Detection_PostProcess", [maker.tensor()], custom=True)
    reason = judged(maker)
    assert reason is not None
    assert "TFLite_Detection_PostProcess" in reason.text


def test_advice_is_only_for_operators_that_need_it() -> None:
    table = op_table()
    assert [name for name in UNSUPPORTED_ADVICE if table[name].supported] == []
