"""Two clients of one id: what is said, and that they do not go on at each other's throat."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.alerts.takeover import ConnectionLostError, TakeoverWatch
from agent.client import AlertClient
from agent.errors import BrokerError
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults.broker import Broker

MakePublisher = Callable[..., AlertPublisher]
SAID = "another client probably uses the same id `edgetrack-porch`"
LOST = ConnectionLostError("broker b:1883", "connection lost")


class Life:
    """A watch and its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.watch = TakeoverWatch.of_device(BrokerSettings(), "porch")
        self.watch._monotonic = lambda: self.now_s

    def ends(
        self,
        after_s: float,
        error: BrokerError = LOST,
        *,
        worked: bool = True,
        unanswered: bool = False,
    ) -> bool:
        self.watch.connected()
        self.now_s += after_s
        return self.watch.ended(error, worked=worked, unanswered=unanswered)


def test_two_agents_of_one_name_are_told_so_once(
    broker: Broker, make_publisher: MakePublisher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_publisher(broker.url)
    settings = BrokerSettings(url=broker.url, reconnect_max_s=0.5)
    with AlertPublisher(settings, OutboxSettings(path=tmp_path / "second.sqlite"), "porch") as second:

        def both_connected_often() -> bool:
            for publisher in (first, second):
                if publisher.stats.queued == 0:  # what is brought made each attempt the first one
                    publisher.publish(make_alert(), "front")
            return min(first.stats.connects, second.stats.connects) >= 7

        wait_until(both_connected_often, 60.0, "each to be thrown out often")
        second._delivery.stop(5.0)
        second._delivery._thread.join(30)
    said = [line for line in caplog.messages if SAID in line]
    assert len(said) == 2  # each for itself
    assert said[0].endswith("each throws the other out; give each device its own `device:` name")
    assert len([line for line in caplog.messages if "expected to stay connected" in line]) <= 8


def test_two_receivers_of_one_id_are_told_so(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    settings = BrokerSettings(url=broker.url, reconnect_max_s=0.3)
    clients = [AlertClient(settings, client_id="siren").open() for _ in range(2)]
    threads = [threading.Thread(target=lambda client=client: [*client.alerts()]) for client in clients]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    wait_until(lambda: caplog.text.count("probably uses the same id `siren`") == 2, 30.0, "both to be told")
    for client, thread in zip(clients, threads, strict=True):
        client.close()
        thread.join(30)
        client._disconnect()


def test_broker_that_names_the_cause_is_believed_at_once(
    make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                connection.recv(4096)
                connection.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK of MQTT 5
                came = b""
                while b"online" not in came:
                    came += connection.recv(4096)
                connection.sendall(b"\xe0\x02\x8e\x00")  # DISCONNECT, session taken over
                while connection.recv(4096):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        publisher = make_publisher(f"mqtt://127.0.0.1:{listener.getsockname()[1]}", protocol="5")
        wait_until(lambda: "another client uses the same id `edgetrack-porch`" in caplog.text, 30.0)
        assert publisher.stats.connects == 1
        publisher.close(1.0)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(30)


def test_attempts_become_rarer_only_while_connections_are_taken_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    life = Life()
    assert [life.ends(1.0) for _ in range(4)] == [True, True, False, False]
    assert life.ends(6.0)
    assert [life.ends(1.0) for _ in range(4)] == [False] * 4
    assert caplog.text.count(SAID) == 1
    assert life.ends(31.0, worked=False)
    assert [life.ends(1.0) for _ in range(3)] == [True, True, False]
    assert caplog.text.count(SAID) == 2


def test_brokers_that_are_away_or_close_over_a_message_or_late_are_no_takeover(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    life = Life()
    for _ in range(6):
        life.ends(1.0)
        life.ends(1.0)
        life.watch.ended(BrokerError("broker b:1883", "expected a broker"), worked=False, unanswered=False)
    for _ in range(6):
        life.ends(1.0, unanswered=True)
        life.ends(6.0)
        life.ends(1.0, BrokerError("broker b:1883", "expected acknowledgements, got none in 1 s"))
    assert caplog.messages == []


def test_configured_client_id_is_what_is_to_be_changed(caplog: pytest.LogCaptureFixture) -> None:
    watch = TakeoverWatch.of_device(BrokerSettings(client_id="mine"), "porch")
    watch.connected()
    error = ConnectionLostError("broker b:1883", "Session taken over")
    watch.ended(error, worked=False, unanswered=True)
    assert caplog.messages[0].endswith(
        "another client uses the same id `mine`, and each throws the other out; "
        "give each device its own `broker.client_id`, or none"
    )
