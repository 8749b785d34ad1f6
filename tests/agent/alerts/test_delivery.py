"""The publisher at a real mosquitto."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.alerts.embedded_broker import embedded_broker
from agent.alerts.messages import Message
from agent.alerts.mqtt import Session, check_broker
from agent.alerts.publisher import AlertPublisher
from agent.alerts.schema import ModelPart
from agent.alerts.settings import BrokerSettings, OutboxSettings, TlsSettings
from agent.client import AlertClient, DeviceStatus
from agent.errors import BrokerError
from agent.records import Phase
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults.broker import Broker

MakePublisher = Callable[..., AlertPublisher]


class Receiver:
    """All that comes on some topics, gathered by `gather`."""

    def __init__(self, url: str, *filters: str, **settings: object) -> None:
        broker = BrokerSettings.model_validate({"url": url, **settings})
        self._session = Session(broker, "receiver").open()
        waiting = set(filters)
        self.messages: list[Message] = []
        for topic_filter in filters:
            self._session.subscribe(topic_filter)
        while waiting:
            events = self._session.step(1.0)
            waiting -= {*events.subscribed}
            self.messages += events.messages

    def gather(self, until: Callable[[list[Message]], bool], timeout_s: float = 30.0) -> list[Message]:
        def arrived() -> bool:
            self.messages += self._session.step(0.05).messages
            return until(self.messages)

        wait_until(arrived, timeout_s, "messages arriving")
        return self.messages

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def make_receiver() -> Iterator[Callable[..., Receiver]]:
    receivers: list[Receiver] = []

    def make(*arguments: str, **settings: object) -> Receiver:
        receivers.append(Receiver(*arguments, **settings))
        return receivers[-1]

    yield make
    for receiver in receivers:
        receiver.close()


def test_alert_arrives_as_the_payload_that_was_built(
    broker: Broker, make_publisher: MakePublisher, make_receiver: Callable[..., Receiver]
) -> None:
    receiver = make_receiver(broker.url, "edgetrack/#")
    publisher = make_publisher(broker.url)
    id_ = publisher.publish(make_alert(), "front", model=ModelPart(name="person-320"))
    messages = receiver.gather(lambda seen: any(message.topic.endswith("/alerts") for message in seen))
    (alert,) = [message for message in messages if message.topic == "edgetrack/porch/front/alerts"]
    content = json.loads(alert.payload)
    assert (content["id"], content["sequence"], content["device"], content["camera"]) == (
        id_,
        1,
        "porch",
        "front",
    )
    assert content["model"] == {"name": "person-320", "version": "0"}
    assert publisher.drain(30)
    assert publisher.stats.protocol == "5"
    assert publisher.stats.queued == 0


def test_alerts_made_without_a_broker_are_delivered_in_order_once_there_is_one(
    make_broker: Callable[..., Broker], make_publisher: MakePublisher, make_receiver: Callable[..., Receiver]
) -> None:
    broker = make_broker()
    broker.kill()
    publisher = make_publisher(broker.url, needs_receiver=True)  # it may be back before its receiver is
    ids = [publisher.publish(make_alert(), "front") for _ in range(50)]
    wait_until(lambda: publisher.stats.broker_error is not None)
    assert "connection refused" in str(publisher.stats.broker_error)
    assert not publisher.stats.connected
    assert publisher.stats.queued == 50
    broker.start()
    receiver = make_receiver(broker.url, "edgetrack/+/+/alerts")
    messages = receiver.gather(lambda seen: len(seen) >= 50)
    assert [json.loads(message.payload)["id"] for message in messages] == ids


def test_alerts_survive_the_end_of_the_process_with_their_ids(
    make_broker: Callable[..., Broker], tmp_path: Path, make_receiver: Callable[..., Receiver]
) -> None:
    broker = make_broker()
    settings = BrokerSettings(url="mqtt://127.0.0.1:1")
    first = AlertPublisher(settings, OutboxSettings(path=tmp_path / "o.sqlite"), "porch")
    ids = [first.publish(make_alert(), "front") for _ in range(3)]
    first.close()
    receiver = make_receiver(broker.url, "edgetrack/+/+/alerts")
    with AlertPublisher(
        BrokerSettings(url=broker.url), OutboxSettings(path=tmp_path / "o.sqlite"), "porch"
    ) as second:
        ids.append(second.publish(make_alert(), "front"))
        messages = receiver.gather(lambda seen: len(seen) >= 4)
    assert [json.loads(message.payload)["id"] for message in messages] == ids
    assert [json.loads(message.payload)["sequence"] for message in messages] == [1, 2, 3, 4]


def test_status_is_retained_online_then_offline_and_the_will_speaks_for_a_killed_process(
    broker: Broker, make_receiver: Callable[..., Receiver], tmp_path: Path
) -> None:
    receiver = make_receiver(broker.url, "edgetrack/porch/status")
    publisher = AlertPublisher(BrokerSettings(url=broker.url), OutboxSettings(path=tmp_path / "o"), "porch")
    publisher.start()
    receiver.gather(lambda seen: [message.payload for message in seen] == [b"online"])
    publisher.close()
    receiver.gather(lambda seen: [message.payload for message in seen] == [b"online", b"offline"])
    will = Message("edgetrack/porch/status", b"offline", retain=True)
    dying = Session(BrokerSettings(url=broker.url), "edgetrack-porch", will=will).open()
    dying.publish(Message("edgetrack/porch/status", b"online", retain=True))
    wait_until(lambda: dying.step(0.05).published != [], what="the broker taking it")
    dying._close_socket()  # no DISCONNECT, as when the process is killed
    receiver.gather(lambda seen: [message.payload for message in seen][2:] == [b"online", b"offline"])
    late = make_receiver(broker.url, "edgetrack/porch/status")
    (message,) = late.gather(lambda seen: len(seen) == 1)
    assert (message.payload, message.retain) == (b"offline", True)


def test_retained_states_come_back_after_the_broker_lost_them(
    make_broker: Callable[..., Broker], make_publisher: MakePublisher, make_receiver: Callable[..., Receiver]
) -> None:
    broker = make_broker()
    publisher = make_publisher(broker.url)
    publisher.set_camera_status("front", {"state": "starting"})
    publisher.set_camera_status("front", {"state": "online"})
    publisher.publish_retained("edgetrack/porch/front/counts/gate", "3")
    assert publisher.drain(30)
    wait_until(lambda: publisher.stats.connected)
    broker.kill()
    wait_until(lambda: not publisher.stats.connected)
    broker.start()
    receiver = make_receiver(broker.url, "edgetrack/#")
    messages = receiver.gather(lambda seen: len({message.topic for message in seen}) == 3)
    assert {message.topic: message.payload for message in messages} == {
        "edgetrack/porch/status": b"online",
        "edgetrack/porch/front/status": b'{"state":"online"}',
        "edgetrack/porch/front/counts/gate": b"3",
    }


def test_more_retained_topics_than_the_window_are_all_published(
    broker: Broker, make_publisher: MakePublisher, make_receiver: Callable[..., Receiver]
) -> None:
    publisher = make_publisher(broker.url, in_flight=2)
    for number in range(60):
        publisher.publish_retained(f"edgetrack/porch/front/counts/{number}", str(number))
        publisher.publish(make_alert(), "front")
    assert publisher.drain(30)
    receiver = make_receiver(broker.url, "edgetrack/porch/front/counts/+")
    assert len(receiver.gather(lambda seen: len(seen) == 60)) == 60
    assert publisher.stats.connects == 1


def test_alerts_refused_by_access_rules_wait_while_others_pass(
    make_broker: Callable[..., Broker],
    tmp_path: Path,
    make_publisher: MakePublisher,
    make_receiver: Callable[..., Receiver],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite edgetrack/porch/status\ntopic readwrite edgetrack/porch/front/alerts\n")
    broker = make_broker(listener=f"allow_anonymous true\nacl_file {rules}")
    receiver = make_receiver(broker.url, "edgetrack/porch/front/alerts")
    publisher = make_publisher(broker.url)
    for _ in range(5):
        publisher.publish(make_alert(), "back")
        publisher.publish(make_alert(), "front")
    receiver.gather(lambda seen: len(seen) == 5)
    wait_until(lambda: publisher.stats.queued == 5)
    assert publisher.stats.refused >= 1
    complaints = [
        record for record in caplog.records if "refuses the alert: Not authorized" in record.getMessage()
    ]
    assert len(complaints) == 1


@pytest.fixture
def guarded(make_broker: Callable[..., Broker], tmp_path: Path) -> Broker:
    """A broker with one user: porch, whose password is secret."""
    passwords = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", passwords, "porch", "secret"], check=True, capture_output=True
    )
    return make_broker(listener=f"allow_anonymous false\npassword_file {passwords}")


def test_wrong_password_is_one_clear_line(guarded: Broker) -> None:
    wrong = BrokerSettings.model_validate({"url": guarded.url, "username": "porch", "password": "hunter2"})
    with pytest.raises(BrokerError, match="check username and password") as caught:
        check_broker(wrong, "porch")
    assert caught.value.exit_code == 69
    assert "hunter2" not in str(caught.value)
    right = wrong.model_copy(
        update={"password": BrokerSettings.model_validate({"password": "secret"}).password}
    )
    assert check_broker(right, "porch") == "5"


def test_refused_connack_is_never_connected_and_reported_once(
    guarded: Broker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = make_publisher(guarded.url, username="porch", password="hunter2", reconnect_max_s=0.1)
    publisher.publish(make_alert(), "front")
    wait_until(lambda: guarded.log.count("not authorised") >= 4, what="four attempts")
    assert not publisher.stats.connected
    assert publisher.stats.connects == 0
    assert publisher.stats.queued == 1
    assert (
        len([record for record in caplog.records if "check username and password" in record.getMessage()])
        == 1
    )
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("mqtt://127.0.0.1:{closed}", "connection refused; start the broker or correct broker.url"),
        ("mqtt://no-such-host.invalid", "expected a known host"),
        ("mqtts://127.0.0.1:{plain}", "expected TLS, got"),
    ],
)
def test_broker_that_cannot_be_reached_is_one_clear_line(
    broker: Broker, closed_port: int, url: str, line: str
) -> None:
    settings = BrokerSettings(url=url.format(closed=closed_port, plain=broker.port))
    with pytest.raises(BrokerError, match=line):
        check_broker(settings, "porch")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.crt, server.crt for localhost, client.crt, with their keys."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make certificates")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.crt")
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    for name in ("server", "client"):
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        sign = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", *sign, "-out", f"{name}.crt")
    return folder


@pytest.fixture
def tls_broker(make_broker: Callable[..., Broker], certificates: Path) -> Broker:
    """A broker that asks for client certificates."""
    lines = [
        f"cafile {certificates}/ca.crt",
        f"certfile {certificates}/server.crt",
        f"keyfile {certificates}/server.key",
    ]
    return make_broker(listener="\n".join([*lines, "require_certificate true", "allow_anonymous true"]))


def test_alerts_travel_over_tls_with_a_client_certificate(
    tls_broker: Broker,
    certificates: Path,
    make_publisher: MakePublisher,
    make_receiver: Callable[..., Receiver],
) -> None:
    url = f"mqtts://localhost:{tls_broker.port}"
    tls = {
        "ca": certificates / "ca.crt",
        "cert": certificates / "client.crt",
        "key": certificates / "client.key",
        "min_version": "1.3",
    }
    receiver = make_receiver(url, "edgetrack/+/+/alerts", tls=tls)
    publisher = make_publisher(url, tls=tls)
    ids = [publisher.publish(make_alert(), "front") for _ in range(100)]
    messages = receiver.gather(lambda seen: len(seen) == 100)
    assert [json.loads(message.payload)["id"] for message in messages] == ids


def test_certificate_of_an_unknown_authority_or_for_another_name_is_refused(
    tls_broker: Broker, certificates: Path
) -> None:
    with pytest.raises(BrokerError, match=r"certificate that can be verified.*set broker.tls.ca"):
        check_broker(BrokerSettings(url=f"mqtts://localhost:{tls_broker.port}"), "porch")
    tls = TlsSettings(ca=certificates / "ca.crt")
    with pytest.raises(BrokerError, match="certificate that can be verified"):
        check_broker(BrokerSettings(url=f"mqtts://127.0.0.1:{tls_broker.port}", tls=tls), "porch")
    with pytest.raises(BrokerError, match=r"^broker.tls: expected PEM files"):
        check_broker(
            BrokerSettings(url="mqtts://localhost", tls=TlsSettings(ca=certificates / "nothing")), "porch"
        )
    with pytest.raises(BrokerError):  # this device shows no certificate
        check_broker(BrokerSettings(url=f"mqtts://localhost:{tls_broker.port}", tls=tls), "porch")


def test_broker_of_3_1_1_is_spoken_to_in_3_1_1(make_publisher: MakePublisher) -> None:
    pytest.importorskip("amqtt", reason="needs amqtt (extra demo)")
    with embedded_broker() as url:
        assert check_broker(BrokerSettings(url=url), "porch") == "3.1.1"
        with pytest.raises(BrokerError, match="expected an MQTT 5 broker"):
            check_broker(BrokerSettings(url=url, protocol="5"), "porch")
        with AlertClient(BrokerSettings(url=url)) as client:
            publisher = make_publisher(url)
            ids = [publisher.publish(make_alert(phase=phase), "front") for phase in Phase]
            received = []
            for event in client.events(timeout_s=30):
                if not isinstance(event, DeviceStatus):
                    received.append(event)
                if len(received) == len(ids):
                    break
            assert [getattr(event, "id", None) for event in received] == ids
        assert publisher.stats.protocol == "3.1.1"
        publisher.close(2.0)


def test_close_without_a_broker_returns_in_time_and_keeps_the_alerts(
    make_publisher: MakePublisher, tmp_path: Path
) -> None:
    publisher = make_publisher("mqtt://127.0.0.1:1")
    publisher.publish(make_alert(), "front")
    assert not publisher.drain(0.1)
    publisher.close(2.0)
    again = AlertPublisher(BrokerSettings(), OutboxSettings(path=tmp_path / "porch.sqlite"), "porch")
    assert again.stats.queued == 1
    again.close()


def test_dropped_alerts_are_counted_in_health_and_told_of_once(
    make_broker: Callable[..., Broker], make_receiver: Callable[..., Receiver], tmp_path: Path
) -> None:
    broker = make_broker()
    topics = [f"edgetrack/porch/{name}" for name in ("agent/alerts", "health", "status")]
    receiver = make_receiver(broker.url, *topics)
    outbox = OutboxSettings(path=tmp_path / "outbox.sqlite", max_size_mb=0.01)
    first = AlertPublisher(BrokerSettings(url="mqtt://127.0.0.1:1"), outbox, "porch")
    for _ in range(60):
        first.publish(make_alert(), "front")
    dropped = first.stats.dropped
    assert dropped > 20
    first.close()
    with AlertPublisher(BrokerSettings(url=broker.url), outbox, "porch") as second:
        assert second.drain(30), "an outbox that is still full may drop another one for the gap's alert"
        for _ in range(3):
            health = second.publish_health({})
        assert health.outbox.dropped == dropped
        assert second.drain(30)
    messages = receiver.gather(lambda seen: seen[-1].payload == b"offline" if seen else False)
    assert {message.topic for message in messages} == {*topics}
    (gap,) = [json.loads(message.payload) for message in messages if message.topic.endswith("/alerts")]
    assert (gap["kind"], gap["camera"], gap["rule"]) == ("gap", "agent", "agent")
    assert gap["evidence"] == {"dropped": dropped, "dropped_in_all": dropped}
    third = AlertPublisher(BrokerSettings(url="mqtt://127.0.0.1:1"), outbox, "porch")
    assert third._outbox.untold == 0
    third.close()


def test_alerts_that_nobody_hears_wait_for_a_receiver_where_that_is_asked_for(
    broker: Broker, make_publisher: MakePublisher, make_receiver: Callable[..., Receiver]
) -> None:
    publisher = make_publisher(broker.url, needs_receiver=True)
    ids = [publisher.publish(make_alert(), "front") for _ in range(30)]
    wait_until(lambda: publisher.stats.sent > 0)
    assert not publisher.drain(0.5)
    receiver = make_receiver(broker.url, "edgetrack/+/+/alerts")
    messages = receiver.gather(lambda seen: len({message.payload for message in seen}) == 30, 60)
    received = [json.loads(message.payload)["id"] for message in messages]
    assert received == ids
    assert publisher.drain(30)


def test_alerts_that_nobody_hears_are_the_brokers_otherwise(
    broker: Broker, make_publisher: MakePublisher
) -> None:
    publisher = make_publisher(broker.url)
    publisher.publish(make_alert(), "front")
    assert publisher.drain(30)
