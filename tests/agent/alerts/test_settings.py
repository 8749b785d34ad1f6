from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.alerts.credentials import broker_password
from agent.alerts.publisher import outbox_path
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.alerts.topics import AGENT, RESERVED_CAMERA_NAMES, Topics
from agent.config import load_config
from agent.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://localhost:1883", "localhost", 1883, False),
        ("mqtt://broker.local", "broker.local", 1883, False),
        ("mqtts://broker.local", "broker.local", 8883, True),
        ("mqtt://[::1]:2883/", "::1", 2883, False),
    ],
)
def test_url_is_taken_apart(url: str, host: str, port: int, tls: bool) -> None:
    settings = BrokerSettings(url=url)
    assert (settings.host, settings.port, settings.uses_tls) == (host, port, tls)


@pytest.mark.parametrize(
    "url",
    [
        "localhost",
        "http://localhost",
        "mqtt://",
        "mqtt://h:0",
        "mqtt://h:99999",
        "mqtt://h/topic",
        "mqtt://h:x",
    ],
)
def test_url_that_is_no_broker_is_refused_with_what_is_expected(url: str) -> None:
    with pytest.raises(ValidationError, match=r"expected mqtt://host\[:port\]"):
        BrokerSettings(url=url)


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://user:hunter2@broker",
        "mqtt://user:hunter2@broker:188311",
        "mqtt://user:hunter2#x@broker",
        "mqtt://user:hunter2/x@broker:1883",
        "mqtt://user:hunter2?x@broker",
        "mqtt://[user:hunter2@broker",
        "user:hunter2@broker",
    ],
)
def test_url_with_a_password_is_refused_without_showing_it(url: str, tmp_path: Path) -> None:
    file = tmp_path / "edgetrack.yaml"
    file.write_text(f"device: porch\nbroker: {{url: '{url}'}}\ncameras: {{}}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert "edgetrack.yaml:2 broker.url: expected mqtt://host[:port]" in caught.value.faults[0]
    assert "with a user in it; use `username`" in caught.value.faults[0]
    assert not [fault for fault in caught.value.faults if "hunter2" in fault]


def test_url_with_a_password_in_place_of_the_section_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "edgetrack.yaml"
    file.write_text("device: porch\nbroker: mqtt://user:hunter2@broker\ncameras: {}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert "broker: expected a mapping, got another value" in caught.value.faults[0]


def test_url_with_a_password_and_no_host_is_refused_without_showing_it() -> None:
    with pytest.raises(ValidationError) as caught:
        BrokerSettings(url="mqtt://user:hunter2")
    assert "hunter2" not in caught.value.errors()[0]["msg"]


def test_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="got no key"):
        BrokerSettings.model_validate({"tls": {"cert": "device.crt"}})


@pytest.mark.parametrize("root", ["", "a b", "edge/#", "+", "/edge", "edge/"])
def test_topic_root_with_wildcards_or_empty_levels_is_refused(root: str) -> None:
    with pytest.raises(ValidationError):
        BrokerSettings(topic_root=root)


def test_password_sources_win_in_the_documented_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("from-file\nsecond line\n")
    (tmp_path / "edgetrack-broker-password").write_text("from-systemd\n")
    inline = BrokerSettings.model_validate({"password": "from-yaml"})
    with_file = BrokerSettings.model_validate({"password": "from-yaml", "password_file": str(file)})
    monkeypatch.delenv("EDGETRACK_BROKER_PASSWORD", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert broker_password(BrokerSettings()) is None
    assert broker_password(inline) == "from-yaml"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert broker_password(inline) == "from-systemd"
    assert broker_password(with_file) == "from-file"
    monkeypatch.setenv("EDGETRACK_BROKER_PASSWORD", "from-environment")
    assert broker_password(with_file) == "from-environment"


def test_password_is_not_shown_by_repr() -> None:
    assert "hunter2" not in repr(BrokerSettings.model_validate({"password": "hunter2"}))


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\n"])
def test_password_file_that_holds_none_is_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^broker.password_file: expected "):
        broker_password(BrokerSettings(password_file=file))


def test_outbox_lies_in_systemds_state_directory_when_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/other")
    assert outbox_path(OutboxSettings(), "porch") == tmp_path / "outbox-porch.sqlite"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert outbox_path(OutboxSettings(), "porch") == tmp_path / "state" / "edgetrack" / "outbox-porch.sqlite"
    assert outbox_path(OutboxSettings(path=tmp_path / "x"), "porch") == tmp_path / "x"


def test_reserved_camera_names_are_exactly_those_that_would_collide() -> None:
    topics = Topics("edgetrack", "porch")
    device_topics = [
        topics.status,
        topics.health,
        topics.acknowledged,
        topics.request("x"),
        topics.response("x"),
        topics.alerts(AGENT),
    ]
    assert {topic.split("/")[2] for topic in device_topics} == RESERVED_CAMERA_NAMES
