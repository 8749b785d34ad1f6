"""What an earlier configuration retained is taken back from a real broker; the rest stays."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.alerts.home_assistant import CameraEntities
from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, HomeAssistantSettings, OutboxSettings
from agent.alerts.snapshot import Picture
from agent.alerts.topics import Topics
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults.broker import Broker

BOTH = CameraEntities(zones=["drive", "lawn"], rules=["in", "out"], snapshots=["in", "out"])
ONE = CameraEntities(zones=["drive"], rules=["in"], snapshots=["in"])
PICTURE = Picture(b"\xff\xd8 of a person", 64, 48)


@pytest.fixture
def run(broker: Broker, tmp_path: Path) -> Callable[[dict[str, CameraEntities]], AlertPublisher]:
    def start(cameras: dict[str, CameraEntities]) -> AlertPublisher:
        publisher = AlertPublisher(
            BrokerSettings(url=broker.url), OutboxSettings(path=tmp_path / "outbox.sqlite"), "porch"
        )
        publisher.describe_cameras(cameras)
        for camera, has in cameras.items():
            publisher.set_camera_status(camera, {"state": "online"})
            publisher.publish_armed(camera, dict.fromkeys(has.rules, True))
            zones = {zone: {"now": {}, "today": {}, "total": {}} for zone in has.zones}
            publisher.publish_counts(camera, {"day": "2026-05-01", "zones": zones, "tripwires": {}})
        return publisher

    return start


def all_retained(broker: Broker, topic_filter: str) -> set[str]:
    """Topics that a newcomer is told of."""
    session = Session(BrokerSettings(url=broker.url), "newcomer").open()
    session.subscribe(topic_filter)
    session.subscribe("probe")
    seen: list[Message] = []
    session.publish(Message("probe", b"all that is retained came before"))
    wait_until(
        lambda: seen.extend(session.step(0.05).messages) or any(m.topic == "probe" for m in seen),
        what="the probe",
    )
    session.close()
    return {message.topic for message in seen if message.topic != "probe"}


def retained(broker: Broker) -> set[str]:
    """Topics below `edgetrack/porch/` that a newcomer is told of."""
    return {topic.removeprefix("edgetrack/porch/") for topic in all_retained(broker, "edgetrack/porch/#")}


def test_pictures_and_counts_of_what_is_gone_are_taken_back(
    broker: Broker, run: Callable[[dict[str, CameraEntities]], AlertPublisher]
) -> None:
    with run({"front": BOTH, "back": ONE}) as publisher:
        publisher.publish_snapshot("front", "in", PICTURE)
        publisher.publish_snapshot("front", "out", PICTURE)
        publisher.publish_snapshot("back", "now", PICTURE)
        before = {"front/snapshot/in", "front/snapshot/out", "back/snapshot/now", "front/counts/lawn"}
        wait_until(lambda: before < retained(broker), what="what is retained")
    with run({"front": ONE}):
        left = {"status", "front/status", "front/armed", "front/counts/drive", "front/snapshot/in"}
        wait_until(lambda: retained(broker) == left, what="what is gone to be taken back")


def test_nothing_is_taken_back_of_what_stayed_or_of_another_device(
    broker: Broker, run: Callable[[dict[str, CameraEntities]], AlertPublisher]
) -> None:
    with run({"front": BOTH}) as publisher:
        publisher.publish_snapshot("front", "out", PICTURE)
        wait_until(lambda: "front/snapshot/out" in retained(broker), what="the picture")
    other = Session(BrokerSettings(url=broker.url), "other").open()
    other.publish(Message("edgetrack/barn/front/counts/lawn", b"{}", retain=True))
    other.publish(Message("edgetrack/porch/front/counts/meadow", b"{}", retain=True))
    taken: list[object] = []
    wait_until(lambda: taken.extend(other.step(0.05).published) or len(taken) == 2, what="the broker's word")
    other.close()
    with run({"front": BOTH}):
        wait_until(lambda: "front/counts/meadow" not in retained(broker), what="the leftover to go")
        assert {"front/snapshot/out", "front/counts/lawn", "front/counts/drive"} < retained(broker)
    other = Session(BrokerSettings(url=broker.url), "other").open()
    other.subscribe("edgetrack/barn/#")
    messages: list[Message] = []
    wait_until(lambda: messages.extend(other.step(0.05).messages) or messages, what="the other device's")
    assert messages[0].payload == b"{}"
    other.close()


def test_requests_and_responses_are_no_leftovers_of_cameras(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outside = Session(BrokerSettings(url=broker.url), "outside").open()
    outside.publish(Message("edgetrack/porch/response/armed", b"{}", retain=True))
    outside.publish(Message("edgetrack/porch/gone/armed", b"{}", retain=True))
    publisher = AlertPublisher(
        BrokerSettings(url=broker.url, commands=True), OutboxSettings(path=tmp_path / "o.sqlite"), "porch"
    )
    publisher.on_command(lambda command: None)
    publisher.describe_cameras({"front": ONE})
    with publisher:
        wait_until(lambda: "edgetrack/porch/gone/armed: of an earlier" in caplog.text, what="the leftover")
        outside.subscribe("edgetrack/porch/request/+")
        outside.subscribe("edgetrack/porch/response/+")
        seen: list[Message] = []

        def ask(name: str) -> list[bytes]:
            outside.publish(Message(f"edgetrack/porch/request/{name}", b"{}"))
            answers: list[bytes] = []

            def answered() -> bool:
                seen.extend(message for message in outside.step(0.05).messages if not message.retain)
                answers[:] = [m.payload for m in seen if m.topic == f"edgetrack/porch/response/{name}"]
                return bool(answers)

            wait_until(answered, what="an answer")
            return answers

        for name in ("status", "armed"):
            assert b"got an unknown command" in ask(name)[0]
        ask("reload")  # answered after all that came of those before
        assert len([message for message in seen if "/response/" in message.topic]) == 3
        assert b"" not in {message.payload for message in seen}
        assert "response/armed" in retained(broker)
    outside.close()
    assert [line for line in caplog.messages if "taken back" in line] == [
        "edgetrack/porch/gone/armed: of an earlier configuration; taken back from the broker"
    ]


def renamed(broker: Broker, tmp_path: Path, device: str, former: str | None) -> AlertPublisher:
    publisher = AlertPublisher(
        BrokerSettings(url=broker.url),
        OutboxSettings(path=tmp_path / "outbox.sqlite"),
        device,
        HomeAssistantSettings(enabled=True),
    )
    if former is not None:
        publisher.take_back(Topics("edgetrack", former))
    publisher.describe_cameras({"front": ONE})
    publisher.set_camera_status("front", {"state": "online"})
    publisher.publish_armed("front", {"in": True})
    publisher.publish_snapshot("front", "in", PICTURE)
    publisher.publish_health({})
    return publisher


OF_A_DEVICE = {
    f"edgetrack/DEVICE/{topic}"
    for topic in ("status", "health", "front/status", "front/armed", "front/snapshot/in")
} | {"homeassistant/device/edgetrack-DEVICE/config"}


def of_device(name: str) -> set[str]:
    return {topic.replace("DEVICE", name) for topic in OF_A_DEVICE}


def test_all_that_a_renamed_device_retained_is_taken_back(broker: Broker, tmp_path: Path) -> None:
    with renamed(broker, tmp_path, "porch", None):
        wait_until(lambda: all_retained(broker, "#") == of_device("porch"), what="what is retained")
    outside = Session(BrokerSettings(url=broker.url), "outside").open()
    outside.publish(Message("edgetrack/porch/response/armed", b"{}", retain=True))
    with renamed(broker, tmp_path, "barn", "porch"):
        left = {*of_device("barn"), "edgetrack/porch/response/armed"}
        wait_until(lambda: all_retained(broker, "#") == left, what="the former name to be gone")
    outside.close()


def test_former_name_that_another_device_has_now_keeps_all(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (
        renamed(broker, tmp_path / "other", "porch", None),
        renamed(broker, tmp_path, "barn", "porch") as barn,
    ):
        wait_until(lambda: of_device("barn") <= all_retained(broker, "#"), what="the new name")
        barn.publish(make_alert(), "front")
        assert barn.drain(30)  # behind all that came of the former name
        assert of_device("porch") <= all_retained(broker, "#")
