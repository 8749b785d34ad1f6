"""Commands, counts, armed rules and health of a device, at a real broker."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.alerts.commands import parse_request
from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.assembly import build_pipeline
from agent.config import Config, load_config
from agent.errors import EdgetrackError
from agent.operations import Operations
from tests.conftest import Mosquitto

DEMO = Path(__file__).resolve().parents[2] / "agent" / "demo"


class Device:
    """A device whose cameras do not run, with its operations."""

    def __init__(self, broker: Mosquitto, folder: Path, *, live: bool = False) -> None:
        self.broker = broker
        self.config: Config = load_config(DEMO / "demo.yaml")
        if live:  # a live source is opened when the camera runs, which it does not here
            street = self.config.cameras["street"].model_copy(update={"source": "/dev/video77"})
            self.config = self.config.model_copy(update={"cameras": {"street": street}})
        self.publisher = AlertPublisher(
            BrokerSettings(url=broker.url), OutboxSettings(path=folder / "outbox.sqlite"), "demo"
        )
        cameras = self.config.cameras
        self.pipelines = {
            name: build_pipeline(name, camera, publish=lambda alert: None) for name, camera in cameras.items()
        }
        self.reloads = 0
        self.operations = Operations(
            self.publisher, self.pipelines, cameras, folder / "rules.json", self._reload
        )
        self.operations.prepare()
        self.publisher.start()

    def _reload(self) -> None:
        self.reloads += 1

    def ask(self, name: str, **fields: object) -> object:
        return self.operations.act(parse_request(name, json.dumps(fields).encode()))

    def retained(self, topic: str) -> dict[str, object]:
        """What the broker keeps under a topic of the device."""
        done = subprocess.run(
            [
                "mosquitto_sub",
                "-p",
                str(self.broker.port),
                "-t",
                f"edgetrack/demo/{topic}",
                "-C",
                "1",
                "-W",
                "5",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        content: dict[str, object] = json.loads(done.stdout)
        return content

    def close(self) -> None:
        for pipeline in self.pipelines.values():
            pipeline.reader.close()
        self.publisher.close(1.0)


@pytest.fixture
def device(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Device]:
    device = Device(mosquitto, tmp_path)
    yield device
    device.close()


def test_tick_publishes_counts_armed_rules_and_health(device: Device) -> None:
    device.operations.tick()
    assert device.publisher.drain(5.0)
    assert device.retained("street/counts/drive")["zone"] == {
        "inside": 0,
        "now": {},
        "today": {},
        "total": {},
    }
    assert device.retained("street/armed")["rules"] == {"zone-drive": True, "tripwire-street": True}
    health = device.retained("health")
    assert health["outbox"]["queued"] == 0  # type: ignore[index]
    assert health["cameras"]["street"]["state"] == "connecting"  # type: ignore[index]


def test_disarming_one_rule_leaves_the_other_and_is_published(device: Device) -> None:
    answer = device.ask("set_armed", armed=False, rule="zone-drive")
    assert answer == {"street": {"zone-drive": False, "tripwire-street": True}}
    assert device.retained("street/armed")["rules"] == {"zone-drive": False, "tripwire-street": True}


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        (
            "set_armed",
            {"armed": False, "rule": "none"},
            "rule: expected one of tripwire-street, zone-drive, got none",
        ),
        ("set_armed", {"armed": False, "camera": "none"}, "camera: expected one of street, got none"),
        ("reset_counts", {"place": "none"}, "place: expected one of drive, street, got none"),
        ("pause", {"camera": "none"}, "camera: expected one of street, got none"),
        ("snapshot", {"camera": "street"}, "camera street: expected a frame and a rule"),
    ],
)
def test_command_that_cannot_be_carried_out_changes_nothing(
    device: Device, name: str, fields: dict[str, object], expected: str
) -> None:
    with pytest.raises(EdgetrackError) as caught:
        device.ask(name, **fields)
    assert str(caught.value).startswith(expected)
    pipeline = device.pipelines["street"]
    assert all(pipeline.rules.armed.values())
    assert not pipeline.paused


def test_commands_reach_the_camera(device: Device) -> None:
    pipeline = device.pipelines["street"]
    device.ask("pause", camera="street")
    device.ask("set_min_score", camera="street", min_score=0.7)
    assert (pipeline.paused, pipeline.min_score) == (True, 0.7)
    device.ask("resume", camera="street")
    device.ask("reset_counts")
    device.ask("reload")
    assert (pipeline.paused, device.reloads) == (False, 1)


def test_test_alert_arrives(device: Device) -> None:
    with subprocess.Popen(
        [
            "mosquitto_sub",
            "-p",
            str(device.broker.port),
            "-t",
            "edgetrack/demo/street/alerts",
            "-C",
            "1",
            "-W",
            "10",
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as receiver:
        deadline_s = time.monotonic() + 10
        while receiver.poll() is None and time.monotonic() < deadline_s:
            answer = device.ask("test_alert", camera="street")
            device.publisher.drain(1.0)
        assert receiver.stdout is not None
        alert = json.loads(receiver.stdout.read())
    assert alert["kind"] == "test"
    assert answer is not None


def test_armed_rules_of_a_live_camera_survive_a_restart(mosquitto: Mosquitto, tmp_path: Path) -> None:
    before = Device(mosquitto, tmp_path, live=True)
    before.ask("set_armed", armed=False, rule="zone-drive")
    before.close()
    after = Device(mosquitto, tmp_path, live=True)
    try:
        assert after.pipelines["street"].rules.armed == {"zone-drive": False, "tripwire-street": True}
    finally:
        after.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"street": {"version": 9}}', b"\xff"])
def test_damaged_state_is_left_aside(mosquitto: Mosquitto, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rules.json").write_bytes(content)
    device = Device(mosquitto, tmp_path, live=True)
    try:
        assert all(device.pipelines["street"].rules.armed.values())
    finally:
        device.close()
