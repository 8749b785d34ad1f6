"""What a device retained under the name it had before, taken back from the broker.

Nobody else would: the will only says `offline`, and Home Assistant would show the old name for ever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from agent.alerts.delivery import Delivery
from agent.alerts.leftovers import camera_filters, is_request_or_response
from agent.alerts.messages import Message
from agent.alerts.topics import Topics

_ASKING_S = 60.0  # later on the name may be another device's

_log = logging.getLogger(__name__)


class FormerDevice:
    """Takes back what is retained under a former name, unless the name is in use again.

    Args:
        topics: under the former name.
        delivery: what publishes; not started yet.
        further: other topics that were retained.
    """

    def __init__(self, topics: Topics, delivery: Delivery, further: Sequence[str] = ()) -> None:
        self._topics = topics
        self._delivery = delivery
        self._found: set[str] = set()
        self._offline = self._told = False
        self._until_s: float | None = None
        for topic_filter in (topics.status, topics.health, *camera_filters(topics), *further):
            delivery.subscribe(topic_filter, self._on_message, retained=True)

    def _on_message(self, message: Message) -> None:
        if not message.payload or not self._asking():
            return
        if message.topic == self._topics.status:
            self._offline = message.payload == b"offline"
            if not self._offline:
                self._until_s = 0.0  # another device has the name now
                return
        if message.retain and not is_request_or_response(self._topics, message.topic):
            self._found.add(message.topic)
        if self._offline:
            self._take_back()

    def _asking(self) -> bool:
        now_s = time.monotonic()
        if self._until_s is None:
            self._until_s = now_s + _ASKING_S
        return now_s < self._until_s

    def _take_back(self) -> None:
        if not self._told:
            self._told = True
            _log.info("%s: the device's former name; taken back from the broker", self._topics.device)
        for topic in self._found:
            self._delivery.send(Message(topic, b"", retain=True))
        self._found.clear()
