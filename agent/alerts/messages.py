"""What goes in and out of an MQTT connection."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, field

LARGEST_PACKET_BYTES = 5 + 268_435_455
_PUBLISH_HEADER = 5 + 2 + 2 + 4  # fixed header, length of the topic, packet identifier, length of properties
_CORRELATION_HEADER = 3


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message, sent or received.

    Args:
        topic, payload, qos, retain: as in MQTT.
        response_topic, correlation: MQTT 5's request/response properties.
        mid: packet identifier of a received one, for `Session.confirm`.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    response_topic: str | None = None
    correlation: bytes | None = None
    mid: int = 0

    @property
    def packet_bytes(self) -> int:
        """Size of the PUBLISH packet that carries it, at most (MQTT 5.0, 3.3)."""
        correlation = _CORRELATION_HEADER + len(self.correlation) if self.correlation is not None else 0
        return _PUBLISH_HEADER + len(self.topic.encode()) + correlation + len(self.payload)


@dataclass(slots=True)
class Events:
    """What one `Session.step` brought.

    Args:
        published: packet identifier and, when the broker refused the message, its reason.
        unheard: packet identifiers of those that the broker took and that nobody subscribes to.
        messages: received ones.
        subscribed: topic filters that the broker has taken.
        refused: topic filters that it has not.
    """

    published: list[tuple[int, str | None]] = field(default_factory=list)
    unheard: set[int] = field(default_factory=set)
    messages: list[Message] = field(default_factory=list)
    subscribed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class Waker:
    """Ends another thread's `Session.step` early."""

    def __init__(self) -> None:
        self.receiver, self._sender = socket.socketpair()
        self.receiver.setblocking(False)
        self._sender.setblocking(False)

    def set(self) -> None:
        """Wake; a full pipe will wake anyway, a closed one needs it no more."""
        with contextlib.suppress(BlockingIOError, OSError):
            self._sender.send(b"\0")

    def clear(self) -> None:
        """Forget the calls so far."""
        with contextlib.suppress(BlockingIOError):
            while self.receiver.recv(4096):
                pass

    def close(self) -> None:
        """Close both ends."""
        self.receiver.close()
        self._sender.close()


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic fits a filter with MQTT wildcards (MQTT 5.0, section 4.7).

    >>> matches("a/+/c", "a/b/c"), matches("a/#", "a/b/c"), matches("a/+", "a/b/c")
    (True, True, False)
    """
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(levels) or level not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)
