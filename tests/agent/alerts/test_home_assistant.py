from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.alerts.commands import parse_request
from agent.alerts.home_assistant import CameraEntities, discovery_payload
from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.publisher import AlertPublisher
from agent.alerts.schema import build_payload, new_id
from agent.alerts.settings import BrokerSettings, HomeAssistantSettings, OutboxSettings
from agent.alerts.states import (
    ArmedPayload,
    CameraHealth,
    OutboxHealth,
    counts_payloads,
    health_payload,
    payload_bytes,
)
from agent.alerts.topics import Topics
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults.broker import Broker

TOPICS = Topics("edgetrack", "porch")
ENTITIES = CameraEntities(
    zones=["drive"],
    tripwires=["gate"],
    rules=["enter-drive"],
    kinds=["enter", "cross"],
    snapshots=["enter-drive"],
)
COUNTS = {
    "day": "2026-05-01",
    "zones": {"drive": {"now": {"person": 2, "car": 1}, "today": {"entered": {"person": 5}}, "total": {}}},
    "tripwires": {"gate": {"today": {"a-to-b": {"car": 2}}, "total": {"a-to-b": {"car": 7, "person": 1}}}},
}
# What Home Assistant asks of each platform beside `p` and `unique_id`: its MQTT integration pages.
REQUIRED = {
    "binary_sensor": {"state_topic"},
    "sensor": {"state_topic"},
    "event": {"state_topic", "event_types"},
    "image": {"image_topic"},
    "switch": {"command_topic"},
    "button": {"command_topic"},
}


@pytest.fixture(params=[True, False], ids=["commands", "no-commands"])
def payload(request: pytest.FixtureRequest) -> dict[str, Any]:
    return discovery_payload(TOPICS, {"front": ENTITIES, "back": CameraEntities()}, commands=request.param)


def component(payload: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [entry for entry in payload["cmps"].values() if entry["name"] == name]
    return dict(found)


def render(template: str, content: bytes) -> str:
    """As Home Assistant does: Jinja with `value_json` and its own `to_json`."""
    jinja2 = pytest.importorskip("jinja2", reason="needs jinja2 (extra converter)")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["to_json"] = json.dumps
    return str(environment.from_string(template).render(value_json=json.loads(content)))


def test_payload_has_what_device_discovery_asks_for(payload: dict[str, Any]) -> None:
    assert payload["dev"]["ids"]
    assert payload["o"]["name"] == "edgetrack"
    assert payload["availability"] == [{"topic": "edgetrack/porch/status"}]
    for entry in payload["cmps"].values():
        assert entry.keys() >= {"p", "unique_id", "name"} | REQUIRED[entry["p"]]


def test_ids_are_letters_digits_dashes_and_unique_although_names_join_alike() -> None:
    cameras = {
        "a": CameraEntities(zones=["b_c"], rules=["r"]),
        "a_b": CameraEntities(zones=["c"], rules=["r"]),
    }
    components = discovery_payload(TOPICS, cameras, commands=True)["cmps"]
    assert len(components) == len({entry["unique_id"] for entry in components.values()})
    assert sum(entry["name"].endswith("occupied") for entry in components.values()) == 2
    assert all(
        re.fullmatch(r"[a-zA-Z0-9_-]+", name) and name == entry["unique_id"]
        for name, entry in components.items()
    )


def test_ids_do_not_change_when_other_cameras_are_added() -> None:
    alone = discovery_payload(TOPICS, {"front": ENTITIES}, commands=True)["cmps"]
    both = discovery_payload(TOPICS, {"back": ENTITIES, "front": ENTITIES}, commands=True)["cmps"]
    assert alone.keys() < both.keys()


def test_templates_give_states_from_the_payloads_that_are_published() -> None:
    payload = discovery_payload(TOPICS, {"front": ENTITIES}, commands=True)
    counts = {name: payload_bytes(content) for name, content in counts_payloads(COUNTS).items()}
    for name, topic, content, expected in (
        ("front drive occupied", "counts/drive", counts["drive"], "ON"),
        ("front drive objects", "counts/drive", counts["drive"], "3"),
        ("front gate a-to-b", "counts/gate", counts["gate"], "8"),
        ("front gate b-to-a", "counts/gate", counts["gate"], "0"),
        ("front camera", "status", b'{"state":"online"}', "ON"),
        ("front camera", "status", b'{"state":"lost"}', "OFF"),
        (
            "front enter-drive armed",
            "armed",
            payload_bytes(ArmedPayload(rules={"enter-drive": False})),
            "OFF",
        ),
    ):
        entry = component(payload, name)
        assert entry["state_topic"] == f"edgetrack/porch/front/{topic}"
        assert render(entry["value_template"], content) == expected


def test_a_cameras_figures_come_from_the_health_of_the_device() -> None:
    payload = discovery_payload(
        TOPICS, {"front": ENTITIES, "back-door": CameraEntities(), "side": CameraEntities()}, commands=False
    )
    health = health_payload(
        OutboxHealth(queued=0, in_memory=0, acknowledged=1, refused=0, dropped=0, damaged=0),
        1,
        {
            "front": CameraHealth(state="online", fps=4.95, inference_ms=21.5, dropped=3),
            "back-door": CameraHealth(state="lost"),
        },
        Path("/"),
    )
    for name, expected in (
        ("front frames per second", "4.95"),
        ("front inference", "21.5"),
        ("front dropped frames", "3"),
        ("back-door inference", "None"),
        ("side inference", "None"),
    ):
        entry = component(payload, name)
        assert entry["state_topic"] == "edgetrack/porch/health"
        assert render(entry["value_template"], payload_bytes(health)) == expected


def test_event_entity_gets_json_with_an_event_type_it_knows() -> None:
    entry = component(discovery_payload(TOPICS, {"front": ENTITIES}, commands=False), "front alert")
    for alert in (make_alert(), make_alert(track=None, zone=None, kind="cross", tripwire="gate")):
        sent = build_payload(
            alert, id=new_id(), sequence=1, device="porch", camera="front", clock_synchronised=True
        )
        event = json.loads(render(entry["value_template"], sent.to_json()))
        assert event["event_type"] in entry["event_types"]
        assert event["id"] == sent.id
        assert event["label"] == (sent.track.label if sent.track else None)
        assert event["tripwire"] == sent.tripwire


def test_switches_and_buttons_send_requests_that_are_commands() -> None:
    payload = discovery_payload(TOPICS, {"front": ENTITIES}, commands=True)
    requests = [
        (entry["command_topic"], entry[key])
        for entry in payload["cmps"].values()
        for key in ("payload_on", "payload_off", "payload_press")
        if key in entry
    ]
    assert len(requests) == 4
    for topic, content in requests:
        parse_request(topic.removeprefix("edgetrack/porch/request/"), content.encode())


def test_nothing_to_press_where_commands_are_not_taken() -> None:
    payload = discovery_payload(TOPICS, {"front": ENTITIES}, commands=False)
    assert not {"switch", "button"} & {entry["p"] for entry in payload["cmps"].values()}


class House:
    """Home Assistant's place at the broker."""

    def __init__(self, url: str) -> None:
        self.session = Session(BrokerSettings(url=url), "house").open()
        self.session.subscribe("homeassistant/device/#")
        self.messages: list[dict[str, Any]] = []

    def wait(self, number: int) -> list[dict[str, Any]]:
        def came() -> bool:
            self.messages += [json.loads(message.payload) for message in self.session.step(0.05).messages]
            return len(self.messages) >= number

        wait_until(came, what=f"{number} discovery messages")
        return self.messages


@pytest.fixture
def make_described(broker: Broker, tmp_path: Path) -> Callable[..., AlertPublisher]:
    def make(**cameras: CameraEntities) -> AlertPublisher:
        publisher = AlertPublisher(
            BrokerSettings(url=broker.url),
            OutboxSettings(path=tmp_path / "outbox.sqlite"),
            "porch",
            HomeAssistantSettings(enabled=True),
        )
        publisher.describe_cameras(cameras)
        return publisher

    return make


def test_discovery_is_retained_and_sent_again_when_home_assistant_starts(
    broker: Broker, make_described: Callable[..., AlertPublisher]
) -> None:
    house = House(broker.url)
    with make_described(front=ENTITIES) as publisher:
        publisher.publish_counts("front", COUNTS)
        publisher.publish_health({"front": CameraHealth(state="online", fps=10.0)})
        first = house.wait(1)[0]
        assert len(house.messages) == 1
        house.session.publish(Message("homeassistant/status", b"online"))
        assert house.wait(2)[1] == first
        late = House(broker.url)
        assert late.wait(1)[0] == first
        late.session.close()
    house.session.close()


def test_entities_that_are_gone_are_removed_after_a_restart_and_after_a_reload(
    broker: Broker, make_described: Callable[..., AlertPublisher]
) -> None:
    with make_described(front=ENTITIES):
        house = House(broker.url)
        before = house.wait(1)[0]
        house.session.close()
    house = House(broker.url)
    house.wait(1)
    with make_described(front=CameraEntities(zones=["drive"])) as publisher:

        def removed() -> set[str]:
            house.messages += [json.loads(message.payload) for message in house.session.step(0.05).messages]
            return {
                name
                for message in house.messages
                for name, entry in message["cmps"].items()
                if len(entry) == 1
            }

        after = discovery_payload(TOPICS, {"front": CameraEntities(zones=["drive"])}, commands=False)
        gone = before["cmps"].keys() - after["cmps"].keys()
        assert gone
        wait_until(lambda: removed() == gone)
        publisher.describe_cameras({})
        wait_until(lambda: any("drive" in name for name in removed()))
    house.session.close()
    late = House(broker.url)
    (retained,) = late.wait(1)
    assert all(len(entry) > 1 for entry in retained["cmps"].values())
    assert not any("drive" in name for name in retained["cmps"])
    late.session.close()
