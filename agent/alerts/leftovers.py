"""Retained messages of cameras, zones and rules that are no more, taken back from the broker.

A broker keeps what is retained until somebody takes it back. Without that, the last picture of a rule that
was removed would stay there, and the counts of a zone that nobody counts any more would look alive.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from agent.alerts.delivery import Delivery
from agent.alerts.home_assistant import CameraEntities
from agent.alerts.messages import Message
from agent.alerts.topics import Topics

ASKED_FOR = "now"
"""Stands for the rule in the topic of a picture that the request `snapshot` asked for."""

_log = logging.getLogger(__name__)


def camera_filters(topics: Topics) -> tuple[str, ...]:
    """Filters of all that is retained of a device's cameras; they fit some requests and responses too."""
    return (
        topics.camera_status("+"),
        topics.armed("+"),
        topics.counts("+", "+"),
        topics.snapshot("+", "+"),
    )


def is_request_or_response(topics: Topics, topic: str) -> bool:
    """Whether a topic is none of a camera's, though it fits one of `camera_filters`."""
    return topic.startswith((topics.request(""), topics.response("")))


class Leftovers:
    """Takes back what earlier runs of this device retained and the configuration no longer has.

    Args:
        topics: of the device.
        delivery: what publishes; not started yet.
    """

    def __init__(self, topics: Topics, delivery: Delivery) -> None:
        self._topics = topics
        self._delivery = delivery
        self._kept: frozenset[str] | None = None
        for topic_filter in camera_filters(topics):
            delivery.subscribe(topic_filter, self._on_retained, retained=True)

    def keep(self, cameras: Mapping[str, CameraEntities]) -> None:
        """What there is; until this is said, nothing is taken back."""
        topics, kept = self._topics, set[str]()
        for name, camera in cameras.items():
            kept |= {topics.camera_status(name), topics.armed(name), topics.snapshot(name, ASKED_FOR)}
            kept |= {topics.counts(name, place) for place in (*camera.zones, *camera.tripwires)}
            kept |= {topics.snapshot(name, rule) for rule in camera.snapshots}
        self._kept = frozenset(kept)

    def _on_retained(self, message: Message) -> None:
        if self._kept is None or not message.payload or message.topic in self._kept:
            return
        if not message.retain or is_request_or_response(self._topics, message.topic):
            return  # published just now, by whomever; or none of a camera's
        _log.info("%s: of an earlier configuration; taken back from the broker", message.topic)
        self._delivery.retain(message.topic, b"")
