"""MQTT 5's properties and options, and messages, between paho's words and ours."""

from __future__ import annotations

from typing import Any

from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.alerts.messages import Message

MAX_PACKET_BYTES = 1 << 20


def connect_options(session_expiry_s: int, *, plain: bool) -> dict[str, Any]:
    """Arguments for paho's `connect`: what the broker shall keep, and the largest packet that it may send.

    Args:
        session_expiry_s: 0 keeps nothing.
        plain: add no properties, which brokers of 3.1.1 take for lengths.
    """
    options: dict[str, Any] = {"clean_start": session_expiry_s == 0}
    if not plain:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        if session_expiry_s:
            properties.SessionExpiryInterval = session_expiry_s
        options["properties"] = properties
    return options


def publish_properties(message: Message) -> Properties | None:
    """The properties of an answer to a request; other messages have none."""
    if message.correlation is None:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = message.correlation
    return properties


def subscribe_options(qos: int, *, retained: bool) -> SubscribeOptions:
    """How a topic filter is asked for, with or without what is retained."""
    handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if retained else SubscribeOptions.RETAIN_DO_NOT_SEND
    return SubscribeOptions(qos=qos, retainHandling=handling)


def received(message: MQTTMessage) -> Message:
    """A message that came."""
    answer_to = getattr(message.properties, "ResponseTopic", None)
    correlation = getattr(message.properties, "CorrelationData", None)
    content = bytes(message.payload)
    return Message(message.topic, content, message.qos, message.retain, answer_to, correlation, message.mid)
