"""Names of the MQTT topics: `edgetrack/<device>/…`."""

from __future__ import annotations

from dataclasses import dataclass

AGENT = "agent"
"""Stands for the camera in alerts of the device itself."""

RESERVED_CAMERA_NAMES = frozenset({"status", "health", "acknowledged", "request", "response", AGENT})
"""Names that a camera cannot have, since the device's own topics stand in that place."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one device.

    Args:
        root: `broker.topic_root`.
        device: name of the device; "+" in the filters of receivers.

    >>> Topics("edgetrack", "porch").alerts("front")
    'edgetrack/porch/front/alerts'
    """

    root: str
    device: str

    @property
    def status(self) -> str:
        """`online` or `offline`, retained; the broker itself says offline when the connection is lost."""
        return f"{self.root}/{self.device}/status"

    @property
    def health(self) -> str:
        """Figures about the device, retained."""
        return f"{self.root}/{self.device}/health"

    @property
    def acknowledged(self) -> str:
        """Receipts of receivers, where `broker.acknowledge` asks for them."""
        return f"{self.root}/{self.device}/acknowledged"

    def alerts(self, camera: str) -> str:
        """Alerts of one camera, QoS 1."""
        return f"{self.root}/{self.device}/{camera}/alerts"

    def camera_status(self, camera: str) -> str:
        """State of one camera, retained."""
        return f"{self.root}/{self.device}/{camera}/status"

    def counts(self, camera: str, name: str) -> str:
        """Counts of one tripwire or zone, retained."""
        return f"{self.root}/{self.device}/{camera}/counts/{name}"

    def armed(self, camera: str) -> str:
        """Which rules of a camera are armed, retained."""
        return f"{self.root}/{self.device}/{camera}/armed"

    def tracks(self, camera: str) -> str:
        """Stream of tracks, QoS 0, where it is switched on."""
        return f"{self.root}/{self.device}/{camera}/tracks"

    def snapshot(self, camera: str, rule: str) -> str:
        """JPEG of a rule's last alert, retained."""
        return f"{self.root}/{self.device}/{camera}/snapshot/{rule}"

    def request(self, name: str) -> str:
        """Commands to the device; "+" subscribes to all."""
        return f"{self.root}/{self.device}/request/{name}"

    def response(self, name: str) -> str:
        """Answers to commands."""
        return f"{self.root}/{self.device}/response/{name}"
