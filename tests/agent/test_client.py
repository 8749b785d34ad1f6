from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.publisher import AlertPublisher
from agent.alerts.schema import AlertPayload, build_payload, new_id
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.client import AlertClient, DeviceStatus, Event, SequenceGap
from agent.errors import BrokerError, ConfigError
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults.broker import BINARY, Broker


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
    for event in client.events(timeout_s=30.0):
        events.append(event)
        if len(events) == number:
            return events
    raise AssertionError(f"only {events} within 30 s")


def test_alerts_are_yielded_once_and_repeats_counted(broker: Broker, send: Callable[..., str]) -> None:
    with AlertClient(BrokerSettings(url=broker.url)) as client:
        first = send(1)
        send(1, id_=first)
        second = send(2)
        assert [event.id for event in take(client, 2) if isinstance(event, AlertPayload)] == [first, second]
        assert client.repeats == 1


def test_gap_is_told_once_the_grace_is_over(broker: Broker, send: Callable[..., str]) -> None:
    with AlertClient(BrokerSettings(url=broker.url), gap_grace_s=0.2) as client:
        ids = [send(5), send(8), send(3, device="yard")]
        events = take(client, 4)
        (gap,) = [event for event in events if isinstance(event, SequenceGap)]
        assert gap == SequenceGap("porch", 6, 7)
        assert str(gap) == "porch: 2 alerts missing, numbers 6 to 7"
        assert [event.id for event in events if isinstance(event, AlertPayload)] == ids
        assert client.missing == 2
        ids = [send(6), send(9)]
        assert [event.id for event in take(client, 2) if isinstance(event, AlertPayload)] == ids
        assert client.missing == 1


def test_gap_whose_grace_is_not_over_is_told_on_demand(broker: Broker, send: Callable[..., str]) -> None:
    with AlertClient(BrokerSettings(url=broker.url)) as client:
        send(5)
        send(8)
        assert [type(event) for event in take(client, 2)] == [AlertPayload, AlertPayload]
        assert client.untold_gaps() == [SequenceGap("porch", 6, 7)]
        assert client.untold_gaps() == []


def test_receiver_that_takes_its_time_makes_no_gap_of_what_it_has_not_listened_for(
    broker: Broker, send: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worked_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + worked_s)
    monkeypatch.setattr("agent.client.time", clock)
    with AlertClient(BrokerSettings(url=broker.url), gap_grace_s=60.0) as client:
        send(5)
        send(8)
        events = client.events(timeout_s=0.05)
        taken = [next(events), next(events)]
        worked_s = 72.0  # the receiver's own work
        assert list(events) == []
        assert [type(event) for event in taken] == [AlertPayload, AlertPayload]
        assert client.untold_gaps() == [SequenceGap("porch", 6, 7)]


def test_cameras_that_overtake_each_other_are_no_losses(broker: Broker, tmp_path: Path) -> None:
    settings = BrokerSettings(url=broker.url, acknowledge="receiver")
    publisher = AlertPublisher(settings, OutboxSettings(path=tmp_path / "outbox.sqlite"), "porch")
    for camera in ("front", "front", "front", "back") * 10:
        publisher.publish(make_alert(), camera)
    with AlertClient(settings, acknowledge=True) as client, publisher:
        events: list[Event] = []
        for event in client.events(timeout_s=30.0):
            events.append(event)
            if sum(isinstance(event, AlertPayload) for event in events) == 40:
                break
        numbers = [event.sequence for event in events if isinstance(event, AlertPayload)]
        assert sorted(numbers) == list(range(1, 41)) != numbers
        assert not [event for event in events if isinstance(event, SequenceGap)]
        assert client.missing == 0
        assert client.untold_gaps() == []


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
        parts: tuple[list[str], list[str]] = ([], [])

        def all_came() -> bool:
            for part, client in zip(parts, (one, two), strict=True):
                part.extend(alert.id for alert in client.alerts(timeout_s=0.2))
            return len(parts[0]) + len(parts[1]) >= 10

        wait_until(all_came)
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
        for alert in first.alerts(timeout_s=30):
            assert alert.id == crashed_on
            break  # the program ends inside the loop, before it asks for the next alert
    meanwhile = send(2)
    with client() as second:
        assert [event.id for event in take(second, 2) if isinstance(event, AlertPayload)] == [
            crashed_on,
            meanwhile,
        ]
        send(3)
        heard: list[int] = []
        wait_until(
            lambda: heard.extend(alert.sequence for alert in second.alerts(timeout_s=0.1)) or heard != []
        )
        assert heard == [3]
    with client() as third:
        send(4)
        assert [event.sequence for event in take(third, 1) if isinstance(event, AlertPayload)] == [4]


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
        reader.join(30)
        session.close()
    assert not reader.is_alive()


def test_device_states_are_told(broker: Broker) -> None:
    session = Session(BrokerSettings(url=broker.url), "device").open()
    session.publish(Message("edgetrack/porch/status", b"online", retain=True))
    with AlertClient(BrokerSettings(url=broker.url)) as client:
        assert take(client, 1) == [DeviceStatus("porch", online=True)]
        session.publish(Message("edgetrack/porch/status", b"offline", retain=True))
        assert take(client, 1) == [DeviceStatus("porch", online=False)]
    session.close()


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b"[1]", b'{"schema": 2}', b"null", b"9" * 10_000])
def test_messages_that_are_no_alerts_are_counted_and_skipped(
    broker: Broker, send: Callable[..., str], payload: bytes
) -> None:
    with AlertClient(BrokerSettings(url=broker.url)) as client:
        session = Session(BrokerSettings(url=broker.url), "odd").open()
        session.publish(Message("edgetrack/porch/front/alerts", payload))
        wait_until(lambda: session.step(0.05).published != [])
        session.close()
        good = send(1)
        assert [event.id for event in take(client, 1) if isinstance(event, AlertPayload)] == [good]
        assert client.invalid == 1


def test_no_broker_is_one_clear_line(closed_port: int) -> None:
    with pytest.raises(BrokerError, match="connection refused"):
        next(AlertClient(BrokerSettings(url=f"mqtt://127.0.0.1:{closed_port}")).events())


def test_kept_session_without_a_client_id_is_refused() -> None:
    with pytest.raises(ConfigError, match="client_id"):
        AlertClient(BrokerSettings(), keep_session_s=60)
