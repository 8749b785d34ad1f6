"""What the broker is to keep for those who come later: the newest payload of each topic."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from agent.alerts.messages import Message

_ENDS_IT = 2  # connections that end with this message alone under way


class RetainedMessages:
    """Retained messages, sent when they change and again on every connection; safe for several threads.

    A broker may end the connection over one of them, too large or not allowed, without a word which. So those
    that were under way when a connection ended come last on the next, one at a time and with nothing else
    under way. One with which two connections end like that is left out, until a smaller one takes its place.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[str, bytes] = {}
        self._unsent: dict[str, bytes] = {}
        self._suspects: dict[str, int] = {}  # topic: connections that ended with it alone under way
        self._left_out: dict[str, int] = {}  # topic: bytes of payload from which on

    def put(self, topic: str, payload: bytes, *, again: bool = False) -> None:
        """A topic's newest payload; `again`: send it although it is the one that was sent last."""
        with self._lock:
            if self._newest.get(topic) != payload or again:
                self._newest[topic] = payload
                self._unsent |= self._allowed({topic: payload})

    def connected(self) -> None:
        """All are to be sent again."""
        with self._lock:
            self._unsent = self._allowed(self._newest)

    def _allowed(self, messages: dict[str, bytes]) -> dict[str, bytes]:
        return {
            topic: payload
            for topic, payload in messages.items()
            if topic not in self._left_out or len(payload) < self._left_out[topic]
        }

    @property
    def waits(self) -> bool:
        """Whether one is to be sent."""
        return bool(self._unsent)

    def next(self, *, suspect: bool = False) -> Message | None:
        """The next to be sent, of those that may end the connection or of the others."""
        with self._lock:
            topic = next((topic for topic in self._unsent if (topic in self._suspects) == suspect), None)
            return None if topic is None else Message(topic, self._unsent.pop(topic), retain=True)

    def answered(self, message: Message) -> None:
        """The broker took it, or refused it: it ends no connection."""
        with self._lock:
            self._suspects.pop(message.topic, None)

    def connection_ended(self, under_way: Iterable[Message]) -> Message | None:
        """A connection broke with these under way; the one that is left out from now on."""
        with self._lock:
            suspects = [message for message in under_way if message.retain and message.topic in self._newest]
            for message in suspects:
                self._suspects.setdefault(message.topic, 0)
            if len(suspects) != 1:
                return None
            (alone,) = suspects
            self._suspects[alone.topic] += 1
            if self._suspects[alone.topic] < _ENDS_IT:
                return None
            del self._suspects[alone.topic]
            self._left_out[alone.topic] = len(alone.payload)
            return alone
