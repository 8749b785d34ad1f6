"""Models that answer at every step, or at every pixel: what their last operators become in int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from converter.conversion import Request, convert
from converter.inspection import inspect_file
from converter.parity.measure import Limits
from converter.parity.runner import Runner
from converter.worker import Worker

pytestmark = pytest.mark.slow
STEPS, FEATURES = 8, 6
RNG = np.random.default_rng(5)
LAST = {
    "half_pixel": ("Resize", {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}),
    "align_corners": ("Resize", {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    "depth_to_space": ("DepthToSpace", {"blocksize": 2, "mode": "DCR"}),
}


def relative(float_values: NDArray[np.float32], int8_values: NDArray[np.float32]) -> float:
    """Root mean squared error over the output's spread."""
    return float(np.sqrt(np.mean((float_values - int8_values) ** 2)) / float_values.std())


def write_upsampled(path: Path, last: str) -> None:
    """Convolution, then what brings a mask to the picture's size."""
    kind, attributes = LAST[last]
    inputs = ["a", "", "scales"] if kind == "Resize" else ["a"]
    constants = {"w": RNG.normal(0, 0.3, (8, 3, 3, 3)), "scales": np.array([1, 1, 2, 2])}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
            helper.make_node(kind, inputs, ["y"], **attributes),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


@pytest.mark.parametrize("last", LAST)
def test_upsampled_output_has_a_scale_and_equals_float_on_both_runtimes(tmp_path: Path, last: str) -> None:
    pytest.importorskip("tflite_runtime")
    samples = RNG.random((16, 16, 16, 3), np.float32)
    write_upsampled(tmp_path / "m.onnx", last)
    np.savez(tmp_path / "c.npz", x=samples)
    # The last operator in float is tried too, as no int8 file is that exact.
    strict = Request(
        tmp_path / "m.onnx", tmp_path / "c.npz", tmp_path / "strict", limits=Limits(max_error=1e-5)
    )
    refused = convert(strict)
    assert not refused.passed
    assert [own for own in refused.report.accuracy if own.failed]
    result = convert(Request(tmp_path / "m.onnx", tmp_path / "c.npz", tmp_path / "out"))
    assert result.passed
    judged = [own.int8_value for own in result.report.accuracy if own.max_drop is not None]
    assert max(judged) < 0.03
    for runtime in ("litert", "tflite-runtime"):
        runner = Runner(tmp_path / "out" / "m.tflite", runtime=runtime)
        (output,) = runner.outputs
        assert output.dtype == np.int8 and output.scale > 0
        assert output.shape == (1, 32, 32, 2 if last == "depth_to_space" else 8)
        (codes,) = runner.codes({"": samples[0]})
        assert len(np.unique(codes)) > 50


@pytest.mark.parametrize("each_step", [False, True])
def test_tagger_with_silent_first_steps_loads_and_maps(
    worker: Worker, tmp_path: Path, each_step: bool
) -> None:
    """Without input the state stays exactly 0 for some steps, and no scale can be read off it."""
    pytest.importorskip("tflite_runtime")
    path = tmp_path / "tagger.keras"
    worker.call(
        "tests.converter.conversion.write_taggers:save_tagger", path, STEPS, FEATURES, each_step, on=path
    )
    samples = RNG.random((24, STEPS, FEATURES), np.float32)
    samples[:, :3] = 0
    np.savez(tmp_path / "c.npz", x=samples)
    result = convert(Request(path, tmp_path / "c.npz", tmp_path / "out"))
    assert result.passed
    assert max(own.int8_value for own in result.report.accuracy if own.max_drop is not None) < 0.05
    file = tmp_path / "out" / "tagger.tflite"
    edgetpu = inspect_file(file).edgetpu
    assert (edgetpu.mapped, edgetpu.refused) == (edgetpu.total, None), [
        own for own in edgetpu.operators if not own.maps
    ]
    new, old = (Runner(file, runtime=runtime) for runtime in ("litert", "tflite-runtime"))
    for sample in samples:
        (first,), (second,) = new({"": sample}), old({"": sample})
        assert first.shape == (1, STEPS, 3)
        assert relative(first, second) < 0.05
