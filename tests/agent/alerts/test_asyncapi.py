from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from agent.alerts.asyncapi import asyncapi_document
from agent.alerts.commands import COMMANDS
from agent.alerts.frigate import FrigateEvents
from agent.alerts.schema import build_payload, new_id
from agent.alerts.topics import Topics
from agent.records import Phase
from tests.agent.alerts.conftest import make_alert

DOCUMENT = asyncapi_document()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_document_is_plain_json_and_every_reference_leads_somewhere() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    found = list(references(DOCUMENT))
    assert len(found) > 40
    assert all(resolve(reference) for reference in found)


def test_addresses_are_the_topics_that_are_published_to() -> None:
    addresses = {name: channel["address"] for name, channel in DOCUMENT["channels"].items()}
    filled = {
        name: address.format(device="porch", camera="front", place="gate", rule="r")
        for name, address in addresses.items()
    }
    topics = Topics("edgetrack", "porch")
    assert filled["alerts"] == topics.alerts("front")
    assert filled["status"] == topics.status
    assert filled["counts"] == topics.counts("front", "gate")
    assert filled["request_reload"] == topics.request("reload")
    assert len(set(addresses.values())) == len(addresses)


def test_every_parameter_of_an_address_is_described_and_no_other() -> None:
    for channel in DOCUMENT["channels"].values():
        in_address = set(re.findall(r"\{(\w+)\}", channel["address"]))
        assert channel["parameters"].keys() == in_address


def test_every_command_has_a_request_and_a_reply() -> None:
    for name in COMMANDS:
        operation = DOCUMENT["operations"][name]
        assert operation["action"] == "receive"
        assert (
            resolve(operation["reply"]["channel"]["$ref"])["address"]
            == f"edgetrack/{{device}}/response/{name}"
        )


def test_alert_message_describes_a_real_alert() -> None:
    message = resolve(DOCUMENT["channels"]["alerts"]["messages"]["alerts"]["$ref"])
    validator = Draft202012Validator({**message["payload"], "components": DOCUMENT["components"]})
    payload = build_payload(
        make_alert(), id=new_id(), sequence=1, device="porch", camera="front", clock_synchronised=True
    )
    content = json.loads(payload.to_json())
    validator.validate(content)
    assert not validator.is_valid({**content, "phase": "never"})


def test_event_in_frigates_shape_is_as_described_under_its_topic() -> None:
    channel = DOCUMENT["channels"]["frigate_events"]
    payload = resolve(channel["messages"]["frigate_events"]["$ref"])["payload"]
    validator = Draft202012Validator({**payload, "components": DOCUMENT["components"]})
    alert = build_payload(
        make_alert(phase=Phase.INSTANT),
        id=new_id(),
        sequence=1,
        device="porch",
        camera="front",
        clock_synchronised=True,
    )
    for message in FrigateEvents().messages(alert):
        assert message.topic == channel["address"]
        content = json.loads(message.payload)
        validator.validate(content)
        assert not validator.is_valid({**content, "type": "gone"})
    assert DOCUMENT["operations"]["publish_frigate_events"]["bindings"]["mqtt"] == {"qos": 0, "retain": False}
