"""Home Assistant: one retained discovery message that describes the device and all that it shows.

Source: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (device-based discovery:
`dev`, `o`, `cmps`; a component that is only `{"p": platform}` is removed).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.alerts.delivery import Delivery
from agent.alerts.messages import Message
from agent.alerts.settings import HomeAssistantSettings
from agent.alerts.topics import Topics
from agent.version import __version__

_log = logging.getLogger("edgetrack.home_assistant")
_ON_LINE = "{{ 'online' if value_json.state == 'online' else 'offline' }}"
_EVENT = (
    "{{ dict(event_type=value_json.kind, phase=value_json.phase, rule=value_json.rule, id=value_json.id,"
    " incident=value_json.incident, zone=value_json.zone | default(none),"
    " tripwire=value_json.tripwire | default(none),"
    " label=(value_json.track | default({})).label | default(none),"
    " score=(value_json.track | default({})).score | default(none)) | to_json }}"
)
_CAMERA_FIGURES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("frames per second", "fps", {"state_class": "measurement"}),
    ("inference", "inference_ms", {"state_class": "measurement", "unit_of_measurement": "ms"}),
    ("dropped frames", "dropped", {"state_class": "total_increasing"}),
)
"""Name, key in a camera's health, options."""


@dataclass(frozen=True, slots=True)
class CameraEntities:
    """What Home Assistant shall show of one camera.

    Args:
        zones, tripwires: their names.
        rules: names of the rules.
        kinds: kinds of alerts that its rules raise: enter, cross …
        snapshots: names of the rules that publish pictures.
    """

    zones: Sequence[str] = ()
    tripwires: Sequence[str] = ()
    rules: Sequence[str] = ()
    kinds: Sequence[str] = ()
    snapshots: Sequence[str] = field(default=())


def discovery_topic(settings: HomeAssistantSettings, device: str) -> str:
    """Where the discovery message is retained."""
    return f"{settings.discovery_prefix}/device/edgetrack-{device}/config"


def birth_topic(settings: HomeAssistantSettings) -> str:
    """Where Home Assistant says that it has started."""
    return f"{settings.discovery_prefix}/status"


def discovery_payload(
    topics: Topics, cameras: Mapping[str, CameraEntities], *, commands: bool
) -> dict[str, Any]:
    """The discovery message.

    Args:
        topics: of the device.
        cameras: by name.
        commands: whether the device takes commands: then there are switches and buttons.
    """
    components: dict[str, dict[str, Any]] = {}

    def add(platform: str, camera: str | None, name: str, **options: Any) -> None:
        place = f"{topics.device}/{camera or ''}/{platform}/{name}"
        readable = "_".join(part for part in (topics.device, camera, name.replace(" ", "_")) if part)
        # Names may hold "_", so that joined ones can be equal; the digest tells them apart.
        unique = f"edgetrack_{readable}_{hashlib.sha256(place.encode()).hexdigest()[:8]}"
        shown = f"{camera} {name}" if camera else name
        components[unique] = {"p": platform, "unique_id": unique, "name": shown, **options}

    for camera, entities in cameras.items():
        _add_camera(add, topics, camera, entities, commands=commands)
    _add_diagnostics(add, topics, commands=commands)
    return {
        "dev": {
            "ids": [f"edgetrack_{topics.device}"],
            "name": topics.device,
            "mf": "Edgetrack",
            "mdl": "Edgetrack agent",
            "sw": __version__,
        },
        "o": {"name": "edgetrack", "sw": __version__},
        "cmps": components,
        "availability": [{"topic": topics.status}],
        "qos": 1,
    }


def _add_camera(
    add: Callable[..., None], topics: Topics, camera: str, entities: CameraEntities, *, commands: bool
) -> None:
    status = topics.camera_status(camera)
    seen = {
        "availability": [{"topic": topics.status}, {"topic": status, "value_template": _ON_LINE}],
        "availability_mode": "all",
    }
    add(
        "binary_sensor",
        camera,
        "camera",
        device_class="connectivity",
        entity_category="diagnostic",
        state_topic=status,
        json_attributes_topic=status,
        value_template="{{ 'ON' if value_json.state == 'online' else 'OFF' }}",
    )
    for name, key, options in _CAMERA_FIGURES:
        add(
            "sensor",
            camera,
            name,
            **options,
            entity_category="diagnostic",
            state_topic=topics.health,
            value_template=(
                f"{{{{ (value_json.cameras['{camera}'] | default({{}})).{key} | default(none) }}}}"
            ),
        )
    add(
        "event",
        camera,
        "alert",
        state_topic=topics.alerts(camera),
        event_types=sorted({*entities.kinds, "test"}),
        value_template=_EVENT,
    )
    for zone in entities.zones:
        counts = {"state_topic": topics.counts(camera, zone), **seen}
        add(
            "binary_sensor",
            camera,
            f"{zone} occupied",
            device_class="occupancy",
            value_template="{{ 'ON' if value_json.zone.inside > 0 else 'OFF' }}",
            **counts,
        )
        add(
            "sensor",
            camera,
            f"{zone} objects",
            state_class="measurement",
            value_template="{{ value_json.zone.inside }}",
            **counts,
        )
    for tripwire in entities.tripwires:
        for direction in ("a-to-b", "b-to-a"):
            add(
                "sensor",
                camera,
                f"{tripwire} {direction}",
                state_class="total_increasing",
                state_topic=topics.counts(camera, tripwire),
                value_template=f"{{{{ value_json.tripwire.total.get('{direction}', {{}}).values() | sum }}}}",
            )
    for rule in entities.snapshots:
        add(
            "image",
            camera,
            f"{rule} picture",
            image_topic=topics.snapshot(camera, rule),
            content_type="image/jpeg",
        )
    if not commands:
        return
    for rule in entities.rules:
        request = {"camera": camera, "rule": rule}
        add(
            "switch",
            camera,
            f"{rule} armed",
            icon="mdi:shield",
            state_topic=topics.armed(camera),
            value_template=f"{{{{ 'ON' if value_json.rules['{rule}'] else 'OFF' }}}}",
            state_on="ON",
            state_off="OFF",
            command_topic=topics.request("set_armed"),
            payload_on=json.dumps({**request, "armed": True}),
            payload_off=json.dumps({**request, "armed": False}),
        )
    add(
        "button",
        camera,
        "test alert",
        entity_category="config",
        command_topic=topics.request("test_alert"),
        payload_press=json.dumps({"camera": camera}),
    )


def _add_diagnostics(add: Callable[..., None], topics: Topics, *, commands: bool) -> None:
    figures: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("temperature", "temperature_c", {"device_class": "temperature", "unit_of_measurement": "°C"}),
        ("alerts waiting", "outbox.queued", {}),
        ("alerts dropped", "outbox.dropped", {"state_class": "total_increasing"}),
        ("memory", "rss_mb", {"device_class": "data_size", "unit_of_measurement": "MB"}),
        ("disk free", "disk_free_mb", {"device_class": "data_size", "unit_of_measurement": "MB"}),
    )
    for name, path, options in figures:
        add(
            "sensor",
            None,
            name,
            **{"state_class": "measurement", **options},
            entity_category="diagnostic",
            state_topic=topics.health,
            value_template=f"{{{{ value_json.{path} | default(none) }}}}",
        )
    if commands:
        add(
            "button",
            None,
            "reload configuration",
            entity_category="config",
            command_topic=topics.request("reload"),
            payload_press="{}",
        )


class HomeAssistant:
    """Keeps the discovery message at the broker: again when Home Assistant starts, without what is gone.

    Args:
        settings: where Home Assistant listens.
        topics: of the device.
        delivery: what publishes; not started yet.
    """

    def __init__(self, settings: HomeAssistantSettings, topics: Topics, delivery: Delivery) -> None:
        self._delivery = delivery
        self._topic = discovery_topic(settings, topics.device)
        self._birth_topic = birth_topic(settings)
        self._payload: dict[str, Any] | None = None
        delivery.subscribe(self._birth_topic, self._on_birth)
        delivery.subscribe(self._topic, self._on_discovery, retained=True)

    def describe(self, payload: dict[str, Any]) -> None:
        """Publish the discovery message; what an earlier one had and this one lacks is removed."""
        before, self._payload = self._payload, payload
        if before is not None:
            self._remove(before)
        self._delivery.retain(self._topic, _json(payload))

    def _on_birth(self, message: Message) -> None:
        if message.payload == b"online" and self._payload is not None:
            self._delivery.retain(self._topic, _json(self._payload), again=True)

    def _on_discovery(self, message: Message) -> None:
        """What the broker retained of an earlier run, or our own message coming back."""
        try:
            content = json.loads(message.payload or b"{}")
        except (ValueError, RecursionError):
            return
        if isinstance(content, dict) and self._payload is not None and content != self._payload:
            self._remove(content)

    def _remove(self, before: dict[str, Any]) -> None:
        """Tell Home Assistant of the components of `before` that are no more."""
        if self._payload is None or not isinstance(before.get("cmps"), dict):
            return
        gone = {
            name: {"p": component["p"]}
            for name, component in before["cmps"].items()
            if name not in self._payload["cmps"] and isinstance(component, dict) and len(component) > 1
        }
        if gone:
            _log.info("Home Assistant: %d entities are no more", len(gone))
            removing = {**self._payload, "cmps": {**self._payload["cmps"], **gone}}
            self._delivery.send(Message(self._topic, _json(removing)))


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
