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
from agent.alerts.topics import RESERVED_CAMERA_NAMES, Topics

ASKED_FOR = "now"
"""Stands for the rule in the topic of a picture that the request `snapshot` asked for."""

_log = logging.getLogger(__name__)


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
        self._of_no_camera = tuple(
            topics.alerts(name).removesuffix("alerts") for name in RESERVED_CAMERA_NAMES
        )
        for topic_filter in (
            topics.camera_status("+"),
            topics.armed("+"),
            topics.counts("+", "+"),
            topics.snapshot("+", "+"),
        ):
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
        if not message.retain or message.topic.startswith(self._of_no_camera):
            return  # published just now, by whomever; or a request, a response
        _log.info("%s: of an earlier configuration; taken back from the broker", message.topic)
        self._delivery.retain(message.topic, b"")
