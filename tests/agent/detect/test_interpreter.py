"""The interpreter on real files and both runtimes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from agent.detect.interpreter import Interpreter
from agent.errors import ModelError


@pytest.fixture(params=["litert", "tflite-runtime"])
def runtime(request):
    pytest.importorskip({"litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}[request.param])
    return request.param


def test_inputs_and_outputs_say_what_the_file_holds(small_models, runtime):
    interpreter = Interpreter(small_models / "bright.tflite", runtime=runtime, threads=1)
    (picture,), (boxes, scores) = interpreter.inputs, interpreter.outputs
    assert (picture.shape, picture.dtype, picture.zero_point) == ((1, 64, 64, 3), np.int8, -128)
    assert picture.scale == pytest.approx(1 / 255, rel=1e-4)
    assert (boxes.shape, scores.shape) == ((1, 8, 8, 4), (1, 8, 8, 1))


def test_the_input_is_written_in_place(small_models, runtime):
    interpreter = Interpreter(small_models / "bright.tflite", runtime=runtime, threads=1)
    for level in (-128, 0, 127):
        interpreter.input_view(0)[...] = level
        interpreter.invoke()
        assert np.unique(interpreter.output(1)).tolist() == [level]


def test_the_operator_of_each_ssd_output_is_known(small_models, runtime):
    interpreter = Interpreter(small_models / "ssd.tflite", runtime=runtime)
    by_position = {output.producer: len(output.shape) for output in interpreter.outputs}
    name = "TFLite_Detection_PostProcess"
    assert by_position == {(name, 0): 3, (name, 1): 2, (name, 2): 2, (name, 3): 1}


def test_an_unknown_file_is_refused(tmp_path, runtime):
    path = tmp_path / "text.tflite"
    path.write_text("this is no model, but it is longer than eight bytes")
    with pytest.raises(ModelError, match=r"text\.tflite: expected a \.tflite file"):
        Interpreter(path, runtime=runtime)


@pytest.mark.parametrize("device", ["edgetpu", "usb:0", "pci:0"])
def test_a_missing_edge_tpu_runtime_is_named_with_its_cure(small_models, runtime, device):
    with pytest.raises(ModelError) as caught:
        Interpreter(small_models / "bright.tflite", runtime=runtime, device=device)
    assert str(caught.value).startswith(
        f"device {device}: expected the Edge TPU runtime, got libedgetpu.so.1"
    )
    assert "set device: cpu" in str(caught.value)


def test_a_file_compiled_for_an_edge_tpu_is_refused_on_the_cpu(shared_data, runtime):
    path = shared_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"
    with pytest.raises(ModelError, match="compiled for an Edge TPU: set device: edgetpu"):
        Interpreter(path, runtime=runtime)


def test_a_runtime_that_is_not_installed_is_named(small_models, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ModelError, match=r"runtime: expected ai-edge-litert .*pip install ai-edge-litert"):
        Interpreter(small_models / "bright.tflite", runtime="litert")


def test_auto_takes_the_other_runtime_when_one_is_missing(small_models, monkeypatch):
    pytest.importorskip("tflite_runtime")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    assert Interpreter(small_models / "bright.tflite").runtime == "tflite-runtime"


def test_loading_writes_nothing_to_stderr_and_swallows_no_other_lines(small_models, runtime):
    code = (
        "import os, sys; from pathlib import Path; from agent.detect.interpreter import Interpreter, "
        "_without_info_lines\n"
        f"Interpreter(Path({str(small_models / 'bright.tflite')!r}), runtime={runtime!r}).invoke()\n"
        "with _without_info_lines(): os.write(2, b'INFO: dropped\\nWARNING: kept\\n')\n"
        "os.write(2, b'INFO: after\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["WARNING: kept", "INFO: after"]
