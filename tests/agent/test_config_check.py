"""`edgetrack-agent check`: what a configuration names must be there before a run needs it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.cli import main
from agent.config_check import check_config
from agent.config_notes import config_notes
from agent.doctor import installation
from agent.doctor.finding import Level
from agent.doctor.inference import check_model
from agent.doctor.report import diagnose
from agent.errors import ConfigError
from agent.time_zone import machine_zone

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


NIGHT = 'schedule: {windows: [{start: "22:00", end: "06:00"}]}'


def test_schedule_without_a_time_zone_is_told_with_that_of_the_machine(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    rules = f"rules: [{{kind: zone, zone: drive, {NIGHT}}}, {{kind: zone, zone: drive, name: all-day}}]"
    path.write_text(f"device: porch\n{CAMERA}    {rules}\n")
    note = "note: the schedule of rule zone-drive names no time zone, so its hours are UTC"
    found = f"{path} cameras.front: {note}"
    advice = "write timezone: Europe/Berlin, this machine's, below front"
    monkeypatch.setattr("sys.argv", ["edgetrack-agent", "check", str(path)])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    assert capsys.readouterr().out == f"{found}; {advice}\n{path}: ok\n"
    (finding,) = [finding for finding in diagnose(path) if finding.check == "configuration"]
    assert (finding.level, finding.found, finding.next_step) == (Level.WARN, found, advice)


@pytest.mark.parametrize(
    "camera",
    [
        f"rules: [{{kind: zone, zone: drive, {NIGHT[:-1]}, timezone: UTC}}}}]",
        f"timezone: UTC\n    rules: [{{kind: zone, zone: drive, {NIGHT}}}]",
        "rules: [{kind: zone, zone: drive}]",
    ],
)
def test_schedule_with_a_time_zone_of_its_own_or_the_cameras_is_not_told(path: Path, camera: str) -> None:
    path.write_text(f"device: porch\n{CAMERA}    {camera}\n")
    assert list(config_notes(path, check_config(path))) == []


def test_time_zone_of_the_machine_is_that_of_tz_or_of_etc_localtime(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert machine_zone({}, link) == "Europe/Berlin"
    assert machine_zone({"TZ": ":Asia/Tokyo"}, link) == "Asia/Tokyo"
    assert machine_zone({"TZ": "CET-1CEST"}, link) == "Europe/Berlin"
    assert machine_zone({}, tmp_path / "none") is None


def test_device_that_the_running_service_holds_is_left_alone(path: Path) -> None:
    path.write_text(
        f"device: porch\n{CAMERA}".replace("{kind: motion}", "{model: gone_edgetpu.tflite, device: usb}")
    )
    config = check_config(path, tpu_in_use=True)
    (found,) = check_model(path, "front", config.cameras["front"], service_runs=True)
    assert (found.level, found.found) == (Level.OK, "gone_edgetpu.tflite on usb: held by the running service")
    with pytest.raises(ConfigError, match=r"cameras\.front\.detector"):
        check_config(path)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Within the block files that root keeps for itself cannot be read, by whomever the tests are run."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The configuration of a service whose state and passwords are its own."""
    for name in ("CREDENTIALS_DIRECTORY", "EDGETRACK_WEB_PASSWORD", "EDGETRACK_BROKER_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory() as name:  # tmp_path is closed to others
        folder = Path(name)
        folder.chmod(0o755)
        for closed in ("state", "credstore"):
            (folder / closed).mkdir()
        (folder / "credstore" / "edgetrack-web-password").write_text("a long password\n")
        (folder / "secret").write_text("open sesame\n")
        for closed in ("state", "credstore", "secret"):
            (folder / closed).chmod(0)
        monkeypatch.setattr(installation, "CONFIGURATIONS", folder)
        monkeypatch.setattr(installation, "_CREDENTIALS", folder / "credstore")
        path = folder / "edgetrack.yaml"
        path.write_text(
            f"device: porch\noutbox: {{path: state/outbox.sqlite}}\nweb: {{listen: '0.0.0.0:8080'}}\n"
            f"broker: {{password_file: secret}}\n{CAMERA}"
        )
        yield path
        for closed in ("state", "credstore", "secret"):
            (folder / closed).chmod(0o700)


def test_what_only_the_service_may_read_is_no_fault(
    served: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["edgetrack-agent", "check", str(served)])
    with ordinary_user():
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0, capsys.readouterr().out) == (0, f"{served}: ok\n")
        findings = [found for found in diagnose(served) if found.check in ("configuration", "broker")]
        with pytest.raises(ConfigError) as caught:
            check_config(served)  # as the agent does when it reloads
    assert any("broker.password_file: expected a readable" in fault for fault in caught.value.faults)
    assert [found.level for found in findings] == [Level.OK, Level.WARN]
    assert findings[1].next_step == "run doctor with sudo"


def test_page_without_a_password_is_a_fault_also_of_a_service(
    served: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (served.parent / "credstore").chmod(0o755)
    (served.parent / "credstore" / "edgetrack-web-password").unlink()
    monkeypatch.setattr("sys.argv", ["edgetrack-agent", "check", str(served)])
    with ordinary_user(), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 78
    assert "web.listen: expected a password" in capsys.readouterr().err
