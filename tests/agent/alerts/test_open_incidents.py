"""Incidents that a killed process left open get their end from the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.alerts.open_incidents import OpenIncidents
from agent.alerts.schema import AlertPayload
from agent.alerts.settings import BrokerSettings
from agent.client import AlertClient
from agent.records import Alert, Phase
from tests.agent.alerts.conftest import make_alert
from tests.conftest import Mosquitto

CONFIG = """
device: porch
broker: {{url: '{url}'}}
outbox: {{path: outbox.sqlite}}
cameras:
  front:
    source: walk.mp4
    detector: {{kind: motion}}
    zones: {{yard: {{points: [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]}}}}
    rules: [{{kind: zone, zone: yard, when: [inside]}}]
"""


def told(incidents: OpenIncidents, camera: str, *alerts: Alert) -> None:
    for alert in alerts:
        with incidents.telling(camera, alert):
            pass


def test_what_began_and_did_not_end_is_ended_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "incidents.json"
    start = make_alert(phase=Phase.START)
    over = make_alert(phase=Phase.START)
    before = OpenIncidents(path)
    told(before, "front", start, over, make_alert(), make_alert(phase=Phase.END, incident=over.incident))
    after = OpenIncidents(path)
    [(camera, end)] = after.interrupted(3.0, start.wall_s + 60.0)
    assert (camera, end.phase, end.incident, end.rule) == ("front", Phase.END, start.incident, start.rule)
    assert (end.track, end.zone) == (start.track, start.zone)
    # The alert told of an incident that began 2.5 s before it, a minute before now.
    assert end.evidence == {"duration_s": 62.5, "reason": "interrupted"}
    assert end.time_s - end.started_s == pytest.approx(62.5)
    told(after, camera, end)
    assert OpenIncidents(path).interrupted(4.0, start.wall_s + 70.0) == []


def test_it_is_kept_before_the_start_is_told_and_until_the_end_is(tmp_path: Path) -> None:
    path = tmp_path / "incidents.json"
    incidents, start = OpenIncidents(path), make_alert(phase=Phase.START)
    end = make_alert(phase=Phase.END, incident=start.incident)
    with incidents.telling("front", start):
        assert len(OpenIncidents(path)) == 1
    with pytest.raises(RuntimeError), incidents.telling("front", end):
        raise RuntimeError("the end was not stored")
    assert len(OpenIncidents(path)) == 1


def test_a_clock_that_was_set_back_gives_no_negative_duration(tmp_path: Path) -> None:
    incidents, start = OpenIncidents(tmp_path / "incidents.json"), make_alert(phase=Phase.START)
    told(incidents, "front", start)
    [(_, end)] = incidents.interrupted(3.0, start.wall_s - 1e6)
    assert (end.evidence["duration_s"], end.started_s) == (0.0, 3.0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"open": {"a": {}}}', b'{"open": []}', b"\xff"])
def test_damaged_file_is_left_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "incidents.json"
    path.write_bytes(content)
    incidents = OpenIncidents(path)
    assert incidents.interrupted(1.0, 2.0) == []
    told(incidents, "front", make_alert(phase=Phase.START))
    assert len(OpenIncidents(path)) == 1


def test_folder_that_cannot_be_written_stops_no_alert(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    incidents = OpenIncidents(tmp_path / "none" / "incidents.json")
    told(incidents, "front", make_alert(phase=Phase.START), make_alert(phase=Phase.START))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert len(incidents) == 2


@pytest.fixture
def config(mosquitto: Mosquitto, tmp_path: Path) -> Path:
    """A camera before which something moves about for five minutes."""
    writer = cv2.VideoWriter(str(tmp_path / "walk.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 15.0, (160, 120))
    rng = np.random.default_rng(1)
    ground = rng.integers(90, 110, (120, 160, 3), np.uint8)
    for number in range(4500):
        image = ground.copy()
        if number > 30:
            x = 30 + int(30 * np.sin(number / 20))
            image[40:80, x : x + 20] = (20, 40, 200)
        writer.write(image)
    writer.release()
    path = tmp_path / "edgetrack.yaml"
    path.write_text(CONFIG.format(url=mosquitto.url))
    return path


@pytest.fixture
def received(mosquitto: Mosquitto) -> Iterator[Iterator[AlertPayload]]:
    """Alerts as a receiver gets them."""
    with AlertClient(BrokerSettings(url=mosquitto.url)) as client:
        yield client.alerts(timeout_s=120.0)


def run(config: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "agent.cli", "run", str(config), "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_incident_of_a_killed_agent_ends_when_it_starts_again(
    config: Path, received: Iterator[AlertPayload]
) -> None:
    with run(config) as killed:
        start = next(received)
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    assert (start.phase, start.kind) == (Phase.START, "inside")
    with run(config) as again:
        end, next_start = next(received), next(received)
        again.send_signal(signal.SIGTERM)
        next_end = next(received)
    assert (end.phase, end.incident) == (Phase.END, start.incident)
    assert end.evidence["reason"] == "interrupted"
    assert end.sequence == start.sequence + 1
    assert end.zone == "yard"
    assert next_start.phase is Phase.START
    assert next_start.incident != start.incident
    assert (next_end.phase, next_end.incident) == (Phase.END, next_start.incident)
    assert next_end.evidence["reason"] == "stopped"
