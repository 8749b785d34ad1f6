"""Keras 2 and 3 models, trained here on rows of digits, through the whole conversion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.vision.model_spec import load_spec
from converter.conversion import Request, convert
from converter.inspection import inspect_file
from converter.parity.measure import Limits
from converter.parity.runner import Runner

DATA = {"lstm": "rows", "gru": "rows", "tcn": "rows", "conv3d": "volumes", "cnn": "pictures"}
# The first test pays for the training of all models.
pytestmark = [pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(1200)]


def request_for(folder: Path, kind: str, version: int, output: Path) -> Request:
    model = next(
        path for path in sorted(folder.glob(f"{kind}-{version}.*")) if path.suffix in (".h5", ".keras")
    )
    data = DATA[kind]
    return Request(
        model=model,
        calibration=folder / f"{data}-calibration.npz",
        output=output,
        evaluate=folder / f"{data}-test.npz",
        limits=Limits(max_drop=0.005),
    )


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tcn", "conv3d", "cnn"])
def test_trained_model_keeps_its_accuracy_and_maps_to_the_edge_tpu(
    sequence_models: Path, tmp_path: Path, kind: str, version: int
) -> None:
    result = convert(request_for(sequence_models, kind, version, tmp_path / "out"))
    top1 = next(row for row in result.report.accuracy if row.metric == "top-1")
    assert result.passed
    assert top1.float_value is not None and top1.float_value > 0.5
    assert top1.float_value - top1.int8_value <= 0.005
    file = tmp_path / "out" / f"{kind}-{version}.tflite"
    verdict = inspect_file(file).edgetpu
    assert (verdict.mapped, verdict.refused) == (verdict.total, None), [
        op for op in verdict.operators if not op.maps
    ]
    assert load_spec(file.with_suffix(".json")).provenance.sha256


def test_same_input_gives_the_same_bytes(sequence_models: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        convert(request_for(sequence_models, "gru", 3, tmp_path / name))
    for file in ("gru-3.tflite", "gru-3.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


@pytest.mark.parametrize("kind", ["cnn", "conv3d"])
def test_both_runtimes_give_equal_codes_within_one(sequence_models: Path, tmp_path: Path, kind: str) -> None:
    """Of shallow models; behind hundreds of operators differences of one code add up."""
    pytest.importorskip("tflite_runtime")
    convert(request_for(sequence_models, kind, 2, tmp_path))
    with np.load(sequence_models / f"{DATA[kind]}-test.npz") as file:
        samples = file["x"][:20]
    new, old = (
        Runner(tmp_path / f"{kind}-2.tflite", runtime=runtime) for runtime in ("litert", "tflite-runtime")
    )
    for sample in samples:
        (first,), (second,) = new.codes({"": sample}), old.codes({"": sample})
        assert np.abs(first.astype(int) - second).max() <= 1


def test_drop_over_the_limit_keeps_the_report_and_writes_no_model(
    sequence_models: Path, tmp_path: Path
) -> None:
    request = request_for(sequence_models, "cnn", 3, tmp_path / "out")
    # Calibrated on pictures that are all but black no range is right.
    black = tmp_path / "black.npz"
    pictures = np.zeros((8, 28, 28, 1), np.float32)
    pictures[0, 0, 0] = 1e-3
    np.savez(black, x=pictures)
    result = convert(Request(request.model, black, request.output, evaluate=request.evaluate, rescue=False))
    assert not result.passed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "report.json"}
    assert "lost too much" in result.report.summary
    assert result.report.calibration is not None and len(result.report.calibration.warnings) >= 1
