"""What maps, against models before and after the real compiler, and against a naive oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converter.edgetpu.verdict import judge
from converter.tflite_model.reader import read_tflite
from converter.tflite_model.structure import EDGETPU_CUSTOM_OP

PAIRS = ("mobilenet_v1_0.25_128_quant", "keras_lstm_mnist_ptq")


@pytest.mark.data
@pytest.mark.parametrize("name", PAIRS)
def test_verdict_is_what_the_compiler_took(shared_data: Path, name: str) -> None:
    before = read_tflite(shared_data / "edgetpu_pairs" / f"{name}.tflite")
    after = read_tflite(shared_data / "edgetpu_pairs" / f"{name}_edgetpu.tflite")
    assert any(op.name == EDGETPU_CUSTOM_OP for op in after.main.operators)
    # The compiler keeps tensor names: an operator whose outputs are still written by an ordinary operator of
    # the compiled file stayed on the CPU.
    left = {after.main.tensors[i].name for op in after.main.operators if not op.custom for i in op.outputs}
    taken = [all(before.main.tensors[i].name not in left for i in op.outputs) for op in before.main.operators]
    assert [op.maps for op in judge(before).operators] == taken


@pytest.mark.data
def test_google_model_maps_whole_and_fits(shared_data: Path) -> None:
    verdict = judge(read_tflite(shared_data / "models" / "mobilenet_v2_1.0_224_quant.tflite"))
    assert verdict.mapped == verdict.total == 66
    assert verdict.first_stop is None
    assert verdict.memory.fits


@pytest.mark.data
def test_movenet_stops_at_the_first_arg_max(shared_data: Path) -> None:
    verdict = judge(read_tflite(shared_data / "models" / "movenet_single_pose_lightning_ptq.tflite"))
    assert verdict.first_stop is not None
    assert verdict.operators[verdict.first_stop].name == "ARG_MAX"
    # CAST and QUANTIZE of the picture come before the TPU part and do not end it.
    assert [op.maps for op in verdict.operators[:4]] == [False, False, True, True]


@pytest.mark.data
def test_compiled_file_is_recognised(shared_data: Path) -> None:
    verdict = judge(read_tflite(shared_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"))
    assert verdict.compiled
    assert "already compiled" in verdict.notes[0]


@pytest.mark.data
def test_float_model_is_refused(shared_data: Path) -> None:
    verdict = judge(read_tflite(shared_data / "models" / "yolox_nano_float16_quantize.tflite"))
    assert verdict.refused is not None
    assert verdict.refused.code == "not-quantized"
    assert verdict.mapped == 0
    assert all(op.reason is not None for op in verdict.operators)


def test_operator_behind_a_cpu_operator_stays_and_names_it(maker: Any) -> None:
    x = maker.operator("RELU", [maker.tensor()])
    y = maker.operator("ELU", [x])
    maker.operator("RELU", [y])
    verdict = judge(maker.model())
    assert [op.maps for op in verdict.operators] == [True, False, False]
    assert verdict.first_stop == 1
    assert verdict.waiting == 1
    assert verdict.operators[2].reason is not None
    assert "operator 1 ELU" in verdict.operators[2].reason.text


def test_parallel_branch_beside_a_cpu_operator_maps(maker: Any) -> None:
    x = maker.operator("RELU", [maker.tensor()])
    maker.operator("ELU", [x])
    maker.operator("LOGISTIC", [x])
    assert [op.maps for op in judge(maker.model()).operators] == [True, False, True]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("CONV_2D", 6),
        ("TRANSPOSE_CONV", 4),
        ("EXP", 2),
        ("TILE", 3),
        ("GELU", 1),
        ("QUANTIZE", 3),
        ("TRANSPOSE", 6),
    ],
)
def test_newer_version_refuses_the_whole_file(maker: Any, name: str, version: int) -> None:
    x = maker.operator("RELU", [maker.tensor()])
    maker.operator(name, [x], version=version)
    verdict = judge(maker.model())
    assert verdict.mapped == 0
    assert verdict.refused is not None
    assert verdict.refused.code == "version"
    assert verdict.first_stop == 1
    assert verdict.operators[0].reason is not None
    assert verdict.operators[0].reason.code == "model-refused"


def test_constants_outside_of_the_flatbuffer_refuse_the_file(maker: Any) -> None:
    weights = maker.tensor((4, 1, 1, 4), external=True)
    maker.operator("CONV_2D", [maker.tensor(), weights])
    refused = judge(maker.model()).refused
    assert refused is not None
    assert refused.code == "external-buffers"


def test_unsure_version_maps_with_a_note(maker: Any) -> None:
    x = maker.operator("RELU", [maker.tensor()])
    maker.operator("CAST", [x], [maker.tensor(dtype="float32")], version=2)
    verdict = judge(maker.model())
    assert verdict.refused is None
    assert verdict.operators[0].maps
    assert "CAST version 2" in verdict.notes[0]


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_subgraph_equals_naive_reachability(new_maker: Callable[[], Any], data: st.DataObject) -> None:
    """Oracle: walk back from every operator and look for TPU, then CPU, then it."""
    maker = new_maker()
    first = maker.tensor()
    outputs: list[int] = []
    parents: list[list[int]] = []
    able: list[bool] = []
    for _ in range(data.draw(st.integers(1, 14))):
        chosen = data.draw(st.lists(st.integers(-1, len(outputs) - 1), min_size=1, max_size=3))
        parents.append([i for i in chosen if i >= 0])
        able.append(data.draw(st.booleans()))
        inputs = [outputs[i] if i >= 0 else first for i in chosen]
        outputs.append(maker.operator("RELU" if able[-1] else "ELU", inputs))
    verdict = judge(maker.model())

    def ancestors(i: int) -> set[int]:
        return set(parents[i]).union(*(ancestors(j) for j in parents[i])) if parents[i] else set()

    maps: list[bool] = []
    for i, fit in enumerate(able):
        blocked = any(not able[j] and any(maps[k] for k in ancestors(j)) for j in ancestors(i))
        maps.append(fit and not blocked)
    assert [op.maps for op in verdict.operators] == maps
