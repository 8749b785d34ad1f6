"""What a camera's source and its model's device say of themselves, on its way to MQTT."""

from __future__ import annotations

import threading
from typing import Any

from agent.alerts.publisher import AlertPublisher
from agent.capture.status import SourceState, SourceStatus
from agent.detect.device_status import DeviceState, DeviceStatus

PAUSED = "paused"
"""The state that a command gives a camera."""


class CameraStatus:
    """Publishes the state of one camera and, beside it, of the device that its model runs on.

    A device that is lost or back is told of in an alert of the agent too, kind `device`.

    Args:
        publisher: of the whole agent.
        camera: its name.
    """

    def __init__(self, publisher: AlertPublisher, camera: str) -> None:
        self._publisher = publisher
        self._camera = camera
        self._lock = threading.Lock()
        """Source and device report from threads of their own."""
        self._source: dict[str, Any] = {"state": "connecting"}
        self._told: dict[str, Any] | None = None
        """What the source itself said last."""
        self._paused = False
        self._device: dict[str, Any] | None = None

    def on_source(self, status: SourceStatus) -> None:
        """Publish a change of the source; while the camera is paused, only remember it."""
        with self._lock:
            self._told = {
                "state": str(status.state),
                "reason": status.reason,
                "attempt": status.attempt,
                "next_try_s": status.next_try_s,
            }
            if not self._paused:
                self._publish(source=self._told)

    def on_device(self, status: DeviceStatus) -> None:
        """Publish a change of the device."""
        device = {
            "name": status.device,
            "state": str(status.state),
            "model": status.model,
            "reason": status.reason,
            "attempt": status.attempt,
            "next_try_s": round(status.next_try_s, 1),
            "faults": status.faults,
        }
        with self._lock:
            before = self._device["state"] if self._device else str(DeviceState.ONLINE)
            self._publish(device=device)
        if before != device["state"]:
            self._publisher.publish_notice("device", {"camera": self._camera, **device})

    def set_state(self, state: str) -> None:
        """Publish a state that the agent itself gives the camera; "online" only if the source is it, too.

        "paused" stands, whatever the source says, until another one is set.
        """
        with self._lock:
            self._paused = state == PAUSED
            back = state == SourceState.ONLINE and self._told is not None
            self._publish(source=self._told if back else {"state": state})

    def _publish(self, *, source: dict[str, Any] | None = None, device: dict[str, Any] | None = None) -> None:
        """Publish what is new and what is known; with the lock held."""
        self._source = source or self._source
        self._device = device or self._device
        whole = {**self._source, "device": self._device} if self._device else self._source
        self._publisher.set_camera_status(self._camera, whole)
