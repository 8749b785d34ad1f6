"""What the agent holds to publish: committed first, delivered by a thread of its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agent.alerts.clock import clock_synchronised
from agent.alerts.commands import Command, CommandHandler
from agent.alerts.delivery import Delivery
from agent.alerts.former_device import FormerDevice
from agent.alerts.frigate import FrigateEvents
from agent.alerts.home_assistant import CameraEntities, HomeAssistant, discovery_payload, discovery_topic
from agent.alerts.leftovers import Leftovers
from agent.alerts.outbox import Outbox
from agent.alerts.schema import AlertPayload, ModelPart, SnapshotPart, build_payload, new_id
from agent.alerts.settings import BrokerSettings, FrigateSettings, HomeAssistantSettings, OutboxSettings
from agent.alerts.states import (
    ArmedPayload,
    CameraHealth,
    HealthPayload,
    counts_payloads,
    health_payload,
    payload_bytes,
)
from agent.alerts.stats import PublisherStats
from agent.alerts.topics import AGENT, Topics
from agent.records import Alert, Phase

if TYPE_CHECKING:
    from agent.alerts.snapshot import Picture


def outbox_path(settings: OutboxSettings, device: str) -> Path:
    """Where the outbox lies: as configured, in systemd's state directory, or in the user's."""
    if settings.path is not None:
        return settings.path
    directory = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if not directory:
        home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        directory = str(Path(home) / "edgetrack")
    return Path(directory) / f"outbox-{device}.sqlite"


class AlertPublisher:
    """Publishes the alerts and states of one device.

    The promise: an alert is on the disk when `publish` returns; it is delivered to the broker (or a receiver,
    see `broker.acknowledge`) at least once, in order per camera, until the outbox's limits; repeats carry the
    same id.

    Args:
        broker, outbox, home_assistant, frigate: as configured.
        device: its name.

    Raises:
        StorageError: another process holds the outbox.
    """

    def __init__(
        self,
        broker: BrokerSettings,
        outbox: OutboxSettings,
        device: str,
        home_assistant: HomeAssistantSettings | None = None,
        frigate: FrigateSettings | None = None,
    ) -> None:
        self._device = device
        self._takes_commands = broker.commands
        self.topics = Topics(broker.topic_root, device)
        """Names of this device's topics."""
        self._path = outbox_path(outbox, device)
        self._outbox = Outbox(self._path, outbox)
        self._delivery = Delivery(broker, self.topics, self._outbox)
        self._commands: CommandHandler | None = None
        self._home_assistant: HomeAssistant | None = None
        self._home_assistant_settings = home_assistant
        if home_assistant is not None and home_assistant.enabled:
            self._home_assistant = HomeAssistant(home_assistant, self.topics, self._delivery)
        self._leftovers = Leftovers(self.topics, self._delivery)
        self._frigate = FrigateEvents(frigate.topic_prefix) if frigate and frigate.enabled else None

    def start(self) -> None:
        """Begin to connect and to deliver; returns at once, whatever the broker does."""
        self._delivery.start()

    def publish(
        self,
        alert: Alert,
        camera: str,
        *,
        model: ModelPart | None = None,
        snapshot: SnapshotPart | None = None,
        priority: int | None = None,
    ) -> str:
        """Keep an alert until the broker has it.

        Args:
            alert: what a rule found.
            camera: its camera's name.
            model: what detected it.
            snapshot: its picture.
            priority: 0 is dropped first when the outbox is full; by default updates of incidents are.

        Returns:
            The alert's id. The alert is on the disk.
        """
        id_ = new_id()
        synchronised = clock_synchronised()
        payload: AlertPayload | None = None

        def build(sequence: int) -> bytes:
            nonlocal payload
            payload = build_payload(
                alert,
                id=id_,
                sequence=sequence,
                device=self._device,
                camera=camera,
                clock_synchronised=synchronised,
                model=model,
                snapshot=snapshot,
            )
            return payload.to_json()

        if priority is None:
            priority = 0 if alert.phase is Phase.UPDATE else 1
        self._outbox.put(self.topics.alerts(camera), id_, build, priority)
        self._delivery.alert_stored(self.topics.alerts(camera))
        if self._frigate is not None and payload is not None:
            for message in self._frigate.messages(payload):
                self._delivery.send(message)
        return id_

    def publish_notice(self, kind: str, evidence: Mapping[str, Any], *, camera: str = AGENT) -> str:
        """Keep an alert that no rule found: a test, a lost accelerator, a gap.

        Args:
            kind: what happened.
            evidence: JSON types.
            camera: where; by default the device itself.

        Returns:
            The alert's id. The alert is on the disk.
        """
        now_s = time.monotonic()
        notice = Alert(
            rule=AGENT,
            kind=kind,
            phase=Phase.INSTANT,
            incident=new_id(),
            time_s=now_s,
            wall_s=time.time(),
            frame_size=(0, 0),
            started_s=now_s,
            evidence=evidence,
        )
        return self.publish(notice, camera)

    def set_camera_status(self, camera: str, status: Mapping[str, Any]) -> None:
        """Publish a camera's state, retained.

        Args:
            camera: its name.
            status: JSON types; should hold `state`.
        """
        self.publish_retained(self.topics.camera_status(camera), status)

    def publish_stream(self, topic: str, payload: bytes) -> None:
        """Publish what nobody misses, at QoS 0; see `Delivery.stream`."""
        self._delivery.stream(topic, payload)

    def publish_snapshot(self, camera: str, rule: str, picture: Picture) -> SnapshotPart:
        """Publish a rule's picture, retained.

        Returns:
            What the alert that it belongs to is to carry.
        """
        topic = self.topics.snapshot(camera, rule)
        self._delivery.retain(topic, picture.jpeg)
        return SnapshotPart(topic=topic, sha256=picture.sha256, width=picture.width, height=picture.height)

    def publish_counts(self, camera: str, counts: Mapping[str, Any]) -> None:
        """Publish a camera's counts, retained, a topic for each zone and tripwire, where they changed.

        Args:
            camera: its name.
            counts: as the rule engine gives them, see `states.counts_payloads`.
        """
        for name, payload in counts_payloads(counts).items():
            self._delivery.retain(self.topics.counts(camera, name), payload_bytes(payload))

    def publish_armed(self, camera: str, rules: Mapping[str, bool]) -> None:
        """Publish which rules of a camera are armed, retained."""
        self._delivery.retain(self.topics.armed(camera), payload_bytes(ArmedPayload(rules=dict(rules))))

    def publish_health(self, cameras: Mapping[str, CameraHealth]) -> HealthPayload:
        """Publish the device's health, retained; to be called once a minute.

        Alerts that were dropped since the last time are told of in an alert of kind `gap`.

        Args:
            cameras: by name.

        Returns:
            What was published.
        """
        stats = self.stats
        untold = self._outbox.untold
        if stats.connected and untold:
            self.publish_notice("gap", {"dropped": untold, "dropped_in_all": self._outbox.dropped})
            self._outbox.drops_told(untold)  # this alert itself may have made others drop
        health = health_payload(stats.outbox_health, stats.connects, cameras, self._path.parent)
        self._delivery.retain(self.topics.health, payload_bytes(health))
        return health

    def on_command(self, act: Callable[[Command], Mapping[str, Any] | None]) -> None:
        """Take commands, where the configuration allows it; before `start`.

        Args:
            act: carries a command out, in a thread of its own; returns what to answer with, raises
                EdgetrackError to refuse it whole.
        """
        if self._takes_commands and self._commands is None:
            self._commands = CommandHandler(self.topics, act, self._delivery.send)
            self._delivery.subscribe(self.topics.request("+"), self._commands.receive)

    def take_back(self, former: Topics) -> None:
        """Take back what is retained under the device's former name or root; before `start`.

        Nothing is where the broker says that the former name is online: another device has it then.

        Args:
            former: the topics that were this device's.
        """
        if former == self.topics:
            return
        further, settings = [], self._home_assistant_settings
        if settings is not None and settings.enabled and former.device != self._device:
            further.append(discovery_topic(settings, former.device))
        FormerDevice(former, self._delivery, further)

    def describe_cameras(self, cameras: Mapping[str, CameraEntities]) -> None:
        """Say what there is, to Home Assistant too, where it is on; what else was retained is taken back."""
        self._leftovers.keep(cameras)
        if self._home_assistant is not None:
            takes = self._commands is not None
            self._home_assistant.describe(discovery_payload(self.topics, cameras, commands=takes))

    def publish_retained(self, topic: str, payload: bytes | str | Mapping[str, Any]) -> None:
        """Publish now and after every reconnect; the newest payload of a topic counts.

        Args:
            topic: in full.
            payload: bytes, text, or a mapping that becomes JSON; empty bytes remove the topic.
        """
        if isinstance(payload, Mapping):
            payload = json.dumps(payload, separators=(",", ":"), allow_nan=False)
        self._delivery.retain(topic, payload.encode() if isinstance(payload, str) else payload)

    def drain(self, timeout_s: float) -> bool:
        """Wait until the broker has every alert; False when it has not after `timeout_s`."""
        return self._delivery.wait_until_empty(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what time allows, say offline, close the outbox; the rest waits on the disk."""
        self._delivery.stop(timeout_s)
        if self._commands is not None:
            self._commands.close()
        self._outbox.close()

    @property
    def stats(self) -> PublisherStats:
        """Figures of now."""
        delivery, outbox = self._delivery, self._outbox
        return PublisherStats(
            queued=delivery.queued,
            in_memory=outbox.in_memory,
            sent=delivery.sent,
            acknowledged=delivery.acknowledged,
            refused=delivery.refused,
            dropped=outbox.dropped,
            damaged=outbox.damaged,
            connected=delivery.connected,
            connects=delivery.connects,
            protocol=delivery.protocol,
            broker_error=delivery.error,
            disk_error=outbox.disk_error,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
