from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.schema import AlertPayload, build_payload, new_id
from agent.alerts.settings import BrokerSettings
from agent.client import AlertClient, DeviceStatus, Event, SequenceCheck, SequenceGap
from agent.errors import BrokerError, ConfigError
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults.broker import BINARY, Broker, free_port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if BINARY is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def send(broker: Broker) -> Iterator[Callable[..., str]]:
    """Publishes an alert with the number it is given, as a device would; returns its id."""
    session = Session(BrokerSettings(url=broker.url), "device").open()

    def send_(sequence: int, *, device: str = "porch", camera: str = "front", id_: str | None = None) -> str:
        id_ = id_ or new_id()
        payload = build_payload(
            make_alert(), id=id_, sequence=sequence, device=device, camera=camera, clock_synchronised=True
        ).to_json()
        mid = session.publish(Message(f"edgetrack/{device}/{camera}/alerts", payload))
        while (mid, None) not in session.step(1.0).published:
            pass
        return id_

    yield send_
    session.close()


def take(client: AlertClient, number: int) -> list[Event]:
    events = []
    for event in client.events(timeout_s=5.0):
        events.append(event)
        if len(events) == number:
            return events
    raise AssertionError(f"only {events} within 5 s")


def test_alerts_are_yielded_once_and_repeats_counted(broker: Broker, send: Callable[..., str]) -> None:
    with AlertClient(BrokerSettings(url=broker.url)) as client:
        first = send(1)
        send(1, id_=first)
        second = send(2)
        assert [event.id for event in take(client, 2) if isinstance(event, AlertPayload)] == [first, second]
        assert client.repeats == 1


def test_gap_is_told_before_the_alert_behind_it(broker: Broker, send: Callable[..., str]) -> None:
    with AlertClient(BrokerSettings(url=broker.url)) as client:
        ids = [send(5), send(8), send(3, device="yard")]
        first, gap, second, other = take(client, 4)
        assert gap == SequenceGap("porch", 6, 7)
        assert str(gap) == "porch: 2 alerts missing, numbers 6 to 7"
        assert [getattr(event, "id", None) for event in (first, second, other)] == ids
        assert client.missing == 2


def test_one_camera_or_a_shared_subscription_sees_no_gaps(broker: Broker, send: Callable[..., str]) -> None:
    with AlertClient(BrokerSettings(url=broker.url), camera="front") as client:
        send(1)
        send(2, camera="back")
        send(3)
        assert [getattr(event, "sequence", None) for event in take(client, 2)] == [1, 3]


def test_receivers_of_a_shared_group_split_the_alerts(broker: Broker, send: Callable[..., str]) -> None:
    settings = BrokerSettings(url=broker.url)
    with AlertClient(settings, share_group="night") as one, AlertClient(settings, share_group="night") as two:
        ids = [send(number) for number in range(1, 11)]
        parts = [[alert.id for alert in client.alerts(timeout_s=0.5)] for client in (one, two)]
    assert sorted(parts[0] + parts[1]) == sorted(ids)
    assert all(parts)
    assert not set(parts[0]) & set(parts[1])


def test_kept_session_gives_what_came_meanwhile_and_what_was_not_confirmed(
    broker: Broker, send: Callable[..., str]
) -> None:
    def client() -> AlertClient:
        return AlertClient(BrokerSettings(url=broker.url), client_id="siren", keep_session_s=60)

    with client() as first:
        crashed_on = send(1)
        for alert in first.alerts(timeout_s=5):
            assert alert.id == crashed_on
            break  # the program ends inside the loop, before it asks for the next alert
    meanwhile = send(2)
    with client() as second:
        assert [event.id for event in take(second, 2) if isinstance(event, AlertPayload)] == [
            crashed_on,
            meanwhile,
        ]
        send(3)
        for alert in second.alerts(timeout_s=0.5):
            last = alert
        assert last.sequence == 3
    with client() as third:
        assert list(third.alerts(timeout_s=0.3)) == []


def test_client_comes_back_after_the_broker_was_killed(broker: Broker) -> None:
    settings = BrokerSettings(url=broker.url, reconnect_max_s=0.3)
    received: list[Event] = []
    with AlertClient(settings) as client:
        reader = threading.Thread(target=lambda: received.extend(client.alerts()))
        reader.start()
        broker.kill()
        broker.start()
        wait_until(lambda: broker.log.count("SUBSCRIBE") >= 4)
        session = Session(settings, "device").open()
        payload = build_payload(
            make_alert(), id=new_id(), sequence=1, device="porch", camera="front", clock_synchronised=True
        )
        session.publish(Message("edgetrack/porch/front/alerts", payload.to_json()))
        session.step(0.1)
        wait_until(lambda: len(received) == 1)
        client.close()
        reader.join(5)
        session.close()
    assert not reader.is_alive()


def test_device_states_are_told(broker: Broker) -> None:
    session = Session(BrokerSettings(url=broker.url), "device").open()
    session.publish(Message("edgetrack/porch/status", b"online", retain=True))
    session.step(0.2)
    with AlertClient(BrokerSettings(url=broker.url)) as client:
        assert take(client, 1) == [DeviceStatus("porch", online=True)]
        session.publish(Message("edgetrack/porch/status", b"offline", retain=True))
        session.step(0.2)
        assert take(client, 1) == [DeviceStatus("porch", online=False)]
    session.close()


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b"[1]", b'{"schema": 2}', b"null", b"9" * 10_000])
def test_messages_that_are_no_alerts_are_counted_and_skipped(
    broker: Broker, send: Callable[..., str], payload: bytes
) -> None:
    with AlertClient(BrokerSettings(url=broker.url)) as client:
        session = Session(BrokerSettings(url=broker.url), "odd").open()
        session.publish(Message("edgetrack/porch/front/alerts", payload))
        session.step(0.2)
        session.close()
        good = send(1)
        assert [event.id for event in take(client, 1) if isinstance(event, AlertPayload)] == [good]
        assert client.invalid == 1


def test_no_broker_is_one_clear_line() -> None:
    with pytest.raises(BrokerError, match="connection refused"):
        next(AlertClient(BrokerSettings(url=f"mqtt://127.0.0.1:{free_port()}")).events())


def test_kept_session_without_a_client_id_is_refused() -> None:
    with pytest.raises(ConfigError, match="client_id"):
        AlertClient(BrokerSettings(), keep_session_s=60)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 10**9))
def test_gaps_add_up_to_what_is_missing(arrives: list[bool], start: int) -> None:
    check = SequenceCheck()
    seen = [start + offset for offset, came in enumerate(arrives) if came]
    missing: list[int] = []
    for number in seen:
        gap = check.see("porch", number)
        if gap is not None:
            missing += range(gap.first, gap.last + 1)
    expected = set(range(seen[0], seen[-1] + 1)) - set(seen) if seen else set()
    assert sorted(expected) == missing
    assert all(check.see("porch", late) is None for late in missing)


def test_numbers_that_start_anew_are_no_gap_and_gaps_behind_them_are_seen() -> None:
    check = SequenceCheck()
    assert [check.see("porch", number) for number in (100, 101, 1, 2)] == [None] * 4
    assert check.see("porch", 5) == SequenceGap("porch", 3, 4)
