"""`edgetrack-agent init`: what it writes passes `check`, and what is there stays."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from agent.capture.discover import FoundCamera, camera_name, v4l2_cameras
from agent.config_check import check_config
from agent.errors import ConfigError, StorageError
from agent.first_answers import Answers, default_device
from agent.first_config import first_config, write_first_config

STREET = Path(__file__).resolve().parents[2] / "agent" / "demo" / "street.mp4"


def test_defaults_pass_the_check(tmp_path: Path) -> None:
    path = tmp_path / "edgetrack.yaml"
    write_first_config(path, Answers(), ask=False, force=False)
    config = check_config(path)
    assert config.cameras["front"].detector.kind == "motion"
    assert [rule.kind for rule in config.cameras["front"].rules] == ["zone"]
    assert list(tmp_path.iterdir()) == [path]


def test_answers_stand_in_the_file_and_relative_paths_are_meant_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(STREET.parent)
    path = tmp_path / "edgetrack.yaml"
    answers = Answers("attic", "mqtts://broker.lan", 'jo"e', STREET.name, "motion")
    write_first_config(path, answers, ask=False, force=False)
    config = check_config(path)
    assert (config.device, config.broker.url, config.broker.username) == (
        "attic",
        "mqtts://broker.lan",
        'jo"e',
    )
    assert config.cameras["front"].source == str(STREET)


def test_file_that_is_there_stays_without_force(tmp_path: Path) -> None:
    path = tmp_path / "edgetrack.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="--force"):
        write_first_config(path, Answers(), ask=False, force=False)
    assert path.read_text() == "mine"
    write_first_config(path, Answers(device="attic"), ask=False, force=True)
    assert check_config(path).device == "attic"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (Answers(model="none.tflite"), "--model: expected"),
        (Answers(source="none.mp4"), "--source: expected"),
        (Answers(device="a b"), "--device: expected letters, digits"),
        (Answers(broker="http://x"), "--broker: expected mqtt://"),
        (Answers(broker="localhost:18x"), "--broker: expected mqtt://"),
        (Answers(source="ftp://x/y"), "--source: expected rtsp://"),
    ],
)
def test_answer_that_does_not_pass_the_check_writes_nothing(
    answers: Answers, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        write_first_config(tmp_path / "edgetrack.yaml", answers, ask=False, force=False)
    assert words in "\n".join(caught.value.faults)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="expected a folder"):
        write_first_config(tmp_path / "none" / "edgetrack.yaml", Answers(), ask=False, force=False)


def test_first_camera_that_is_found_is_the_default(tmp_path: Path) -> None:
    found = [FoundCamera("picamera:0", "imx708"), FoundCamera("/dev/video0", "C920")]
    assert 'source: "picamera:0"' in first_config(tmp_path / "e.yaml", Answers(), found)


@pytest.mark.parametrize(
    ("driver", "capabilities", "device_caps", "expected"),
    [
        (b"uvcvideo", 0x84A00001, 0x04200001, "HD Pro Webcam C920"),
        (b"uvcvideo", 0x84A00001, 0x04A00000, None),  # its second node: metadata
        (b"bcm2835-codec", 0x84204000, 0x04204000, None),  # memory to memory
        (b"unicam", 0x85A00001, 0x05200001, None),  # through picamera2 only
        (b"ancient", 0x00000001, 0, "HD Pro Webcam C920"),  # before device_caps
    ],
)
def test_camera_is_told_from_codecs_and_metadata_by_its_capabilities(
    driver: bytes, capabilities: int, device_caps: int, expected: str | None
) -> None:
    layout = struct.Struct("16s32s32sIII12x")
    answer = layout.pack(driver, b"HD Pro Webcam C920", b"usb-1.2", 0x60000, capabilities, device_caps)
    assert len(answer) == 104
    assert camera_name(answer) == expected


def test_what_is_no_camera_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "video0").write_bytes(b"")
    (tmp_path / "video1").symlink_to("/dev/null")
    assert v4l2_cameras(tmp_path) == []


def test_device_name_is_made_of_the_host_name() -> None:
    assert [default_device(name) for name in ("raspberrypi.local", "_pi 4!", "…")] == [
        "raspberrypi",
        "pi-4",
        "edgetrack",
    ]


def test_host_of_a_broker_needs_no_scheme(tmp_path: Path) -> None:
    for given, url in (("broker.lan", "mqtt://broker.lan"), ("10.0.0.2:1884", "mqtt://10.0.0.2:1884")):
        path = tmp_path / "edgetrack.yaml"
        write_first_config(path, Answers(broker=given), ask=False, force=True)
        assert check_config(path).broker.url == url


def test_tripwire_is_explained_in_the_words_of_alerts_and_of_the_picture(tmp_path: Path) -> None:
    text = first_config(tmp_path / "e.yaml", Answers(), [])
    assert "a-to-b (from left to right) or b-to-a (from right to left)" in text


@pytest.mark.parametrize(
    ("zone", "line"), [("Asia/Kolkata", "timezone: Asia/Kolkata"), ("UTC", "timezone: UTC")]
)
def test_schedules_are_in_the_time_zone_of_the_machine(
    zone: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    path = tmp_path / "edgetrack.yaml"
    write_first_config(path, Answers(), ask=False, force=False)
    assert f"\n    {line}\n" in path.read_text()
    night = "- {kind: zone, zone: view, schedule:"
    path.write_text(path.read_text().replace(f"# {night}", night))
    rule = check_config(path).cameras["front"].rules[-1]
    assert rule.schedule is not None
    assert rule.schedule.windows[0].start == "22:00"


def answered(path: Path, replies: list[tuple[int, str]]) -> tuple[int, str]:
    """Run `init` at a terminal of its own.

    Args:
        path: the file to write.
        replies: number of the question that must be asked then, and what is typed.

    Returns:
        The exit code, and all that was shown.
    """
    terminal, inside = pty.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-m", "agent.cli", "init", str(path)],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env={**os.environ, "COLUMNS": "200"},
        close_fds=True,
    )
    os.close(inside)
    shown = since = b""
    try:
        for number, reply in replies:
            while f"{number}/5".encode() not in since or not since.rstrip(b" ").endswith(b":"):
                since += os.read(terminal, 4096)
            os.write(terminal, reply.encode() + b"\n")
            shown, since = shown + since, b""
        code = asking.wait(timeout=60)
    finally:
        asking.kill()
        os.close(terminal)
    return code, shown.decode()


def test_five_questions_are_asked_at_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "edgetrack.yaml"
    replies = [(1, "attic"), (2, "mqtt://10.0.0.2"), (3, "joe"), (4, str(STREET)), (5, "")]
    assert answered(path, replies)[0] == 0
    config = check_config(path)
    assert (config.device, config.broker.host, config.broker.username) == ("attic", "10.0.0.2", "joe")


def test_answer_of_no_use_is_asked_for_again_at_once_and_the_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "edgetrack.yaml"
    replies = [(1, "my porch"), (1, "porch"), (2, "http://x"), (2, "localhost:1883"), (3, "")]
    replies += [(4, "none.mp4"), (4, str(STREET)), (5, "none.tflite"), (5, "motion")]
    code, shown = answered(path, replies)
    assert code == 0
    assert "Name of this device: expected letters, digits, _ and -" in shown
    assert "MQTT broker: expected mqtt://host[:port] or mqtts://host[:port], got one that does not" in shown
    assert "Camera (device, picamera:0, URL or file): expected a video file, got: No such file" in shown
    assert "Model (.tflite), or motion for none: expected" in shown
    assert "--" not in shown
    config = check_config(path)
    assert (config.device, config.broker.url) == ("porch", "mqtt://localhost:1883")


def test_without_a_terminal_it_asks_for_flags_instead_of_waiting(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "init", str(tmp_path / "e.yaml")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert "add --yes" in done.stderr
