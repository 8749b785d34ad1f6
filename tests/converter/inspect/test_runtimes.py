"""Which runtime loads a file, said beforehand and then tried."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from converter.runtimes import CORAL, LITERT, TFLITE_RUNTIME, judge_runtimes
from converter.tflite_model.reader import read_tflite
from converter.tflite_model.structure import Operator, Quantization, TfliteModel

pytestmark = pytest.mark.data


def verdicts(model: TfliteModel) -> dict[str, tuple[bool | None, str]]:
    return {v.runtime: (v.loads, "; ".join(v.reasons)) for v in judge_runtimes(model)}


@pytest.mark.parametrize(
    ("runtime", "module"),
    [(TFLITE_RUNTIME, "tflite_runtime.interpreter"), (LITERT, "ai_edge_litert.interpreter")],
)
def test_real_files_load_where_it_says_so(real_model: Path, runtime: str, module: str) -> None:
    pytest.importorskip(module)
    interpreter = importlib.import_module(module).Interpreter
    assert verdicts(read_tflite(real_model))[runtime][0] is True
    interpreter(model_path=str(real_model)).allocate_tensors()


def with_operator(model: TfliteModel, **fields: object) -> TfliteModel:
    """The model with its first operator changed."""
    first, *rest = model.main.operators
    graph = replace(model.main, operators=(replace(first, **fields), *rest))  # type: ignore[arg-type]
    return replace(model, subgraphs=(graph,))


@pytest.fixture
def model(shared_data: Path) -> TfliteModel:
    return read_tflite(shared_data / "edgetpu_pairs" / "keras_lstm_mnist_ptq.tflite")


def test_newer_version_loads_in_the_newer_runtime_only(model: TfliteModel) -> None:
    found = verdicts(with_operator(model, name="ADD", version=6))
    assert found[LITERT][0] is True
    assert found[TFLITE_RUNTIME] == (False, "ADD version 6: knows up to 5")
    assert found[CORAL] == (False, "ADD version 6: knows up to 4")


def test_unknown_and_flex_operators_load_nowhere(model: TfliteModel) -> None:
    for changed in ({"name": "BUILTIN_999"}, {"name": "FlexErf", "custom": True}):
        assert {loads for loads, _ in verdicts(with_operator(model, **changed)).values()} == {False}


def test_detection_postprocess_loads_everywhere(model: TfliteModel) -> None:
    found = verdicts(with_operator(model, name="TFLite_Detection_PostProcess", custom=True))
    assert {loads for loads, _ in found.values()} == {True}


def test_compiled_file_is_for_libedgetpu(shared_data: Path) -> None:
    found = verdicts(read_tflite(shared_data / "edgetpu_pairs" / "keras_lstm_mnist_ptq_edgetpu.tflite"))
    assert found[CORAL][0] is True
    assert found[LITERT][0] is None
    assert "Edge TPU" in found[LITERT][1]


def test_dense_with_a_scale_per_channel_is_heeded_on_old_runtimes(model: TfliteModel) -> None:
    dense = next(op for op in model.main.operators if op.name == "FULLY_CONNECTED")
    tensors = list(model.main.tensors)
    weights = tensors[dense.inputs[1]]
    tensors[weights.index] = replace(weights, quantization=Quantization((0.1, 0.2), (0, 0)))
    changed = replace(model, subgraphs=(replace(model.main, tensors=tuple(tensors)),))
    found = verdicts(changed)
    assert "computed wrongly" in found[CORAL][1]
    assert found[TFLITE_RUNTIME] == (True, "")


def test_other_subgraphs_count(model: TfliteModel) -> None:
    body = replace(model.main, operators=(Operator(0, "GELU", 3, (), (), {}),))
    found = verdicts(replace(model, subgraphs=(model.main, body)))
    assert found[TFLITE_RUNTIME][0] is False
    assert found[LITERT][0] is True
