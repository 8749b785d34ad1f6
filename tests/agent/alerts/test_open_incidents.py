"""Incidents that a killed process left open get their end from the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.alerts.open_incidents import OpenIncidents
from agent.alerts.publisher import AlertPublisher
from agent.alerts.schema import AlertPayload
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.client import AlertClient
from agent.config import load_config
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


# `edgetrack-agent run`, sent a signal at the first frame that tells of something, where it waits for its end.
SIGNALLED = """
import os, sys
from agent import app

number = int(sys.argv.pop(1))

class Signalled(app.App):
    def __init__(self, config, **options):
        super().__init__(config, observers={"front": [self.signal]}, **options)

    def run(self, stop):
        self.stop = stop
        return super().run(stop)

    def signal(self, step):
        if step.alerts:
            os.kill(os.getpid(), number)
            assert self.stop.wait(60)

app.App = Signalled
from agent.cli import main
main()
"""


@pytest.fixture
def config(mosquitto: Mosquitto, walk: Path, tmp_path: Path) -> Path:
    path = tmp_path / "edgetrack.yaml"
    path.write_text(CONFIG.format(url=mosquitto.url))
    return path


@pytest.fixture
def received(mosquitto: Mosquitto) -> Iterator[Iterator[AlertPayload]]:
    """Alerts as a receiver gets them."""
    with AlertClient(BrokerSettings(url=mosquitto.url, keepalive_s=600)) as client:
        yield client.alerts(timeout_s=30.0)


def run(config: Path, sent: signal.Signals) -> int:
    """Run the agent until it is sent a signal during its first incident; its exit code."""
    words = [sys.executable, "-c", SIGNALLED, str(int(sent)), "run", str(config), "--quiet"]
    return subprocess.run(words, timeout=240, check=False).returncode


def test_incident_of_a_killed_agent_ends_when_it_starts_again(
    config: Path, received: Iterator[AlertPayload]
) -> None:
    assert run(config, signal.SIGKILL) == -signal.SIGKILL
    assert run(config, signal.SIGTERM) == 0
    outbox = OutboxSettings(path=config.with_name("outbox.sqlite"))
    with AlertPublisher(load_config(config).broker, outbox, "porch") as rest:  # what a stop had no time for
        assert rest.drain(30)
    start, end, next_start, next_end = (next(received) for _ in range(4))
    assert (start.phase, start.kind) == (Phase.START, "inside")
    assert (end.phase, end.incident) == (Phase.END, start.incident)
    assert end.evidence["reason"] == "interrupted"
    assert end.sequence == start.sequence + 1
    assert end.zone == "yard"
    assert next_start.phase is Phase.START
    assert next_start.incident != start.incident
    assert (next_end.phase, next_end.incident) == (Phase.END, next_start.incident)
    assert next_end.evidence["reason"] == "stopped"
