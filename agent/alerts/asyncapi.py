"""All topics and payloads as an AsyncAPI 3 document, made from the names and models that publish them.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from agent.alerts.commands import COMMANDS, Response
from agent.alerts.frigate import FrigateEvent, events_topic
from agent.alerts.home_assistant import birth_topic, discovery_topic
from agent.alerts.receipts import Receipt
from agent.alerts.schema import AlertPayload
from agent.alerts.settings import HomeAssistantSettings
from agent.alerts.states import ArmedPayload, CountsPayload, HealthPayload
from agent.alerts.topics import Topics
from agent.alerts.track_stream import TracksPayload
from agent.version import __version__

_PARAMETERS = {
    "device": "Name of the device.",
    "camera": "Name of the camera.",
    "place": "Name of a zone or tripwire.",
    "rule": "Name of the rule.",
}
_STATUS = {"type": "string", "enum": ["online", "offline"]}
_CAMERA_STATUS = {
    "type": "object",
    "required": ["state"],
    "properties": {
        "state": {"type": "string", "description": "online, or what is wrong."},
        "device": {"type": "object", "description": "What the model runs on, where that is an Edge TPU."},
    },
}


def asyncapi_document(root: str = "edgetrack") -> dict[str, Any]:
    """The document, JSON types only.

    Args:
        root: `broker.topic_root`.
    """
    topics = Topics(root, "{device}")
    models: list[type[BaseModel]] = [
        AlertPayload,
        CountsPayload,
        ArmedPayload,
        HealthPayload,
        Response,
        Receipt,
        TracksPayload,
        FrigateEvent,
    ]
    models += COMMANDS.values()
    _, definitions = models_json_schema(
        [(model, "serialization") for model in models], ref_template="#/components/schemas/{model}"
    )
    schemas = definitions["$defs"]
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}

    def channel(name: str, address: str, text: str, payload: Any, content: str = "application/json") -> None:
        messages[name] = {"name": name, "contentType": content, "payload": payload}
        channels[name] = {
            "address": address,
            "title": text,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
            "parameters": {
                key: {"description": meaning}
                for key, meaning in _PARAMETERS.items()
                if f"{{{key}}}" in address
            },
        }

    def sends(
        name: str, address: str, text: str, payload: Any, *, retain: bool, qos: int = 1, **options: str
    ) -> None:
        channel(name, address, text, payload, **options)
        operations[f"publish_{name}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": text,
            "bindings": {"mqtt": {"qos": qos, "retain": retain}},
        }

    def model(kind: type[BaseModel]) -> dict[str, str]:
        return {"$ref": f"#/components/schemas/{kind.__name__}"}

    sends("alerts", topics.alerts("{camera}"), "Alerts of a camera", model(AlertPayload), retain=False)
    sends(
        "status", topics.status, "Whether the device is connected", _STATUS, retain=True, content="text/plain"
    )
    sends(
        "health", topics.health, "Figures about the device, every minute", model(HealthPayload), retain=True
    )
    sends("camera_status", topics.camera_status("{camera}"), "State of a camera", _CAMERA_STATUS, retain=True)
    sends(
        "counts",
        topics.counts("{camera}", "{place}"),
        "Counts of a zone or tripwire",
        model(CountsPayload),
        retain=True,
    )
    sends("armed", topics.armed("{camera}"), "Which rules are armed", model(ArmedPayload), retain=True)
    sends(
        "snapshot",
        topics.snapshot("{camera}", "{rule}"),
        "Picture of a rule's last alert",
        {"type": "string", "format": "binary"},
        retain=True,
        content="image/jpeg",
    )
    sends(
        "tracks",
        topics.tracks("{camera}"),
        "All objects in sight, where the camera's `track_stream_per_s` asks for it",
        model(TracksPayload),
        retain=False,
        qos=0,
    )
    sends(
        "home_assistant_discovery",
        discovery_topic(HomeAssistantSettings(), topics.device),
        "What Home Assistant is to show, with `home_assistant.enabled`; "
        "the first level is `home_assistant.discovery_prefix`",
        {"type": "object"},
        retain=True,
    )
    sends(
        "frigate_events",
        events_topic(),
        "Alerts with an object in the shape of Frigate's events, with `frigate.enabled`; "
        "the first level is `frigate.topic_prefix`",
        model(FrigateEvent),
        retain=False,
        qos=0,
    )
    channel("home_assistant_status", birth_topic(HomeAssistantSettings()), "State of Home Assistant", _STATUS)
    operations["home_assistant_starts"] = {
        "action": "receive",
        "channel": {"$ref": "#/channels/home_assistant_status"},
        "summary": "At `online` of Home Assistant the discovery message is sent again",
        "bindings": {"mqtt": {"qos": 1}},
    }
    channel("acknowledged", topics.acknowledged, "Alerts that a receiver has", model(Receipt))
    operations["acknowledge"] = {
        "action": "receive",
        "channel": {"$ref": "#/channels/acknowledged"},
        "summary": "Taken where the device is configured with `broker.acknowledge: receiver`",
        "bindings": {"mqtt": {"qos": 1}},
    }
    for name, command in COMMANDS.items():
        text = (command.__doc__ or name).strip().splitlines()[0]
        request, response = f"request_{name}", f"response_{name}"
        channel(request, topics.request(name), text, model(command))
        channel(response, topics.response(name), f"Answer to {name}", model(Response))
        operations[name] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{request}"},
            "summary": text,
            "reply": {"channel": {"$ref": f"#/channels/{response}"}},
            "bindings": {"mqtt": {"qos": 1}},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Edgetrack agent",
            "version": __version__,
            "description": "What a device publishes over MQTT, and what it can be told. Alerts are delivered "
            "at least once to the broker, in order per camera; repeats carry the same id.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": {"host": "localhost:1883", "protocol": "mqtt", "protocolVersion": "5"}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }
