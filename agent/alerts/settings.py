"""The broker, the outbox and what is published beside the alerts, as a user configures them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from agent.settings import Seconds, Section

_SCHEMES = {"mqtt": 1883, "mqtts": 8883}

TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=128)]
"""One or more topic levels without wildcards."""


class TlsSettings(Section):
    """How the connection of an `mqtts://` broker is proved."""

    ca: Path | None = None
    """PEM file of the authority that signed the broker's certificate; the system's when left out."""
    cert: Path | None = None
    """PEM file of this device's own certificate, where the broker asks for one."""
    key: Path | None = None
    """PEM file of the key to `cert`."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    """The oldest TLS version that is accepted."""

    @model_validator(mode="after")
    def _check(self) -> TlsSettings:
        if (self.cert is None) != (self.key is None):
            missing = "key" if self.key is None else "cert"
            raise ValueError(f"expected cert and key together, got no {missing}")
        return self


class BrokerSettings(Section):
    """The MQTT broker that receives the alerts."""

    url: str = "mqtt://localhost:1883"
    """`mqtt://host:port`, or `mqtts://host:port` for TLS; without a port 1883 and 8883."""
    username: str | None = None
    """User at the broker."""
    password: SecretStr | None = None
    """Better kept out of this file: `EDGETRACK_BROKER_PASSWORD` in the environment, `password_file`, or a
    systemd credential named `edgetrack-broker-password` supply it too; the first of these that is there wins,
    this field comes last."""
    password_file: Path | None = None
    """File whose first line is the password."""
    client_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """MQTT client identifier; `edgetrack-<device>` when left out. Two of one id throw each other out."""
    tls: TlsSettings = TlsSettings()
    """Certificates, for `mqtts://`."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """MQTT version; auto takes 5 and falls back to 3.1.1 where the broker speaks only that. Only 5 tells the
    agent when the broker's access rules refuse an alert."""
    keepalive_s: Annotated[int, Field(ge=2, le=3600)] = 15
    """A dead connection is noticed within twice this."""
    in_flight: Annotated[int, Field(ge=1, le=1000)] = 20
    """Alerts sent and not yet acknowledged, at most."""
    acknowledge_timeout_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """A broker that acknowledges nothing for this long is reconnected."""
    reconnect_max_s: Annotated[float, Field(ge=0.1, le=3600)] = 30.0
    """Longest wait between two attempts to connect; waits grow from a quarter of a second, with jitter."""
    topic_root: TopicName = "edgetrack"
    """First level of every topic."""
    acknowledge: Literal["broker", "receiver"] = "broker"
    """Whose word lets the outbox forget an alert. broker: the broker's; when it is killed, what it did not
    write is lost. receiver: an alert waits until a receiver names its id on
    `edgetrack/<device>/acknowledged`, as `AlertClient(acknowledge=True)` and `watch --acknowledge` do; one
    alert a camera is under way at a time."""
    redeliver_after_s: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    """With `acknowledge: receiver`, an alert that no receiver names is sent again after this, then after
    twice as long, a minute at most."""
    needs_receiver: bool = False
    """Keep alerts until somebody subscribes to them: without it the broker takes an alert that nobody hears
    and drops it. Only MQTT 5 tells; receivers with a kept session count while they are away."""
    commands: bool = False
    """Whether the device takes commands (`edgetrack/<device>/request/…`): arming, test alerts, reload.
    Whoever may publish at the broker may then disarm rules: give it users and access rules first."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        """Refuse what is no broker; the url is not shown, it may hold a password."""
        wanted = "expected mqtt://host[:port] or mqtts://host[:port]"
        if "@" in url:
            raise ValueError(f"{wanted}, got one with a user in it; use `username` and a password source")
        try:
            parts = urlsplit(url)
            has_port = parts.port != 0
        except ValueError:
            has_port = False
        if not has_port:
            raise ValueError(f"{wanted}, got one whose host or port cannot be read; ports are 1 to 65535")
        if parts.scheme not in _SCHEMES or "://" not in url:
            raise ValueError(f"{wanted}, got one that does not begin with mqtt:// or mqtts://")
        if not parts.hostname:
            raise ValueError(f"{wanted}, got one without a host")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(f"{wanted}, got one that goes on behind the port; remove what follows it")
        return url

    @property
    def host(self) -> str:
        """Host name or address of the broker."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port of the broker."""
        parts = urlsplit(self.url)
        return parts.port or _SCHEMES[parts.scheme]

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"


class OutboxSettings(Section):
    """Where alerts wait until the broker has them."""

    path: Path | None = None
    """SQLite file; when left out `outbox-<device>.sqlite` in systemd's state directory, or else in
    `~/.local/state/edgetrack`."""
    max_size_mb: Annotated[float, Field(gt=0)] = 256.0
    """Megabytes of waiting alerts; beyond it the oldest of the lowest priority are dropped and counted."""
    max_age_s: Seconds = 7 * 86400.0
    """Alerts that waited longer are dropped and counted; 0 keeps them for ever. Alerts made while the clock
    was not synchronised have no known age and stay."""
    max_in_memory: Annotated[int, Field(ge=1)] = 2000
    """Alerts kept in memory while the disk takes none."""
    synchronous: Literal["full", "normal"] = "full"
    """full: a committed alert survives a power cut. normal: it survives the end of the process only, at a
    hundredth of the cost."""


class HomeAssistantSettings(Section):
    """Discovery by Home Assistant."""

    enabled: bool = False
    """Whether the device describes itself to Home Assistant."""
    discovery_prefix: TopicName = "homeassistant"
    """As in Home Assistant's MQTT integration."""


class FrigateSettings(Section):
    """Events in the shape of Frigate's, for automations that were written for them."""

    enabled: bool = False
    """Whether they are published."""
    topic_prefix: TopicName = "frigate"
    """First level of their topic."""


class SnapshotSettings(Section):
    """Pictures of alerts. There are none unless a rule asks for one."""

    privacy: Literal["blur", "pixelate", "none"] = "blur"
    """How people are made unrecognisable before a picture leaves the process."""
    privacy_of: Literal["people", "others"] = "people"
    """Who is: people, the alerting one among them; or all objects of other classes than the alerting one."""
    people: tuple[str, ...] = ("person", "face", "head", "pedestrian", "rider")
    """Class names that mean people."""
    draw: bool = True
    """Whether the object's box and the zones are drawn."""
    max_width: Annotated[int, Field(ge=32, le=4096)] = 640
    """px; wider pictures are scaled down."""
    quality: Annotated[int, Field(ge=20, le=95)] = 80
    """Of the JPEG; less where the picture would be too large."""
    max_bytes: Annotated[int, Field(ge=1000, le=10_000_000)] = 150_000
    """Of a JPEG."""
