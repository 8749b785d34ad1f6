"""MQTT 5's properties, as paho writes them."""

from __future__ import annotations

from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

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


def publish_properties(correlation: bytes) -> Properties:
    """The properties of an answer to a request."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = correlation
    return properties
