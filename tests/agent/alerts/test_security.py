"""docs/security.md, as it stands there, at a real mosquitto; certificates that are not to be believed."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pwd
import shlex
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.alerts.commands import Command
from agent.alerts.messages import Message
from agent.alerts.mqtt import Session, check_broker
from agent.alerts.mqtt_properties import MAX_PACKET_BYTES
from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.client import AlertClient
from agent.doctor.broker import check_persistence
from agent.errors import BrokerError
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults.broker import BINARY, Broker

PAGE = Path(__file__).parents[3] / "docs" / "security.md"
USERS = ("porch", "yard", "siren", "operator", "homeassistant")
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make certificates")


def shown(language: str) -> str:
    """The one block of this language."""
    return PAGE.read_text(encoding="utf-8").split(f"```{language}\n")[1].split("```")[0]


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificate(folder: Path, name: str, *, common_name: str | None = None, days: int = 2) -> None:
    """`name.crt` and `name.key`, signed by `ca`, for localhost; expired where `days` is negative."""
    if not (folder / "ca.crt").exists():
        openssl(
            folder,
            *_NEW,
            "-x509",
            "-days",
            "9",
            "-subj",
            "/CN=Test CA",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        )
        (folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=x\n[x]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n"
            "policy=p\nunique_subject=no\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:localhost\n"
        )
        (folder / "index").touch()
        (folder / "serial").write_text("1000")
    openssl(
        folder, *_NEW, "-subj", f"/CN={common_name or name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"
    )
    now = datetime.datetime.now(datetime.UTC)
    start = now - datetime.timedelta(days=max(1, 2 - days))
    dates = [f"{day:%y%m%d%H%M%SZ}" for day in (start, now + datetime.timedelta(days=days))]
    sign = ("ca", "-batch", "-config", "ca.cnf", "-extensions", "e", "-cert", "ca.crt", "-keyfile", "ca.key")
    dated = ("-startdate", dates[0], "-enddate", dates[1])
    openssl(folder, *sign, *dated, "-in", f"{name}.csr", "-out", f"{name}.crt", "-notext")


_NEW = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class DocumentedBroker:
    """mosquitto with the page's files and commands, its folders and port apart.

    Args:
        folder: for all of it; other users may enter it.
        extra: further lines of the configuration.
    """

    def __init__(self, folder: Path, extra: str = "") -> None:
        self.folder = folder
        certificates = folder / "certs"
        certificates.mkdir()
        make_certificate(certificates, "server")
        (folder / "edgetrack.acl").write_text(shown("acl"))
        for number, user in enumerate(USERS):
            create = ["-c"] if number == 0 else []
            passwords = ["mosquitto_passwd", "-b", *create, folder / "passwords", user, f"secret-{user}"]
            subprocess.run(passwords, check=True, capture_output=True)
        for private in (folder / "passwords", certificates / "server.key"):
            private.chmod(0o600)
        for line in shown("sh").replace("/etc/mosquitto", str(folder)).splitlines():
            _, command, *rest = shlex.split(line, comments=True)
            if command == "chmod" or (command == "chown" and os.geteuid() == 0):
                subprocess.run([command, *rest], check=True)
        lines = shown("conf").replace("/etc/mosquitto", str(folder))
        assert lines.count("listener 8883\n") == 1
        self.broker = Broker(folder, included=lines + extra)

    def settings(self, user: str, **changes: object) -> BrokerSettings:
        return BrokerSettings.model_validate(
            {
                "url": f"mqtts://localhost:{self.broker.port}",
                "username": user,
                "password": f"secret-{user}",
                "tls": {"ca": self.folder / "certs" / "ca.crt"},
                "reconnect_max_s": 0.5,
                **changes,
            }
        )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the user may enter who mosquitto becomes on Debian."""
    if BINARY is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    if os.geteuid() == 0 and "mosquitto" not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip("needs the user mosquitto, as Debian's package makes it")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def make_documented(open_folder: Path) -> Iterator[Callable[..., DocumentedBroker]]:
    """Starts the documented broker and ends it after the test."""
    with contextlib.ExitStack() as stack:

        def make(extra: str = "") -> DocumentedBroker:
            documented = DocumentedBroker(open_folder, extra)
            stack.enter_context(documented.broker)
            return documented

        yield make


@pytest.fixture
def documented(make_documented: Callable[..., DocumentedBroker]) -> DocumentedBroker:
    return make_documented()


def test_broker_of_the_first_hour_on_a_pi_takes_alerts_and_keeps_them(
    open_folder: Path, tmp_path: Path
) -> None:
    page = PAGE.with_name("raspberry-pi.md").read_text(encoding="utf-8")
    command = "printf" + page.split("\nprintf")[1].split("\n```")[0].split("\nsudo systemctl")[0]
    written = command.replace("sudo tee /etc/mosquitto/conf.d/edgetrack.conf", "cat")
    lines = subprocess.run(["sh", "-c", written], check=True, capture_output=True, text=True).stdout
    with Broker(open_folder, included=lines) as broker:
        assert next(iter(check_persistence(BrokerSettings(), open_folder / "mosquitto.conf"))).level == "ok"
        outbox = OutboxSettings(path=tmp_path / "o.sqlite")
        with AlertPublisher(BrokerSettings(url=broker.url), outbox, "porch") as publisher:
            publisher.publish(make_alert(), "front")
            assert publisher.drain(30)


def test_devices_receivers_and_operators_work_with_the_documented_rules(
    documented: DocumentedBroker, tmp_path: Path
) -> None:
    done: list[Command] = []
    settings = documented.settings("porch", acknowledge="receiver", commands=True)
    publisher = AlertPublisher(settings, OutboxSettings(path=tmp_path / "o.sqlite"), "porch")
    publisher.on_command(done.append)
    with AlertClient(documented.settings("siren"), acknowledge=True) as siren, publisher:
        ids = [publisher.publish(make_alert(), "front") for _ in range(5)]
        taken: list[str] = []

        def all_named() -> bool:
            taken.extend(alert.id for alert in siren.alerts(timeout_s=0.2))
            return publisher.stats.acknowledged == 5

        wait_until(all_named, 60, "the receipts coming through")
        assert taken == ids
        assert publisher.drain(30)
        operator = Session(documented.settings("operator"), "operator").open()
        operator.subscribe("edgetrack/porch/response/+")
        operator.publish(Message("edgetrack/porch/request/reload", b""))
        answers: list[Message] = []

        def answered() -> bool:
            answers.extend(operator.step(0.05).messages)
            return bool(answers)

        wait_until(answered)
        assert json.loads(answers[0].payload)["status"] == "ok"
        assert len(done) == 1
        operator.close()


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("yard", "edgetrack/porch/front/alerts"),
        ("yard", "edgetrack/porch/request/set_armed"),
        ("yard", "edgetrack/porch/acknowledged"),
        ("yard", "homeassistant/device/edgetrack-porch/config"),
        ("siren", "edgetrack/porch/request/set_armed"),
        ("siren", "edgetrack/porch/front/alerts"),
        ("operator", "edgetrack/porch/front/alerts"),
        ("homeassistant", "edgetrack/porch/acknowledged"),
    ],
)
def test_documented_rules_refuse_what_is_not_ones_own(
    documented: DocumentedBroker, user: str, topic: str
) -> None:
    session = Session(documented.settings(user, protocol="5"), "x").open()
    mid = session.publish(Message(topic, b"{}"))
    answers: list[tuple[int, str | None]] = []

    def answered() -> bool:
        answers.extend(session.step(0.05).published)
        return bool(answers)

    wait_until(answered)
    assert answers == [(mid, "Not authorized")]
    session.close()


def test_device_does_not_hear_another_devices_requests(documented: DocumentedBroker) -> None:
    yard = Session(documented.settings("yard"), "yard").open()
    yard.subscribe("edgetrack/#")
    operator = Session(documented.settings("operator"), "operator").open()
    wait_until(lambda: bool(yard.step(0.05).subscribed))
    for device in ("porch", "yard"):
        operator.publish(Message(f"edgetrack/{device}/request/reload", b""))
    heard: list[str] = []

    def both_passed() -> bool:
        operator.step(0.02)
        heard.extend(message.topic for message in yard.step(0.05).messages)
        return bool(heard)

    wait_until(both_passed)
    assert heard == ["edgetrack/yard/request/reload"]
    yard.close()
    operator.close()


def test_client_certificate_is_the_user_where_the_page_says_so(
    tmp_path: Path, make_documented: Callable[..., DocumentedBroker]
) -> None:
    documented = make_documented(shown("conf certificates"))
    certificates = documented.folder / "certs"
    make_certificate(certificates, "porch")
    make_certificate(certificates, "old", common_name="porch", days=-1)

    def settings(name: str | None) -> BrokerSettings:
        own = {"cert": certificates / f"{name}.crt", "key": certificates / f"{name}.key"} if name else {}
        plain = {"username": None, "password": None, "tls": {"ca": certificates / "ca.crt", **own}}
        return documented.settings("porch", **plain)

    with AlertPublisher(settings("porch"), OutboxSettings(path=tmp_path / "o.sqlite"), "porch") as publisher:
        publisher.publish(make_alert(), "front")
        assert publisher.drain(30)
        assert publisher.stats.refused == 0
    for name in (None, "old"):
        with pytest.raises(BrokerError) as caught:
            check_broker(settings(name), "porch")
        assert "\n" not in str(caught.value)
        assert "expected TLS" in str(caught.value) or "expected an MQTT" in str(caught.value)


@pytest.mark.parametrize(
    ("certificate", "line"),
    [
        pytest.param(
            {"days": -1}, "certificate that can be verified, got `certificate has expired`", id="expired"
        ),
        pytest.param({"other_ca": True}, "set broker.tls.ca to its authority", id="wrong CA"),
    ],
)
def test_broker_certificate_that_cannot_be_believed_is_one_clear_line(
    tmp_path: Path, make_broker: Callable[..., Broker], certificate: dict[str, int], line: str
) -> None:
    make_certificate(tmp_path, "server", days=certificate.get("days", 2))
    other = tmp_path / "other"
    other.mkdir()
    make_certificate(other, "server")
    tls = f"certfile {tmp_path}/server.crt\nkeyfile {tmp_path}/server.key"
    broker = make_broker(listener=f"allow_anonymous true\n{tls}")
    authority = other if certificate.get("other_ca") else tmp_path
    with pytest.raises(BrokerError) as caught:
        check_broker(
            BrokerSettings.model_validate(
                {"url": f"mqtts://localhost:{broker.port}", "tls": {"ca": authority / "ca.crt"}}
            ),
            "porch",
        )
    assert line in str(caught.value)


def test_broker_of_an_older_tls_than_asked_for_is_refused(tmp_path: Path) -> None:
    make_certificate(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection, context.wrap_socket(connection, server_side=True):
                    pass

        server = threading.Thread(target=answer)
        server.start()
        tls = {"ca": tmp_path / "ca.crt", "min_version": "1.3"}
        url = f"mqtts://localhost:{listener.getsockname()[1]}"
        with pytest.raises(BrokerError, match=r"expected TLS, got `.*version"):
            check_broker(BrokerSettings.model_validate({"url": url, "tls": tls}), "porch")
        server.join(30)


def test_packet_beyond_the_limit_never_reaches_the_device(broker: Broker, tmp_path: Path) -> None:
    done: list[Command] = []
    settings = BrokerSettings(url=broker.url, commands=True)
    publisher = AlertPublisher(settings, OutboxSettings(path=tmp_path / "o.sqlite"), "porch")
    publisher.on_command(done.append)
    with publisher:
        wait_until(lambda: "edgetrack/porch/request/+" in broker.log)
        sender = Session(BrokerSettings(url=broker.url), "sender").open()
        sender.publish(Message("edgetrack/porch/request/reload", b" " * (2 * MAX_PACKET_BYTES)))
        sender.publish(Message("edgetrack/porch/request/reload", b""))

        def carried_out() -> bool:
            sender.step(0.05)
            return bool(done)

        wait_until(carried_out)
        assert publisher.stats.connects == 1
        assert "Dropping too large outgoing PUBLISH for edgetrack-porch" in broker.log
        sender.close()
