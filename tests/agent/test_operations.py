"""Commands, counts, armed rules and health of a device, at a real broker."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from agent.alerts.commands import parse_request
from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.assembly import build_pipeline
from agent.capture.source import open_source
from agent.config import Config, load_config
from agent.errors import EdgetrackError
from agent.operations import Operations
from agent.pipeline import Step
from agent.records import Frame
from tests.conftest import Mosquitto, wait_until

DEMO = Path(__file__).resolve().parents[2] / "agent" / "demo"


class GreyCamera:
    """A live source: one grey picture, twenty times a second."""

    live, fps, frame_count = True, None, None

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._index = 0

    def read(self) -> Frame | None:
        if self._closed.wait(0.05):
            return None
        self._index += 1
        return Frame(np.full((360, 640, 3), 128, np.uint8), time.monotonic(), time.time(), self._index)

    def close(self) -> None:
        self._closed.set()


class Device:
    """A device whose cameras do not run unless told to, with its operations."""

    def __init__(
        self, broker: Mosquitto, folder: Path, *, live: bool = False, cameras: Sequence[str] = ("street",)
    ) -> None:
        self.broker = broker
        self.config: Config = load_config(DEMO / "demo.yaml")
        street = self.config.cameras["street"]
        settings = street.model_copy(update={"source": "/dev/video77"}) if live else street
        self.config = self.config.model_copy(update={"cameras": dict.fromkeys(cameras, settings)})
        self.publisher = AlertPublisher(
            BrokerSettings(url=broker.url), OutboxSettings(path=folder / "outbox.sqlite"), "demo"
        )
        self.pipelines = {
            name: build_pipeline(
                name,
                settings,
                publish=lambda alert: None,
                open_camera=GreyCamera if live else lambda: open_source(street),
            )
            for name in cameras
        }
        self.reloads = 0
        self.operations = Operations(
            self.publisher,
            self.pipelines,
            self.config.cameras,
            folder / "rules.json",
            self._reload,
            answer_s=0.3,
        )
        self.operations.prepare()
        self.publisher.start()

    def _reload(self) -> None:
        self.reloads += 1

    @contextmanager
    def hanging(self, camera: str) -> Iterator[None]:
        """The camera runs, and is at its first frame for as long as the block lasts; then it goes on."""
        pipeline, stop = self.pipelines[camera], threading.Event()
        reached, released = threading.Event(), threading.Event()

        def hang(step: Step) -> None:
            reached.set()
            assert released.wait(60)

        pipeline.observers.append(hang)
        thread = threading.Thread(target=pipeline.run, args=(stop,))
        thread.start()
        try:
            assert reached.wait(60)
            yield
            released.set()
            pipeline.call(lambda: None, 60)  # whatever was asked for before is done by now, or never
        finally:
            released.set()
            stop.set()
            thread.join(60)

    def ask(self, name: str, **fields: object) -> object:
        return self.operations.act(parse_request(name, json.dumps(fields).encode()))

    def retained(self, topic: str) -> dict[str, object]:
        """What the broker keeps under a topic of the device, once it has all that was told so far."""
        for _ in range(2):  # the first may go out before a state that was told just now, the second not
            self.publisher.publish_notice("test", {})
            assert self.publisher.drain(60)
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
                "60",
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
        self.publisher._delivery._thread.join(30)  # or it logs into the next test


@pytest.fixture
def device(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Device]:
    device = Device(mosquitto, tmp_path)
    yield device
    device.close()


def test_tick_publishes_counts_armed_rules_and_health(device: Device) -> None:
    device.operations.tick()
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
            "60",
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as receiver:
        deadline_s = time.monotonic() + 60
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


def test_paused_camera_stays_paused_over_a_restart_until_resume(
    mosquitto: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for asked, found in (("pause", False), ("resume", True), ("resume", False)):
        device = Device(mosquitto, tmp_path, live=True)
        try:
            assert device.pipelines["street"].paused is found
            assert ("camera street: paused by a command" in caplog.text) is found
            caplog.clear()
            device.ask(asked, camera="street")
        finally:
            device.close()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"street": {"version": 9}}', b'{"street": 1}', b"\xff"]
)
def test_damaged_state_is_left_aside(mosquitto: Mosquitto, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rules.json").write_bytes(content)
    device = Device(mosquitto, tmp_path, live=True)
    try:
        assert all(device.pipelines["street"].rules.armed.values())
    finally:
        device.close()


def test_what_a_camera_did_not_do_in_time_it_does_not_do_later(device: Device) -> None:
    pipeline = device.pipelines["street"]
    expected = r"camera street: expected it to answer within 0\.3 s"
    with device.hanging("street"), pytest.raises(EdgetrackError, match=expected):
        device.ask("set_armed", armed=False)
    assert all(pipeline.rules.armed.values())


def test_command_for_all_cameras_changes_none_where_one_does_not_answer(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    device = Device(mosquitto, tmp_path, cameras=("porch", "street"))
    try:
        with device.hanging("street"), pytest.raises(EdgetrackError, match="camera street"):
            device.ask("set_armed", armed=False)
        assert all(armed for pipeline in device.pipelines.values() for armed in pipeline.rules.armed.values())
        answer = device.ask("set_armed", armed=False)
        disarmed = {"zone-drive": False, "tripwire-street": False}
        assert answer == {"porch": disarmed, "street": disarmed}
    finally:
        device.close()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (("set_armed", {"armed": False}), {"porch": {"zone-drive": False, "tripwire-street": False}}),
        (("reset_counts", {}), {}),
    ],
)
def test_camera_that_stops_answering_while_all_change_is_named_and_changes_later(
    mosquitto: Mosquitto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request_: tuple[str, dict[str, object]],
    answer: dict[str, object],
) -> None:
    device = Device(mosquitto, tmp_path, cameras=("street", "porch"))
    rules, porch = device.pipelines["street"].rules, device.pipelines["porch"]
    call, (name, fields) = porch.call, request_
    try:
        with ExitStack() as hanging:

            def answer_late(action: Callable[[], object], timeout_s: float) -> object:
                """The street has answered, and hangs from now on."""
                monkeypatch.setattr(porch, "call", call)
                hanging.enter_context(device.hanging("street"))
                return call(action, timeout_s)

            monkeypatch.setattr(porch, "call", answer_late)
            assert device.ask(name, **fields) == answer | {"pending": ["street"]}
            assert all(rules.armed.values())
        assert all(rules.armed.values()) == (name != "set_armed")
    finally:
        device.close()


def test_camera_that_hangs_keeps_the_others_from_nothing(
    mosquitto: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(mosquitto, tmp_path, live=True, cameras=("street", "yard"))
    try:
        with device.hanging("street"):
            for _ in range(2):
                device.operations.tick()
            answer = device.ask("set_armed", armed=False, camera="yard", rule="zone-drive")
            assert answer == {"yard": {"zone-drive": False, "tripwire-street": True}}
            assert device.retained("yard/counts/drive")["zone"]
            assert set(device.retained("health")["cameras"]) == {"street", "yard"}  # type: ignore[call-overload]
            assert device.retained("yard/armed")["rules"] == answer["yard"]
        device.operations.tick()
        assert device.retained("street/counts/drive")["zone"]
    finally:
        device.close()
    assert [line for line in caplog.messages if "to answer" in line] == [
        "camera street: expected it to answer within 0.3 s, got nothing; its counts are told when it does"
    ]
    after = Device(mosquitto, tmp_path, live=True, cameras=("street", "yard"))
    try:
        assert after.pipelines["yard"].rules.armed == {"zone-drive": False, "tripwire-street": True}
    finally:
        after.close()


def test_fault_in_the_operations_is_logged_once_and_does_not_end_them(
    device: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def fail() -> None:
        tried.append(1)
        raise ZeroDivisionError("a fault of ours")

    with monkeypatch.context() as faulty:
        faulty.setattr(device.pipelines["street"].rules, "counts", fail)
        with device.operations.running():
            wait_until(lambda: len(tried) >= 3)
            faulty.undo()
            assert device.retained("street/counts/drive")["zone"]
    assert [line for line in caplog.messages if "ZeroDivisionError" in line] == [
        "counts and health: ZeroDivisionError: a fault of ours"
    ]
