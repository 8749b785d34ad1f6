"""The whole agent with a fake Edge TPU that aborts under it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from agent.detect.settings import FAKE_TPU_VARIABLE

CONFIG = """
device: porch
broker: {{url: "{url}"}}
outbox: {{path: "{folder}/outbox.sqlite"}}
cameras:
  front:
    source: "{folder}/lamp.avi"
    detector: {{model: "{folder}/bright_edgetpu.tflite", device: "fake:0", threads: 1}}
    zones: {{all: {{points: [[0, 0], [1, 0], [1, 1], [0, 1]]}}}}
    rules: [{{kind: zone, zone: all, when: [enter]}}]
"""


@pytest.fixture
def folder(small_models, mosquitto, tmp_path):
    for name in ("bright.tflite", "bright.json"):
        shutil.copy(small_models / name, tmp_path / name)
    shutil.copy(small_models / "bright.tflite", tmp_path / "bright_edgetpu.tflite")
    video = cv2.VideoWriter(str(tmp_path / "lamp.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (640, 640))
    picture = np.zeros((640, 640, 3), np.uint8)
    picture[240:320, 240:320] = 255
    for _ in range(60):
        video.write(picture)
    video.release()
    (tmp_path / "edgetrack.yaml").write_text(CONFIG.format(url=mosquitto.url, folder=tmp_path))
    return tmp_path


PATIENT = """
from agent.cli import main
from agent.detect.failover import FailoverInterpreter
FailoverInterpreter.__init__.__kwdefaults__["patience_s"] = 60.0
main()
"""
"""The agent on a machine on which a device takes its time to start: the file waits for it."""


def agent(folder, command, *, patient=False, **environment):
    program = ["-c", PATIENT] if patient else ["-m", "agent.cli"]
    return subprocess.run(
        [sys.executable, *program, command, str(folder / "edgetrack.yaml")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_an_abort_of_the_device_costs_no_frame_and_no_alert(folder):
    (folder / "0").write_text("abort")
    done = agent(folder, "run", patient=True, **{FAKE_TPU_VARIABLE: str(folder)})
    assert done.returncode == 0, done.stderr
    assert "front: 60 frames" in done.stdout
    assert "1 alerts" in done.stdout
    assert "device fake:0: online, it runs bright_edgetpu.tflite" in done.stderr
    assert "its process died of SIGABRT" in done.stderr
    assert "the CPU runs bright.tflite meanwhile" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_device_that_hangs_at_the_start_leaves_the_cameras_to_the_cpu(folder):
    (folder / "0").write_text("load-hang")
    done = agent(folder, "run", **{FAKE_TPU_VARIABLE: str(folder)})
    assert done.returncode == 0, done.stderr
    assert "front: 60 frames" in done.stdout
    assert "1 alerts" in done.stdout
    assert "device fake:0: still starting after 5 s, the CPU begins" in done.stderr
    assert "within 30 s" not in done.stderr


def test_two_cameras_share_one_device_and_its_fault(folder):
    config = (folder / "edgetrack.yaml").read_text()
    camera = config[config.index("  front:") :]
    (folder / "edgetrack.yaml").write_text(config + camera.replace("front", "back"))
    (folder / "0").write_text("abort")
    done = agent(folder, "run", patient=True, **{FAKE_TPU_VARIABLE: str(folder)})
    assert done.returncode == 0, done.stderr
    assert "front: 60 frames" in done.stdout
    assert "back: 60 frames" in done.stdout
    assert done.stdout.count("1 alerts") == 2
    assert done.stderr.count("device fake:0: online, it runs bright_edgetpu.tflite\n") == 1
    assert done.stderr.count("its process died of SIGABRT") >= 1


def test_check_refuses_a_device_that_does_not_start(folder):
    (folder / "0").write_text("load-abort")
    done = agent(folder, "check", **{FAKE_TPU_VARIABLE: str(folder)})
    assert done.returncode == 78
    assert "cameras.front.detector: device fake:0: expected it to load bright_edgetpu.tflite" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_fake_device_is_unknown_in_production(folder):
    done = agent(folder, "check", **{FAKE_TPU_VARIABLE: ""})
    assert done.returncode == 78
    assert "expected cpu, edgetpu, usb, usb:0, pci:0 …, got 'fake:0'" in done.stderr
