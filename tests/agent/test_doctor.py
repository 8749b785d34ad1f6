"""The doctor on real parts, and on trees like those of a Raspberry Pi with a Coral."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from agent.alerts.settings import BrokerSettings
from agent.capture.settings import SourceSettings
from agent.config import load_config
from agent.doctor.broker import check_connection, check_persistence, mosquitto_options
from agent.doctor.camera import check_camera
from agent.doctor.devices import check_edge_tpu, check_libedgetpu, check_permissions, tflite_of
from agent.doctor.finding import Finding, Level, ok, run_checks
from agent.doctor.inference import check_model
from agent.doctor.installation import Installation
from agent.doctor.machine import check_clock, check_disk, check_heat, check_python, check_unit, check_wear
from agent.doctor.report import diagnose, worst
from agent.errors import BrokerError
from tests.agent.capture.conftest import MjpegCamera
from tests.conftest import Mosquitto

STREET = Path(__file__).resolve().parents[2] / "agent" / "demo" / "street.mp4"


def config(folder: Path, *, broker: str, detector: str = "{kind: motion}", source: str = str(STREET)) -> Path:
    path = folder / "edgetrack.yaml"
    path.write_text(
        f"device: porch\nbroker: {{url: '{broker}'}}\noutbox: {{path: outbox.sqlite}}\n"
        f"cameras:\n  front:\n    source: '{source}'\n    detector: {detector}\n"
    )
    return path


def doctor(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", "doctor", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def only(findings: object) -> Finding:
    (finding,) = findings  # type: ignore[misc]
    return finding


def test_doctor_passes_a_device_whose_broker_camera_and_detector_work(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    done = doctor(config(tmp_path, broker=mosquitto.url), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["level"] in ("ok", "warn")
    found = {row["check"]: row for row in report["findings"]}
    assert "MQTT 5" in found["broker"]["found"]
    assert "640×360" in found["camera front"]["found"]
    assert "ms a frame" in found["model front"]["found"]
    assert all(row["next_step"] for row in report["findings"] if row["level"] != "ok")


def test_doctor_names_each_fault_with_its_next_step_and_exits_1(tmp_path: Path, closed_port: int) -> None:
    broken = tmp_path / "person.tflite"
    broken.write_bytes(b"no model at all")
    path = config(
        tmp_path,
        broker=f"mqtt://127.0.0.1:{closed_port}",
        detector=f"{{model: {broken}}}",
        source=str(tmp_path / "none.mp4"),
    )
    done = doctor(path)
    assert done.returncode == 1
    failed = {line.split(":")[0].split("  ", 1)[1] for line in done.stdout.splitlines() if line[:4] == "fail"}
    assert failed == {"broker", "camera front", "model front"}
    assert "\x1b[" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "broker: broker" not in done.stdout


def test_doctor_shows_every_fault_of_a_configuration_and_still_looks_at_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("device: porch\ncameras:\n  front: {source: 0, detectr: {}}\n")
    findings = list(diagnose(path))
    faults = [f for f in findings if f.check == "configuration"]
    assert len(faults) == 2
    assert all(f.level is Level.FAIL for f in faults)
    checks = {f.check for f in findings}
    assert {"python", "clock", "disk wear", "service"} <= checks
    assert not checks & {"disk", "permissions", "edge tpu", "libedgetpu"}, "the faulty file decides these"
    assert not [finding for finding in findings if "outbox" in finding.found]


def test_doctor_without_configuration_works_on_any_machine() -> None:
    done = doctor("--json")
    assert done.returncode == 0, done.stdout
    assert not [row for row in json.loads(done.stdout)["findings"] if row["level"] == "fail"]


def test_doctor_without_configuration_looks_at_the_default_places() -> None:
    assert {"disk", "permissions", "edge tpu"} <= {finding.check for finding in diagnose(None)}


def test_check_that_fails_itself_ends_none_of_the_others() -> None:
    def broken() -> list[Finding]:
        raise ZeroDivisionError("by zero")

    def refused() -> list[Finding]:
        raise BrokerError("broker", "expected one, got none", "start it")

    findings = list(run_checks({"a": broken, "b": refused, "c": lambda: [ok("fine")]}))
    assert [(f.check, f.level) for f in findings] == [
        ("a", Level.FAIL),
        ("b", Level.FAIL),
        ("c", Level.OK),
    ]
    assert "ZeroDivisionError: by zero" in findings[0].found
    assert findings[1].next_step == "start it"
    assert worst(findings) is Level.FAIL


@pytest.mark.parametrize(
    ("ids", "speed", "level", "words"),
    [
        (("1a6e", "089a"), "480", Level.WARN, "waiting for its firmware, 480 Mbit/s: USB 2"),
        (("18d1", "9302"), "480", Level.WARN, "ready, 480 Mbit/s: USB 2"),
        (("18d1", "9302"), "5000", Level.OK, "ready, 5000 Mbit/s: USB 3"),
        (("046d", "082d"), "480", Level.FAIL, "no Edge TPU"),  # a webcam
    ],
)
def test_coral_stick_is_found_by_its_usb_ids_and_judged_by_its_port(
    ids: tuple[str, str], speed: str, level: Level, words: str, tmp_path: Path
) -> None:
    port = "bus/usb/devices/2-1/"
    write(tmp_path, {port + "idVendor": ids[0], port + "idProduct": ids[1] + "\n", port + "speed": speed})
    found = only(check_edge_tpu(wanted=True, sysfs=tmp_path))
    assert found.level is level
    assert words in found.found


def test_coral_on_pcie_needs_a_node_that_may_be_opened(tmp_path: Path) -> None:
    write(tmp_path / "sys", {"class/apex/apex_0/temp": "45050\n"})
    assert only(check_edge_tpu(wanted=True, sysfs=tmp_path / "sys", dev=tmp_path)).level is Level.FAIL
    write(tmp_path, {"apex_0": ""})
    found = only(check_edge_tpu(wanted=True, sysfs=tmp_path / "sys", dev=tmp_path))
    assert found.level is Level.OK
    assert found.found.endswith("45 °C")


def test_missing_edge_tpu_matters_only_where_it_is_asked_for(tmp_path: Path) -> None:
    assert only(check_edge_tpu(wanted=False, sysfs=tmp_path)).level is Level.OK
    assert only(check_edge_tpu(wanted=True, sysfs=tmp_path)).level is Level.FAIL
    libraries = {only(check_libedgetpu(wanted=wanted)).level for wanted in (False, True)}
    assert libraries in ({Level.OK, Level.FAIL}, {Level.OK}, {Level.WARN})  # by whether this machine has it


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("16.0TF2.17.1-1", "2.17.1"),
        ("16.0tf2.16.1", "2.16.1"),
        ("16.0", "2.5"),
        ("16.0-1", "2.5"),
        ("14.1", None),
    ],
)
def test_tflite_of_reads_the_version_that_a_libedgetpu_was_built_for(
    version: str, expected: str | None
) -> None:
    assert tflite_of(version) == expected


def test_permissions_judge_the_groups_of_this_process() -> None:
    assert only(check_permissions(())).level is Level.OK
    findings = list(check_permissions({"no-such-group"}))
    assert findings[0].level is (Level.OK if os.geteuid() == 0 else Level.FAIL)


@pytest.mark.parametrize(
    ("throttled", "level", "words"),
    [
        ("throttled=0x0", Level.OK, "neither"),
        ("throttled=0x50000", Level.WARN, "under-voltage, throttled"),
        ("throttled=0x50005", Level.FAIL, "now: under-voltage, throttled"),
        ("throttled=0x80008", Level.FAIL, "now: temperature limit"),
    ],
)
def test_heat_reads_the_bits_of_vcgencmd(throttled: str, level: Level, words: str, tmp_path: Path) -> None:
    temperature, power = check_heat(tmp_path, throttled)
    assert temperature.level is Level.OK
    assert power.level is level
    assert words in power.found


@pytest.mark.parametrize(("milli_c", "level"), [(48312, Level.OK), (76000, Level.WARN), (82000, Level.FAIL)])
def test_heat_judges_the_hottest_zone(milli_c: int, level: Level, tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "class/thermal/thermal_zone0/temp": "30000\n",
            "class/thermal/thermal_zone1/temp": f"{milli_c}\n",
        },
    )
    assert only(check_heat(tmp_path, "")).level is level


@pytest.mark.parametrize(
    ("life", "level"),
    [
        ("0x01 0x02", Level.OK),
        ("0x09 0x01", Level.WARN),
        ("0x0b 0x0a", Level.FAIL),
        ("0x00 0x00", Level.OK),
    ],
)
def test_wear_takes_the_worse_of_both_kinds_of_memory(life: str, level: Level, tmp_path: Path) -> None:
    write(tmp_path, {"block/mmcblk0/device/life_time": f"{life}\n"})
    assert only(check_wear(tmp_path)).level is level


@pytest.mark.parametrize(
    ("state", "level", "words"),
    [
        ({}, Level.OK, "systemd does not run"),
        ({"LoadState": "not-found"}, Level.WARN, "not installed"),
        ({"LoadState": "loaded", "ActiveState": "failed", "Result": "watchdog"}, Level.FAIL, "watchdog"),
        ({"LoadState": "loaded", "ActiveState": "inactive"}, Level.WARN, "inactive"),
        (
            {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NRestarts": "0"},
            Level.OK,
            "runs",
        ),
        (
            {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NRestarts": "4"},
            Level.WARN,
            "restarts: 4",
        ),
        (
            {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "disabled"},
            Level.WARN,
            "not started with",
        ),
    ],
)
def test_unit_is_judged_by_what_systemd_says(state: dict[str, str], level: Level, words: str) -> None:
    found = only(check_unit("edgetrack-agent.service", state))
    assert found.level is level
    assert words in found.found


def test_disk_says_when_the_outbox_has_no_room_or_no_folder(tmp_path: Path) -> None:
    outbox = tmp_path / "not" / "yet" / "outbox.sqlite"
    assert only(check_disk(outbox, 1.0)).level is Level.OK
    assert only(check_disk(outbox, 1e9)).level is Level.WARN
    assert not outbox.parent.exists()
    assert only(check_disk(Path("/proc/edgetrack/outbox.sqlite"), 1.0)).level is Level.FAIL


def test_python_and_clock_always_have_a_word() -> None:
    assert next(iter(check_python())).level is Level.OK
    assert only(check_clock()).level in (Level.OK, Level.WARN)


def test_broker_check_tells_wrong_password_from_right(
    mosquitto_with_password: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BrokerSettings(url=mosquitto_with_password.url, username="agent")
    monkeypatch.setenv("EDGETRACK_BROKER_PASSWORD", "right")
    assert only(check_connection(settings, "porch")).found.startswith(
        f"{mosquitto_with_password.url}: MQTT 5"
    )
    monkeypatch.setenv("EDGETRACK_BROKER_PASSWORD", "wrong")
    with pytest.raises(BrokerError):
        list(check_connection(settings, "porch"))
    monkeypatch.delenv("EDGETRACK_BROKER_PASSWORD")
    credential = tmp_path / "edgetrack-broker-password"
    service = Installation("edgetrack-agent.service", tmp_path, credential)
    with pytest.raises(BrokerError):
        list(check_connection(settings, "porch", service))
    credential.write_text("right\n")
    assert only(check_connection(settings, "porch", service)).level is Level.OK


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("listener 1883\n", Level.WARN),
        ("persistence true\n# autosave_on_changes true\n", Level.WARN),
        ("persistence true\nautosave_on_changes true\nautosave_interval 1\n", Level.OK),
        ("persistence false\ninclude_dir conf.d\n", Level.OK),
    ],
)
def test_persistence_of_a_local_mosquitto_is_read_from_its_configuration(
    text: str, level: Level, tmp_path: Path
) -> None:
    write(tmp_path, {"conf.d/keep.conf": "persistence true\nautosave_on_changes true\n"})
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(text.replace("conf.d", str(tmp_path / "conf.d")))
    found = only(check_persistence(BrokerSettings(), conf))
    assert found.level is level
    assert bool(found.next_step) is (level is Level.WARN)


def test_persistence_of_a_broker_elsewhere_is_not_claimed(tmp_path: Path) -> None:
    conf = write(tmp_path, {"m.conf": "persistence true\nautosave_on_changes true\n"}) / "m.conf"
    assert mosquitto_options(conf)["persistence"] == "true"
    found = only(check_persistence(BrokerSettings(url="mqtt://broker.lan"), conf))
    assert found.level is Level.WARN


def test_camera_that_is_not_there_is_told_of_once_and_nothing_says_it_would_be_opened_again(
    tmp_path: Path, closed_port: int
) -> None:
    done = doctor(config(tmp_path, broker=f"mqtt://127.0.0.1:{closed_port}", source="/dev/video97"))
    line = next(line for line in done.stdout.splitlines() if "camera front" in line)
    assert line.count("/dev/video97") == 1
    assert "reconnecting" not in done.stderr


def test_camera_away_fails_with_its_reason_and_one_that_the_service_holds_is_left_alone(
    closed_port: int,
) -> None:
    away = SourceSettings(source=f"rtsp://user:secret@127.0.0.1:{closed_port}/stream")
    found = only(check_camera("front", away, service_runs=False))
    assert found.level is Level.FAIL
    assert "Connection refused" in found.found
    assert "secret" not in found.found
    usb = SourceSettings(source="/dev/video0")
    assert only(check_camera("front", usb, service_runs=True)).level is Level.OK


def test_model_that_kills_its_runtime_kills_only_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path, broker="mqtt://localhost")
    settings = load_config(path).cameras["front"]
    assert "ms a frame" in only(check_model(path, "front", settings)).found
    # Stands in for a runtime that crashes, as libedgetpu does with a TFLite that it was not built for.
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    found = only(check_model(path, "front", settings))
    assert found.level is Level.FAIL
    assert "SIGSEGV" in found.found


@pytest.mark.parametrize(
    ("package", "level", "words"),
    [
        ("ii libedgetpu1-std 16.0TF2.14.1-1", Level.OK, "built for TFLite 2.14.1, as tflite-runtime 2.14.0"),
        ("ii libedgetpu1-max 16.0", Level.WARN, "built for TFLite 2.5, tflite-runtime is 2.14.0"),
        ("rc libedgetpu1-std 16.0", Level.WARN, "not from a Debian package"),
    ],
)
def test_libedgetpu_is_loaded_and_held_against_the_runtime(
    package: str, level: Level, words: str, tmp_path: Path
) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, for a library that stands in for libedgetpu")
    source = tmp_path / "edgetpu.c"
    source.write_text('const char *edgetpu_version(void) { return "RuntimeVersion(14)"; }\n')
    subprocess.run([compiler, "-shared", "-o", str(tmp_path / "libedgetpu.so.1"), str(source)], check=True)
    query = tmp_path / "dpkg-query"
    query.write_text(f"#!/bin/sh\necho '{package}'\n")
    query.chmod(0o755)
    code = (
        "import agent.doctor.devices as d; d._installed = lambda name: '2.14.0'\n"
        "(f,) = d.check_libedgetpu(wanted=True); print(f.level, f.found)"
    )
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{level} libedgetpu (")
    assert "RuntimeVersion(14)" in done.stdout
    assert words in done.stdout


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda image: image // 50, "the picture is black"),
        (lambda image: image * 0 + 120, "nothing is to be seen"),
        (lambda image: cv2.GaussianBlur(image, (0, 0), image.shape[1] / 80), "out of focus"),
        (lambda image: image, None),
    ],
)
def test_picture_that_shows_nothing_is_a_warning(
    tmp_path: Path, spoil: Callable[[Any], Any], words: str | None
) -> None:
    capture = cv2.VideoCapture(str(STREET))
    image = capture.read()[1]
    capture.release()
    cv2.imwrite(str(tmp_path / "1.png"), spoil(image))
    found = list(check_camera("front", SourceSettings(source=str(tmp_path)), service_runs=False))
    warned = [finding.found for finding in found if finding.level is Level.WARN]
    assert [words in text for text in warned] == ([True] if words else [])


def test_stream_that_repeats_one_picture_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.doctor.camera._WATCH_S", 7.0)  # a machine may stand still for half of it
    camera = MjpegCamera()
    camera.frozen.set()
    settings = SourceSettings(source=camera.url, frozen_after_s=0)
    try:
        found = list(check_camera("front", settings, service_runs=False))
    finally:
        camera.close()
    assert any("exactly the same picture" in finding.found for finding in found)
