"""`edgetrack-agent check`: what a configuration names must be there before a run needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config_check import check_config
from agent.doctor.finding import Level
from agent.doctor.inference import check_model
from agent.doctor.report import diagnose
from agent.errors import ConfigError

CAMERA = """\
cameras:
  front:
    source: /dev/video0
    detector: {kind: motion}
    zones: {drive: {points: [[0, 0], [1, 0], [1, 1]]}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "edgetrack.yaml"
    path.write_text(f"device: porch\n{CAMERA}")
    return path


@pytest.mark.parametrize(
    ("top", "camera", "expected"),
    [
        ("", "tracker: {appearance: gone.tflite}", ("cameras.front.tracker: ", "gone.json: expected")),
        ("", "tracker: {motion_model: gone.tflite}", ("cameras.front.tracker: ", "gone.tflite: expected")),
        (
            "",
            "rules: [{kind: zone, zone: drive, labels: [persn]}]",
            ("cameras.front: rule zone-drive labels: expected classes of the model (motion), got 'persn'",),
        ),
        ("broker: {password_file: gone}", "", ("broker.password_file: expected a readable file",)),
        (
            "broker: {url: 'mqtts://b', tls: {ca: gone.crt}}",
            "",
            ("broker.tls: expected PEM files", "No such file"),
        ),
        ("outbox: {path: edgetrack.yaml/outbox.sqlite}", "", ("outbox.path: expected a file in a folder",)),
        ("outbox: {path: .}", "", ("outbox.path: expected a file in a folder",)),
        ("web: {listen: '0.0.0.0:8080'}", "", ("web.listen: expected a password",)),
    ],
)
def test_named_thing_that_is_not_there_is_a_fault(
    path: Path, top: str, camera: str, expected: tuple[str, ...]
) -> None:
    assert check_config(path).device == "porch"
    path.write_text(f"device: porch\n{top}\n{CAMERA}    {camera}\n")
    with pytest.raises(ConfigError) as caught:
        check_config(path)
    (fault,) = caught.value.faults
    assert all(words in fault for words in expected), fault


def test_all_faults_are_told_at_once(path: Path) -> None:
    path.write_text(
        f"device: porch\nbroker: {{password_file: gone}}\n{CAMERA}    tracker: {{motion_model: gone}}\n"
        "  back: {source: gone.mp4, detector: {model: gone.tflite}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        check_config(path)
    starts = ["broker.password_file", *(f"{path} cameras.{at}" for at in ("front.t", "back.d", "back.s"))]
    assert len(caught.value.faults) == len(starts)
    assert all(fault.startswith(at) for fault, at in zip(caught.value.faults, starts, strict=True))


@pytest.mark.parametrize(
    ("top", "camera", "words"),
    [
        ("web: {listen: '0.0.0.0:8080'}", "", "web.listen: expected a password"),
        ("", "rules: [{kind: zone, zone: drive, labels: [persn]}]", "expected classes of the model (motion)"),
        ("", "tracker: {motion_model: gone.tflite}", "gone.tflite: expected"),
    ],
)
def test_doctor_finds_the_faults_that_check_finds(path: Path, top: str, camera: str, words: str) -> None:
    path.write_text(f"device: porch\n{top}\n{CAMERA}    {camera}\n".replace("/dev/video0", "none.mp4"))
    (found,) = [finding for finding in diagnose(path) if finding.check == "configuration"]
    assert found.level is Level.FAIL
    assert words in found.found
    assert found.next_step


def test_device_that_the_running_service_holds_is_left_alone(path: Path) -> None:
    path.write_text(
        f"device: porch\n{CAMERA}".replace("{kind: motion}", "{model: gone_edgetpu.tflite, device: usb}")
    )
    config = check_config(path, tpu_in_use=True)
    (found,) = check_model(path, "front", config.cameras["front"], service_runs=True)
    assert (found.level, found.found) == (Level.OK, "gone_edgetpu.tflite on usb: held by the running service")
    with pytest.raises(ConfigError, match=r"cameras\.front\.detector"):
        check_config(path)
