"""Alerts that wait for a receiver's word, at a real mosquitto."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.outbox import Outbox
from agent.alerts.outbox_records import StoredAlert
from agent.alerts.publisher import AlertPublisher
from agent.alerts.receipt_window import ReceiptWindow
from agent.alerts.receipts import MAX_RECEIPT_BYTES, Receipt, parse_receipt
from agent.alerts.schema import new_id
from agent.alerts.settings import BrokerSettings
from agent.client import AlertClient
from agent.errors import DataError
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults import receipts as receipts_fault
from tests.faults.broker import Broker

TOPIC = "edgetrack/porch/acknowledged"


def receipt(*ids: str) -> Message:
    return Message(TOPIC, json.dumps({"ids": ids}).encode())


class Siren:
    """A receiver that somebody else wrote: it knows the topics and the JSON, not the client."""

    def __init__(self, url: str) -> None:
        self._session = Session(BrokerSettings(url=url), "siren").open()
        self._session.subscribe("edgetrack/porch/+/alerts")
        wait_until(lambda: self._session.step(0.05).subscribed != [], what="the subscription")
        self.ids: list[str] = []

    def hear(self, until: Callable[[], bool], timeout_s: float = 30.0) -> None:
        def heard() -> bool:
            events = self._session.step(0.05)
            self.ids += [json.loads(message.payload)["id"] for message in events.messages]
            return until()

        wait_until(heard, timeout_s, "alerts arriving")

    def say(self, message: Message) -> None:
        mid = self._session.publish(message)
        acknowledged: list[int] = []

        def done() -> bool:
            events = self._session.step(0.05)
            acknowledged.extend(number for number, _ in events.published)
            self.ids += [json.loads(heard.payload)["id"] for heard in events.messages]
            return mid in acknowledged

        wait_until(done, what="the broker taking it")

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def siren(broker: Broker) -> Iterator[Siren]:
    receiver = Siren(broker.url)
    yield receiver
    receiver.close()


def test_alert_waits_and_comes_again_until_a_receiver_names_it(
    broker: Broker, siren: Siren, make_publisher: Callable[..., AlertPublisher]
) -> None:
    publisher = make_publisher(broker.url, acknowledge="receiver", redeliver_after_s=0.2)
    first, second = (publisher.publish(make_alert(), "front") for _ in range(2))
    siren.hear(lambda: len(siren.ids) >= 3)
    assert set(siren.ids) == {first}, "the second waits for the first"
    assert publisher.stats.queued == 2
    siren.say(receipt(first))
    siren.hear(lambda: second in siren.ids)
    siren.say(receipt(second))
    assert publisher.drain(30)
    assert publisher.stats.acknowledged == 2


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(receipt(new_id()), id="an alert of somebody else"),
        pytest.param(Message(TOPIC, b"\xff{"), id="no JSON"),
        pytest.param(Message(TOPIC, b'{"ids": "all"}'), id="no list"),
        pytest.param(Message(TOPIC, b'{"ids": ["%"]}'), id="no id"),
        pytest.param(Message(TOPIC, b" " * (MAX_RECEIPT_BYTES + 1)), id="too large"),
    ],
)
def test_what_is_no_receipt_for_it_forgets_no_alert(
    broker: Broker, siren: Siren, make_publisher: Callable[..., AlertPublisher], message: Message
) -> None:
    publisher = make_publisher(broker.url, acknowledge="receiver", redeliver_after_s=0.2)
    id_ = publisher.publish(make_alert(), "front")
    siren.hear(lambda: id_ in siren.ids)
    siren.say(message)
    heard = len(siren.ids)
    siren.hear(lambda: len(siren.ids) > heard)
    assert publisher.stats.queued == 1
    siren.say(receipt(id_))
    assert publisher.drain(30), "and the next receipt is read"


def test_receipt_cannot_name_an_alert_before_it_was_sent(
    broker: Broker, siren: Siren, make_publisher: Callable[..., AlertPublisher]
) -> None:
    publisher = make_publisher(broker.url, acknowledge="receiver", redeliver_after_s=0.2)
    first, second = (publisher.publish(make_alert(), "front") for _ in range(2))
    siren.hear(lambda: first in siren.ids)
    siren.say(receipt(second))
    siren.say(receipt(first))
    siren.hear(lambda: second in siren.ids)
    assert publisher.stats.queued == 1


def test_client_names_what_its_loop_took_and_a_new_one_gets_the_rest(
    broker: Broker, make_publisher: Callable[..., AlertPublisher]
) -> None:
    publisher = make_publisher(broker.url, acknowledge="receiver", redeliver_after_s=600)
    ids = [publisher.publish(make_alert(), "front") for _ in range(5)]
    taken = []
    with AlertClient(BrokerSettings(url=broker.url), acknowledge=True) as client:
        for alert in client.alerts(timeout_s=30):
            taken.append(alert.id)
            if len(taken) == 3:
                break
    wait_until(lambda: publisher.stats.acknowledged == 2)
    with AlertClient(BrokerSettings(url=broker.url), acknowledge=True) as client:

        def all_named() -> bool:
            taken.extend(alert.id for alert in client.alerts(timeout_s=0.2))
            return publisher.stats.acknowledged == 5

        wait_until(all_named, 60, "the rest and its receipts")
    assert taken == [*ids[:3], *ids[2:]], "the one whose work was not over comes again, long before 600 s"
    assert publisher.drain(30)


def test_client_that_was_not_asked_to_names_nothing(
    broker: Broker, make_publisher: Callable[..., AlertPublisher]
) -> None:
    publisher = make_publisher(broker.url, acknowledge="receiver", redeliver_after_s=0.2)
    publisher.publish(make_alert(), "front")
    taken = []
    with AlertClient(BrokerSettings(url=broker.url)) as client:

        def came_again() -> bool:  # the waits double: how long it takes depends on when the client came
            taken.extend(client.alerts(timeout_s=0.2))
            return client.repeats > 0

        wait_until(came_again, 60, "the alert coming again")
    assert len(taken) == 1
    assert publisher.stats.queued == 1


def test_nobody_naming_alerts_is_told_once(
    broker: Broker, make_publisher: Callable[..., AlertPublisher], caplog: pytest.LogCaptureFixture
) -> None:
    publisher = make_publisher(broker.url, acknowledge="receiver", redeliver_after_s=0.1)
    for _ in range(3):
        publisher.publish(make_alert(), "front")
    wait_until(lambda: publisher.stats.sent >= 5)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == [
        "edgetrack/porch/front/alerts: no receiver acknowledges; alerts wait, see broker.acknowledge"
    ]


def test_broker_without_persistence_and_receiver_killed_lose_nothing(tmp_path: Path) -> None:
    figures = receipts_fault.run(tmp_path, "receiver", cycles=4, rate=50)
    assert figures["drained"]
    assert int(str(figures["committed"])) > 30
    assert (figures["lost"], figures["out_of_order"]) == (0, 0)


def put(outbox: Outbox, topic: str) -> StoredAlert:
    return outbox.put(topic, new_id(), lambda sequence: b"%d" % sequence)


def test_one_alert_of_each_topic_is_under_way_whatever_waits(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    waiting = {topic: [put(outbox, topic) for _ in range(120)] for topic in ("front", "back")}
    window = ReceiptWindow(outbox, 30.0, lambda topic: None)
    late = put(outbox, "late")
    window.stored("late")
    drawn: dict[str, list[StoredAlert]] = {"front": [], "back": [], "late": []}
    mid = 0
    while (alert := window.next()) is not None:
        mid += 1
        window.sent(mid, alert)
        drawn[alert.topic].append(alert)
        assert len(window.in_flight) <= 3
        assert window.receipt({alert.id}) == 1, "before the broker's own acknowledgement"
        window.acknowledged(mid)
    window.forget()
    assert drawn == {**waiting, "late": [late]}
    assert len(outbox) == 0


def test_lost_connection_sends_what_has_no_receipt_again(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    first, second = put(outbox, "front"), put(outbox, "front")
    window = ReceiptWindow(outbox, 30.0, lambda topic: None)
    assert window.next() == first
    window.sent(1, first)
    window.acknowledged(1)
    assert window.next() is None
    window.start_over()
    assert window.next() == first
    window.sent(2, first)
    window.receipt({first.id})
    window.start_over()
    assert window.next() == second
    assert [alert.id for alert in outbox.pending(10)] == [second.id]


@given(
    st.binary(max_size=300) | st.lists(st.text() | st.integers() | st.none()).map(json.dumps).map(str.encode)
)
def test_any_bytes_give_a_receipt_or_one_line(payload: bytes) -> None:
    try:
        assert isinstance(parse_receipt(Message(TOPIC, payload)), Receipt)
    except DataError as error:
        assert "\n" not in str(error)
        assert str(error).startswith(f"{TOPIC}: expected")


def test_own_receipts_are_read_back_and_retained_ones_are_not() -> None:
    written = Receipt(ids=(new_id(), new_id()))
    assert parse_receipt(Message(TOPIC, written.to_json())) == written
    with pytest.raises(DataError, match="no retained message"):
        parse_receipt(Message(TOPIC, written.to_json(), retain=True))
