"""Faults that must keep no alert from a real mosquitto: failing disks, full outboxes, pictures too large."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.alerts.delivery import Delivery
from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.outbox import Outbox
from agent.alerts.publisher import AlertPublisher
from agent.alerts.schema import new_id
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.alerts.snapshot import Picture
from agent.alerts.topics import Topics
from agent.client import AlertClient
from tests.agent.alerts.conftest import disk_that_takes_nothing, make_alert
from tests.conftest import wait_until
from tests.faults.broker import Broker

MakeBroker = Callable[..., Broker]
MakePublisher = Callable[..., AlertPublisher]
LARGE, SMALL = Picture(b"x" * 60_000, 640, 360), Picture(b"y" * 9_000, 320, 180)


class Seen:
    """What the broker keeps, and what comes, by topic."""

    def __init__(self, url: str) -> None:
        self._session = Session(BrokerSettings(url=url), "seen").open()
        self._session.subscribe("edgetrack/#")
        self.by_topic: dict[str, list[bytes]] = {}
        self._subscribed = False
        self.wait(lambda all_: self._subscribed, "the subscription")

    def wait(self, until: Callable[[dict[str, list[bytes]]], bool], what: str) -> None:
        def seen() -> bool:
            events = self._session.step(0.05)
            self._subscribed |= bool(events.subscribed)
            for message in events.messages:
                self.by_topic.setdefault(message.topic, []).append(message.payload)
            return until(self.by_topic)

        wait_until(seen, 30.0, what)

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def watch() -> Iterator[Callable[[str], Seen]]:
    opened: list[Seen] = []

    def make(url: str) -> Seen:
        opened.append(Seen(url))
        return opened[-1]

    yield make
    for seen in opened:
        seen.close()


def test_disk_that_fails_while_alerts_are_acknowledged_ends_no_delivery(
    broker: Broker, tmp_path: Path, watch: Callable[[str], Seen]
) -> None:
    seen = watch(broker.url)
    publisher = AlertPublisher(
        BrokerSettings(url=broker.url, reconnect_max_s=0.5),
        OutboxSettings(path=tmp_path / "o.sqlite"),
        "porch",
    )
    ids = [publisher.publish(make_alert(), "front") for _ in range(5)]
    with disk_that_takes_nothing():
        publisher.start()
        wait_until(lambda: publisher.stats.disk_error is not None, what="the disk failing")
        wait_until(lambda: publisher.stats.acknowledged == 5)
        ids.append(publisher.publish(make_alert(), "front"))
        topic = publisher.topics.alerts("front")
        seen.wait(lambda all_: len(all_.get(topic, ())) == 6, "an alert while the disk fails")
    wait_until(lambda: publisher.stats.disk_error is None, 30.0, "the disk working again")
    ids.append(publisher.publish(make_alert(), "front"))
    assert publisher.drain(30)
    seen.wait(lambda all_: len(all_[topic]) >= 7, "an alert afterwards")
    assert [json.loads(payload)["id"] for payload in seen.by_topic[topic]] == ids
    publisher.close()


def test_receiver_that_comes_to_a_full_outbox_gets_all_that_was_not_dropped(
    broker: Broker, tmp_path: Path
) -> None:
    outbox = OutboxSettings(path=tmp_path / "o.sqlite", max_size_mb=0.05, synchronous="normal")
    settings = BrokerSettings(url=broker.url, acknowledge="receiver", redeliver_after_s=0.5)
    with AlertPublisher(settings, outbox, "porch") as publisher:
        ids = [publisher.publish(make_alert(), "front") for _ in range(30)]
        wait_until(lambda: publisher.stats.sent >= 1)
        ids += [publisher.publish(make_alert(), "front") for _ in range(120)]
        dropped = publisher.stats.dropped
        assert 50 < dropped < 150
        assert publisher.stats.queued == 150 - dropped
        with AlertClient(BrokerSettings(url=broker.url), acknowledge=True) as client:
            received: list[str] = []

            def emptied() -> bool:
                received.extend(alert.id for alert in client.alerts(timeout_s=0.2))
                return publisher.stats.acknowledged == 150 - dropped

            wait_until(emptied, 60, "every alert and its receipt")
        assert received == [ids[0], *ids[dropped + 1 :]], "the one that was under way, and the newest"
        assert publisher.drain(30)
        assert (publisher.stats.queued, publisher.stats.dropped) == (0, dropped)


def test_fault_that_nobody_foresaw_ends_no_delivery(
    broker: Broker, make_publisher: MakePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = make_publisher(broker.url, reconnect_max_s=0.1)
    wait_until(lambda: publisher.stats.connected)
    faults = iter([RuntimeError(str(number)) for number in range(3)])
    count = Outbox.__len__

    def fail(outbox: Outbox) -> int:
        if threading.current_thread().name == "edgetrack-delivery":
            for fault in faults:
                raise fault
        return count(outbox)

    monkeypatch.setattr(Outbox, "__len__", fail)
    publisher.publish(make_alert(), "front")
    wait_until(lambda: publisher.stats.connects >= 4)
    assert publisher.drain(30)
    assert next(faults, None) is None


def test_picture_larger_than_the_broker_takes_is_left_out_and_told_once(
    make_broker: MakeBroker,
    make_publisher: MakePublisher,
    watch: Callable[[str], Seen],
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = make_broker(listener="allow_anonymous true\nmax_packet_size 20000")
    publisher = make_publisher(broker.url)
    wait_until(lambda: publisher.stats.connected)
    for _ in range(2):
        publisher.publish_snapshot("front", "gate", LARGE)
        publisher.publish(make_alert(), "front")
    assert publisher.drain(30)
    publisher.publish_snapshot("front", "gate", SMALL)
    topic = publisher.topics.snapshot("front", "gate")
    watch(broker.url).wait(lambda all_: all_.get(topic) == [SMALL.jpeg], "the smaller picture")
    assert publisher.stats.connects == 1
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    (line,) = lines
    assert line.startswith(f"{topic}: expected a message of 20000 bytes at most, as the broker asks")


@pytest.mark.parametrize(
    ("limit", "protocol"), [("max_packet_size 20000", "3.1.1"), ("message_size_limit 20000", "5")]
)
def test_picture_that_ends_the_connection_without_a_word_is_found_and_left_out(
    make_broker: MakeBroker,
    make_publisher: MakePublisher,
    watch: Callable[[str], Seen],
    caplog: pytest.LogCaptureFixture,
    limit: str,
    protocol: str,
) -> None:
    broker = make_broker(listener=f"allow_anonymous true\n{limit}")
    publisher = make_publisher(broker.url, protocol=protocol, reconnect_max_s=0.1)
    wait_until(lambda: publisher.stats.connected)
    cameras = [f"camera{number}" for number in range(12)]
    for camera in cameras:
        publisher.set_camera_status(camera, {"state": "online"})
        if camera == "camera5":
            publisher.publish_snapshot(camera, "gate", LARGE)
    for _ in range(30):
        publisher.publish(make_alert(), "camera5")
    assert publisher.drain(30)
    complaint = "expected the broker to take 60000 bytes, got the connection closed; left out"
    wait_until(lambda: complaint in caplog.text, 30.0, "the picture to be told of")
    connects = publisher.stats.connects
    assert connects <= 4
    publisher.publish_snapshot("camera5", "gate", SMALL)
    topics = {publisher.topics.camera_status(camera) for camera in cameras}
    topics.add(publisher.topics.snapshot("camera5", "gate"))
    watch(broker.url).wait(lambda all_: topics <= all_.keys(), "every other state, and a smaller picture")
    assert publisher.stats.connects <= connects + 1
    assert caplog.text.count(complaint) == 1


def test_alert_larger_than_the_broker_takes_waits_and_others_pass(
    make_broker: MakeBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = make_broker(listener="allow_anonymous true\nmax_packet_size 3000")
    outbox = Outbox(tmp_path / "outbox.sqlite", OutboxSettings())
    delivery = Delivery(BrokerSettings(url=broker.url), Topics("edgetrack", "porch"), outbox)
    large = outbox.put("edgetrack/porch/back/alerts", new_id(), lambda sequence: b"x" * 4000)
    for _ in range(5):
        outbox.put("edgetrack/porch/front/alerts", new_id(), lambda sequence: b"x" * 1000)
    delivery.start()
    wait_until(lambda: len(outbox) == 1)
    assert [alert.id for alert in outbox.pending(10)] == [large.id]
    assert delivery.connects == 1
    assert "edgetrack/porch/back/alerts: expected a message of 3000 bytes at most" in caplog.text
    delivery.stop(1.0)
    delivery._thread.join(30)  # or it logs into the next test
    outbox.close()


def test_states_of_the_last_moment_are_out_before_the_connection_closes(
    broker: Broker, tmp_path: Path, watch: Callable[[str], Seen]
) -> None:
    cameras = [f"camera{number}" for number in range(40)]
    publisher = AlertPublisher(
        BrokerSettings(url=broker.url, in_flight=4), OutboxSettings(path=tmp_path / "o.sqlite"), "porch"
    )
    publisher.start()
    wait_until(lambda: publisher.stats.connected)
    for camera in cameras:
        publisher.set_camera_status(camera, {"state": "stopped"})
    publisher.close(60.0)  # it returns when all is out
    topics = [publisher.topics.camera_status(camera) for camera in cameras]
    seen = watch(broker.url)
    seen.wait(lambda all_: all_.get(publisher.topics.status, [])[-1:] == [b"offline"], "the last word")
    seen.wait(lambda all_: all_.keys() >= {*topics}, "what is retained")
    assert {seen.by_topic[topic][0] for topic in topics} == {b'{"state":"stopped"}'}


def test_alert_that_nobody_heard_while_the_device_says_goodbye_is_kept(
    broker: Broker, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", OutboxSettings())
    stored = outbox.put("edgetrack/porch/front/alerts", new_id(), lambda sequence: b"x")
    settings = BrokerSettings(url=broker.url, needs_receiver=True)
    delivery = Delivery(settings, Topics("edgetrack", "porch"), outbox)
    session = Session(settings, "edgetrack-porch").open()
    alert = delivery._window.next()
    assert alert == stored
    delivery._window.sent(session.publish(Message(stored.topic, stored.payload)), stored)

    def answered() -> bool:  # it waits for a second; a broker that stands still answers later
        delivery._say_offline(session)
        return not delivery._window.in_flight

    wait_until(answered)
    delivery._window.forget()
    assert outbox.pending(10) == [stored]
    session.close()
    delivery.stop(0.1)
    outbox.close()
