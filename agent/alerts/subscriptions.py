"""Who is told of which messages that come."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from agent.alerts.complaints import Complaints
from agent.alerts.messages import Message, matches
from agent.alerts.mqtt import Session
from agent.errors import EdgetrackError

_log = logging.getLogger("edgetrack.broker")


class Subscriptions:
    """Topic filters, and who is told.

    Args:
        complaints: where refusals and messages that are not as expected go.
    """

    def __init__(self, complaints: Complaints) -> None:
        self._complaints = complaints
        self._all: list[tuple[str, bool, Callable[[Message], None]]] = []
        self._before: Message | None = None
        self._copies = 0

    def add(self, topic_filter: str, callback: Callable[[Message], None], *, retained: bool) -> None:
        """Tell `callback` of what comes on a topic, of what is retained there too."""
        self._all.append((topic_filter, retained, callback))

    def ask(self, session: Session) -> None:
        """Subscribe on a connection."""
        for topic_filter, retained, _ in self._all:
            session.subscribe(topic_filter, retained=retained)

    def refused(self, topic_filter: str) -> None:
        """The broker does not take one."""
        self._complaints.add(topic_filter, "the broker refuses the subscription; check its access rules")

    def deliver(self, message: Message) -> None:
        """Tell those who want it; a fault of theirs is logged, and alerts go on."""
        callbacks = [
            callback for topic_filter, _, callback in self._all if matches(topic_filter, message.topic)
        ]
        if self._is_copy(message, len(callbacks)):
            return
        for callback in callbacks:
            try:
                callback(message)
            except EdgetrackError as error:
                self._complaints.add(error.where, error.problem)
            except Exception:  # noqa: BLE001 - reported, and alerts must go on
                _log.exception("%s: expected the message to be taken, got a fault", message.topic)

    def _is_copy(self, message: Message, fitting: int) -> bool:
        """Whether it is one more of the same: a broker may send one for each filter (MQTT 5.0, 3.3.4)."""
        before, self._before = self._before, replace(message, mid=0)
        self._copies = self._copies + 1 if before == self._before and self._copies < fitting else 1
        return self._copies > 1
