"""What the broker is to keep for those who come later: the newest payload of each topic."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from agent.alerts.messages import Message

_ENDS_IT = 2  # connections that end with this message alone under way
_LEFT_OUT_S, _LONGEST_LEFT_OUT_S = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """What is known of a topic that is left out.

    Args:
        size: bytes of payload from which on it is.
        until_s: monotonic.
        strikes: connections that ended with it alone under way.
    """

    size: int
    until_s: float
    strikes: int


class RetainedMessages:
    """Retained messages, sent when they change and again on every connection; safe for several threads.

    A broker may end the connection over one of them, too large or not allowed, without a word which. So those
    that were under way when a connection ended come last on the next, one at a time and with nothing else
    under way. One with which two connections end like that is left out for a minute, then longer each time,
    up to an hour, or until a smaller one takes its place: a network that fails makes any of them look guilty.

    Args:
        monotonic: the clock.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._newest: dict[str, bytes] = {}
        self._unsent: dict[str, bytes] = {}
        self._suspects: dict[str, int] = {}  # topic: connections that ended with it alone under way
        self._left_out: dict[str, _LeftOut] = {}

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
            if topic not in self._left_out or len(payload) < self._left_out[topic].size
        }

    @property
    def waits(self) -> bool:
        """Whether one is to be sent."""
        return bool(self._unsent)

    def next(self, *, suspect: bool = False) -> Message | None:
        """The next to be sent, of those that may end the connection or of the others."""
        with self._lock:
            if suspect:
                self._try_again()
                suspects = (topic for topic in self._unsent if topic in self._suspects)
                topic = min(suspects, key=lambda topic: self._suspects[topic], default=None)
            else:
                topic = next((topic for topic in self._unsent if topic not in self._suspects), None)
            return None if topic is None else Message(topic, self._unsent.pop(topic), retain=True)

    def _try_again(self) -> None:
        """What was left out for long enough is a suspect again."""
        now = self._monotonic()
        for topic in [topic for topic, left_out in self._left_out.items() if left_out.until_s <= now]:
            self._suspects[topic] = self._left_out.pop(topic).strikes
            self._unsent[topic] = self._newest[topic]

    def answered(self, message: Message) -> None:
        """The broker took it, or refused it: it ends no connection."""
        with self._lock:
            self._suspects.pop(message.topic, None)

    def connection_ended(self, under_way: Collection[Message], *, alerts: bool) -> Message | None:
        """A connection broke with these, and perhaps alerts, under way; the one that is left out now."""
        with self._lock:
            suspects = [message for message in under_way if message.retain and message.topic in self._newest]
            for message in suspects:
                self._suspects.setdefault(message.topic, 0)
            if alerts or len(under_way) != 1 or not suspects:
                return None
            (alone,) = suspects
            self._suspects[alone.topic] += 1
            if self._suspects[alone.topic] < _ENDS_IT:
                return None
            strikes = self._suspects.pop(alone.topic)
            wait_s = min(_LEFT_OUT_S * 2 ** min(strikes - _ENDS_IT, 6), _LONGEST_LEFT_OUT_S)
            self._left_out[alone.topic] = _LeftOut(len(alone.payload), self._monotonic() + wait_s, strikes)
            return alone
