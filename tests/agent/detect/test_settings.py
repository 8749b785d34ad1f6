"""What a user may write, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from agent.detect.settings import DetectorSettings


@pytest.mark.parametrize("device", ["cpu", "edgetpu", "usb", "usb:0", "pci:0", "pci:12"])
def test_devices_of_either_bus_are_taken(device):
    assert DetectorSettings(model="m.tflite", device=device).device == device


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "model: expected the path"),
        ({"kind": "motion", "model": "m.tflite"}, "expected none for kind motion"),
        ({"model": "m.tflite", "device": "gpu"}, "expected cpu, edgetpu, usb, usb:0, pci:0 …, got 'gpu'"),
        ({"model": "m.tflite", "device": "usb:x"}, "device"),
        ({"model": "m.tflite", "device": "fake:0"}, "device"),
        ({"model": "m.tflite", "isolate": "sometimes"}, "isolate"),
        ({"model": "m.tflite", "deadline_s": 0}, "deadline_s"),
        ({"model": "m.tflite", "min_score": 1.5}, "min_score"),
        ({"model": "m.tflite", "min_area": 0.5, "max_area": 0.1}, "at most max_area"),
        ({"model": "m.tflite", "min_scores": 0.5}, "min_scores"),
        ({"model": "m.tflite", "runtime": "tensorrt"}, "runtime"),
    ],
)
def test_what_makes_no_sense_is_refused(content, said):
    with pytest.raises(ValidationError, match=said):
        DetectorSettings.model_validate(content)


def test_settings_and_detectors_load_no_heavy_module_before_they_need_it():
    code = (
        "import sys; import agent.detect.settings\n"
        "assert not {'numpy', 'cv2'} & set(sys.modules), 'settings'\n"
        "from agent.detect.detector import open_detector\n"
        "open_detector(agent.detect.settings.DetectorSettings(kind='motion'))\n"
        "assert not {'ai_edge_litert', 'tflite_runtime'} & set(sys.modules), 'motion'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
