"""What is published beside the alerts, and waits in memory only."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

from agent.alerts.complaints import Complaints
from agent.alerts.messages import Message
from agent.alerts.retained import RetainedMessages

_MAX_UNSENT = 200


class Outgoing:
    """Retained messages first, then answers, then streams; safe for several threads.

    Args:
        complaints: where goes what the broker does not take.
    """

    def __init__(self, complaints: Complaints) -> None:
        self._complaints = complaints
        self.retained = RetainedMessages()
        """What is sent again on every connection."""
        self._lock = threading.Lock()
        self._unsent: deque[Message] = deque(maxlen=_MAX_UNSENT)
        self._streams: dict[str, bytes] = {}

    def send(self, message: Message) -> None:
        """A message that nobody misses."""
        self._unsent.append(message)

    def stream(self, topic: str, payload: bytes) -> None:
        """What is soon old: the newest payload of a topic waits."""
        with self._lock:
            self._streams[topic] = payload

    def connected(self) -> None:
        """All that is retained is to be sent again; streams begin anew."""
        self.retained.connected()
        with self._lock:
            self._streams.clear()

    def answered(self, message: Message, refusal: str | None) -> None:
        """The broker has taken it, or refused it."""
        self.retained.answered(message)
        if refusal is not None:
            problem = f"the broker refuses the message: {refusal}; check its access rules"
            self._complaints.add(message.topic, problem)

    def connection_ended(self, under_way: Collection[Message], *, alerts: bool) -> None:
        """A connection broke while these, and perhaps alerts, had no answer."""
        culprit = self.retained.connection_ended(under_way, alerts=alerts)
        if culprit is not None:
            self._complaints.add(
                culprit.topic,
                f"expected the broker to take {len(culprit.payload)} bytes, got the connection closed; left "
                "out for a while, lower snapshots.max_bytes or check the broker's limit and access rules",
            )

    def fits(self, message: Message, max_packet_bytes: int) -> bool:
        """Whether the broker takes a message, an alert too, of this size."""
        if message.packet_bytes > max_packet_bytes:
            self._complaints.add(
                message.topic,
                f"expected a message of {max_packet_bytes} bytes at most, as the broker asks, got a larger; "
                "lower snapshots.max_bytes or raise the broker's limit",
            )
            return False
        return True

    @property
    def waits(self) -> bool:
        """Whether something is to be sent that is worth a wait."""
        return bool(self._unsent) or self.retained.waits

    def next(self, *, congested: bool) -> Message | None:
        """The next to be sent; no stream while the network is `congested`."""
        if (message := self.retained.next()) is not None:
            return message
        if self._unsent:
            return self._unsent.popleft()
        with self._lock:
            if not self._streams or congested:
                return None
            topic = next(iter(self._streams))
            return Message(topic, self._streams.pop(topic), qos=0)
