"""Which retained message is blamed for connections that end, and for how long."""

from __future__ import annotations

from collections.abc import Callable

from agent.alerts.delivery import Delivery
from agent.alerts.messages import Message
from agent.alerts.outbox import Outbox
from agent.alerts.retained import RetainedMessages
from agent.alerts.schema import new_id
from agent.alerts.settings import BrokerSettings
from agent.alerts.topics import Topics


def drawn(retained: RetainedMessages) -> list[tuple[str, bytes]]:
    """All that is sent on this connection, suspects last; the broker takes it."""
    messages = []
    for suspect in (False, True):
        while (message := retained.next(suspect=suspect)) is not None:
            retained.answered(message)
            messages.append((message.topic, message.payload))
    return messages


def ends_with_it(retained: RetainedMessages, topic: str) -> Message | None:
    """A connection that ends with this message alone under way, after the others were taken."""
    retained.connected()
    message = retained.next() or retained.next(suspect=True)
    while message is not None and message.topic != topic:
        retained.answered(message)
        message = retained.next() or retained.next(suspect=True)
    assert message is not None
    return retained.connection_ended([message], alerts=False)


def test_what_is_left_out_is_tried_again_later_each_time() -> None:
    now = [0.0]
    retained = RetainedMessages(monotonic=lambda: now[0])
    retained.put("health", b"x" * 500)
    assert ends_with_it(retained, "health") is None
    assert ends_with_it(retained, "health") is not None
    retained.connected()
    retained.put("health", b"x" * 501)
    assert drawn(retained) == []
    retained.put("health", b"x" * 499)
    assert drawn(retained) == [("health", b"x" * 499)]
    retained.put("health", b"x" * 502)
    now[0] = 59.9
    assert drawn(retained) == []
    now[0] = 60.0
    assert ends_with_it(retained, "health") is not None
    now[0] = 179.9
    retained.connected()
    assert drawn(retained) == []
    now[0] = 180.0
    assert drawn(retained) == [("health", b"x" * 502)], "without a new one, on a connection that stands"
    retained.put("health", b"x" * 600)
    assert drawn(retained) == [("health", b"x" * 600)]
    now[0] = 10_000.0
    for _ in range(20):
        ends_with_it(retained, "health")
        now[0] += 3600.0
    retained.connected()
    assert len(drawn(retained)) == 1, "an hour at most"


def test_what_takes_a_topic_back_is_left_out_for_a_while_only() -> None:
    now = [0.0]
    retained = RetainedMessages(monotonic=lambda: now[0])
    retained.put("old", b"")
    for _ in range(2):
        ends_with_it(retained, "old")
    now[0] = 60.0
    assert drawn(retained) == [("old", b"")]


def test_suspect_that_ended_a_connection_alone_comes_behind_the_others() -> None:
    retained = RetainedMessages()
    messages = [Message(topic, b"x", retain=True) for topic in "abc"]
    for message in messages:
        retained.put(message.topic, message.payload)
    assert retained.connection_ended(messages, alerts=False) is None
    retained.connected()
    first = retained.next(suspect=True)
    assert first is not None
    assert retained.connection_ended([first], alerts=False) is None
    retained.connected()
    assert [topic for topic, _ in drawn(retained)] == ["b", "c", "a"]


def test_no_message_is_blamed_while_alerts_or_others_are_under_way(
    make_outbox: Callable[..., Outbox],
) -> None:
    outbox = make_outbox()
    topics = Topics("edgetrack", "porch")
    delivery = Delivery(BrokerSettings(url="mqtt://localhost"), topics, outbox)
    retained = delivery._outgoing.retained
    status = topics.camera_status("front")
    delivery.retain(status, b"online")
    for _ in range(3):
        retained.connected()
        message = retained.next() or retained.next(suspect=True)
        assert message is not None
        outbox.put("t", new_id(), lambda sequence: b"x")
        delivery.alert_stored("t")
        alert = delivery._window.next()
        assert alert is not None
        delivery._window.sent(1, alert)
        delivery._other[2] = message
        delivery._start_over()
    for _ in range(3):
        retained.connected()
        message = retained.next(suspect=True)
        assert message is not None
        delivery._other |= {1: Message(topics.status, b"online", retain=True), 2: message}
        delivery._start_over()
    delivery.retain(status, b"offline")
    retained.connected()
    assert drawn(retained) == [(status, b"offline")]
    delivery.stop(0.1)
