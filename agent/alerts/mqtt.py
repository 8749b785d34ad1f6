"""One connection to an MQTT broker, driven by the thread that uses it. Only this module and
`mqtt_properties` import paho.

paho keeps its queue in memory and calls back from its own thread; here a `Session` lives as long as one
connection, hands out what happened as values, and whoever needs more than that opens the next one.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import time
from typing import Any, Self

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, MQTTMessage, error_string
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent.alerts.connecting import CONNECT_TIMEOUT_S, refusal, tls_context, unreachable
from agent.alerts.credentials import broker_password
from agent.alerts.messages import LARGEST_PACKET_BYTES, Events, Message, Waker
from agent.alerts.mqtt_properties import connect_options, publish_properties, received, subscribe_options
from agent.alerts.settings import BrokerSettings
from agent.alerts.takeover import ConnectionLostError
from agent.errors import BrokerError

_CONNACK_TIMEOUT_S = 10.0
# Brokers send small packets with Nagle's wait for a delayed ACK, 40 ms; Linux takes this back at each read.
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", 0)
_NO_MATCHING_SUBSCRIBERS = 0x10  # MQTT 5.0, 3.4.2.1


class _VersionRefusedError(Exception):
    """The broker speaks no MQTT 5, or closed the connection at its sight."""


class Session:
    """One connection: opened once, lost or closed once.

    Args:
        settings: the broker.
        client_id: MQTT client identifier.
        will: what the broker publishes when the connection is lost.
        session_expiry_s: how long the broker keeps subscriptions and queued messages; 0 keeps none.
        manual_confirm: received QoS 1 messages are acknowledged by `confirm` only.
        waker: ends a `step` early.
        version: "5" or "3.1.1" where it is known already, for protocol "auto".
    """

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        *,
        will: Message | None = None,
        session_expiry_s: int = 0,
        manual_confirm: bool = False,
        waker: Waker | None = None,
        version: str | None = None,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._session_expiry_s = session_expiry_s
        self._manual_confirm = manual_confirm
        self._waker = waker
        self._version = version
        self._where = f"broker {settings.host}:{settings.port}"
        self._selector = selectors.DefaultSelector()
        self._events = Events()
        self._filters: dict[int, str] = {}
        self._connack: ReasonCode | None = None
        self._lost_because: str | None = None
        self._client = Client(CallbackAPIVersion.VERSION2)  # one of the right version after `open`
        self.protocol = ""
        """5 or 3.1.1, once open."""
        self.window = settings.in_flight
        """QoS 1 messages that may wait for their acknowledgement at once; more make a broker disconnect."""
        self.max_packet_bytes = LARGEST_PACKET_BYTES
        """What the broker takes; an MQTT 5 broker may say less (3.2.2.3.6) and disconnect at more."""

    def open(self) -> Self:
        """Connect and wait for the broker's word.

        Raises:
            BrokerError: unknown host, refused, no answer, wrong certificate, wrong user or password …
            ConfigError: the password's file cannot be read.
        """
        wanted = self._settings.protocol if self._settings.protocol != "auto" else self._version
        if wanted is None and (self._will is not None or self._session_expiry_s):
            # Brokers of 3.1.1 take what MQTT 5 adds here for lengths and wait for bytes that never come;
            # they do answer a CONNECT that adds nothing.
            wanted = agreed_version(self._settings, f"{self._client_id}-version")
        try:
            if wanted != "3.1.1":
                try:
                    self._open("5")
                    return self
                except _VersionRefusedError:
                    self._close_socket()
                    if wanted == "5":
                        raise
            self._open("3.1.1")
        except _VersionRefusedError as error:
            self._close_socket()
            raise BrokerError(
                self._where,
                f"expected an MQTT {wanted or '5 or 3.1.1'} broker, got {error}",
                "check broker.url and broker.protocol",
            ) from error
        return self

    def _open(self, protocol: str) -> None:
        five = protocol == "5"
        self._connack = self._lost_because = None
        self._client = client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if five else self._session_expiry_s == 0,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=self._manual_confirm,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(self._settings.in_flight)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_subscribe = self._on_publish, self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_open, client.on_socket_close = self._on_socket_open, self._on_socket_close
        password = broker_password(self._settings)
        if self._settings.username is not None or password is not None:
            client.username_pw_set(self._settings.username or "", password)
        if self._settings.uses_tls:
            client.tls_set_context(tls_context(self._settings.tls))
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain)
        plain = self._will is None and not self._session_expiry_s
        options = connect_options(self._session_expiry_s, plain=plain) if five else {}
        try:
            client.connect(self._settings.host, self._settings.port, self._settings.keepalive_s, **options)
        except (OSError, ValueError) as error:
            self._close_socket()
            raise unreachable(self._where, error, tls=self._settings.uses_tls) from error
        self._wait_for_connack()
        self.protocol = protocol
        if self._waker is not None:
            self._selector.register(self._waker.receiver, selectors.EVENT_READ)

    def _wait_for_connack(self) -> None:
        deadline = time.monotonic() + _CONNACK_TIMEOUT_S
        while self._connack is None:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                self._close_socket()
                raise BrokerError(
                    self._where, f"expected an answer to CONNECT, got none in {_CONNACK_TIMEOUT_S:g} s"
                )
            self._turn(min(remaining, 1.0))
            if self._connack is None and self._lost_because is not None:
                raise _VersionRefusedError("the connection closed before an answer")
        reason = self._connack
        if not reason.is_failure:
            return
        name = str(reason)
        if name == "Unsupported protocol version":
            raise _VersionRefusedError("a broker that does not speak it")
        self._close_socket()
        raise refusal(self._where, name)

    def publish(self, message: Message) -> int:
        """Send a message; its packet identifier comes back in `Events.published` (QoS 1 when acknowledged).

        Raises:
            BrokerError: the connection is gone.
        """
        properties = publish_properties(message) if self.protocol == "5" else None
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if info.rc != MQTT_ERR_SUCCESS:
            raise BrokerError(self._where, f"expected to send, got `{error_string(info.rc)}`")
        return info.mid

    @property
    def congested(self) -> bool:
        """Whether what was published before has not left yet: the network takes no more for now."""
        return self._client.want_write()

    def subscribe(self, topic_filter: str, qos: int = 1, *, retained: bool = True) -> None:
        """Ask for messages; a refusal comes back in `Events.refused`.

        Args:
            topic_filter: with MQTT wildcards, `$share/group/…` for a shared subscription.
            qos: highest quality of service wanted.
            retained: whether retained messages are wanted (MQTT 5 only; 3.1.1 always sends them).
        """
        if self.protocol == "5":
            options = subscribe_options(qos, retained=retained)
            rc, mid = self._client.subscribe(topic_filter, options=options)
        else:
            rc, mid = self._client.subscribe(topic_filter, qos)
        if rc != MQTT_ERR_SUCCESS or mid is None:
            raise BrokerError(
                self._where, f"expected to subscribe to {topic_filter}, got `{error_string(rc)}`"
            )
        self._filters[mid] = topic_filter

    def confirm(self, message: Message) -> None:
        """Acknowledge a received message, where the session was made with `manual_confirm`."""
        self._client.ack(message.mid, message.qos)

    def step(self, timeout_s: float) -> Events:
        """Send and receive what can be, for `timeout_s` at most.

        Raises:
            BrokerError: the connection is lost.
        """
        if self._lost_because is None:
            self._turn(timeout_s)
        events, self._events = self._events, Events()
        if self._lost_because is not None and events == Events():  # what came before the end comes first
            raise ConnectionLostError(self._where, self._lost_because)
        return events

    def _turn(self, timeout_s: float) -> None:
        connection: Any = self._client.socket()
        if connection is None:
            self._lost_because = self._lost_because or "connection closed"
            return
        interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._client.want_write() else 0)
        self._selector.modify(connection, interest)
        buffered = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        for key, ready in self._selector.select(0 if buffered else timeout_s):
            if key.fileobj is connection and ready & selectors.EVENT_READ:
                buffered = True
            if key.fileobj is connection and ready & selectors.EVENT_WRITE:
                self._client.loop_write()
        if buffered:
            self._client.loop_read()
            if _QUICK_ACK and self._client.socket() is not None:
                connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        self._client.loop_misc()

    def close(self) -> None:
        """Say goodbye: the broker does not publish the will."""
        if self._client.socket() is not None:
            self._client.disconnect()
            until = time.monotonic() + 1.0
            while self._lost_because is None and self._client.want_write() and time.monotonic() < until:
                self._turn(0.1)
        self._close_socket()
        self._selector.close()

    def _close_socket(self) -> None:
        """Drop the connection without a word."""
        connection: Any = self._client.socket()
        if connection is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(connection)
            connection.close()

    def _on_socket_open(self, _client: Client, _userdata: object, connection: Any) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(connection, selectors.EVENT_READ)

    def _on_socket_close(self, _client: Client, _userdata: object, connection: Any) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection)

    def _on_connect(
        self, _client: Client, _data: object, _flags: object, reason: ReasonCode, properties: Any
    ) -> None:
        self._connack = reason
        self.window = min(self._settings.in_flight, getattr(properties, "ReceiveMaximum", 65535))
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", LARGEST_PACKET_BYTES)

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if self._lost_because is None:
            # paho has no better word for a connection that the other side closed.
            self._lost_because = "connection lost" if str(reason) == "Unspecified error" else str(reason)

    def _on_publish(
        self, _client: Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        self._events.published.append((mid, str(reason) if reason.is_failure else None))
        if reason.value == _NO_MATCHING_SUBSCRIBERS:
            self._events.unheard.add(mid)

    def _on_subscribe(
        self, _client: Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        topic_filter = self._filters.pop(mid, "")
        refused = any(reason.is_failure for reason in reasons)
        (self._events.refused if refused else self._events.subscribed).append(topic_filter)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self._events.messages.append(received(message))


def agreed_version(settings: BrokerSettings, client_id: str) -> str:
    """Connect with nothing but the user and leave again: "5" or "3.1.1"; raises as `Session.open` does."""
    session = Session(settings, client_id)
    try:
        return session.open().protocol
    finally:
        session.close()


def check_broker(settings: BrokerSettings, device: str) -> str:
    """Connect once, as another client than the agent of `device`: the MQTT version that was agreed on.

    Raises:
        BrokerError: one line that says what is wrong.
        ConfigError: the password's file cannot be read.
    """
    return agreed_version(settings, f"edgetrack-{device}-check")
