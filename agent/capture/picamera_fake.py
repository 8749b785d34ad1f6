"""Stands in for picamera2.Picamera2 where there is no Raspberry Pi.

It has only what `picamera.py` calls, behaves as picamera2 0.3 does there (checked against the real one on
libcamera's virtual camera), and can be made to fail as ribbon cables do.
"""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


class FakeRequest:
    """A completed request: one picture of moving colour bars with noise."""

    def __init__(self, camera: FakePicamera2, number: int) -> None:
        self._camera = camera
        self._number = number
        self._sensor_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def get_metadata(self) -> dict[str, Any]:
        """As picamera2's: the end of the exposure in ns since boot."""
        return {"SensorTimestamp": self._sensor_ns}

    def make_array(self, name: str) -> NDArray[np.uint8]:
        """A copy of the picture: (H, W, 3) for RGB888, (H * 3/2, W) for NV12."""
        if name != "main":
            raise RuntimeError(f"Stream {name!r} is not defined")
        main = self._camera.camera_configuration()["main"]
        width, height = main["size"]
        number = 0 if self._camera.frozen else self._number
        bars = (np.arange(width, dtype=np.int64) * 8 // width + number) * 32 % 256
        noise = np.random.default_rng(number).integers(0, 3, (height, width), np.uint8)
        grey = np.minimum(bars.astype(np.uint8), 252)[None, :] + noise
        if main["format"] == "NV12":
            return np.vstack([grey, np.full((height // 2, width), 128, np.uint8)])
        return np.stack([grey, grey, 255 - grey], axis=2)

    def release(self) -> None:
        """Hand the buffer back; without this the camera runs dry."""
        self._camera.held -= 1


class FakePicamera2:
    """One fake camera; class attributes set what the next one is like.

    Args:
        camera_num: as picamera2's.
    """

    cameras: ClassVar[int] = 1
    pixel_format: ClassVar[str] = "RGB888"
    """The format that `configure` settles on, whatever was asked for."""

    def __init__(self, camera_num: int = 0) -> None:
        self.camera_num = camera_num
        self.frozen = False
        """True: the same picture again and again."""
        self.hung = threading.Event()
        """Set: no request completes any more."""
        self.held = 0
        """Requests that have not been released."""
        self.closed = False
        self._config: dict[str, Any] = {}
        self._period_s = 1.0 / 30.0
        self._due_s = 0.0
        self._number = 0
        self._started = False

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        """One entry per camera."""
        return [{"Model": "fake", "Num": number, "Id": f"fake{number}"} for number in range(cls.cameras)]

    def create_video_configuration(
        self, main: dict[str, Any], buffer_count: int = 6, controls: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """A configuration to be handed to `configure`."""
        return {"main": dict(main), "buffer_count": buffer_count, "controls": dict(controls or {})}

    def configure(self, config: dict[str, Any]) -> None:
        """Settle on size, format and rate."""
        config["main"]["format"] = self.pixel_format
        self._config = config
        self._period_s = 1.0 / float(config["controls"].get("FrameRate", 30.0))

    def camera_configuration(self) -> dict[str, Any]:
        """What `configure` settled on."""
        return self._config

    def start(self) -> None:
        """Begin to capture."""
        if not self._config:
            raise RuntimeError("Camera has not been configured")
        self._started = True
        self._due_s = time.monotonic()

    def capture_request(self, wait: float | None = None) -> FakeRequest:
        """Wait for the next picture.

        Raises:
            TimeoutError: none came within `wait` seconds.
            RuntimeError: not started, or all buffers are held.
        """
        if not self._started or self.closed:
            raise RuntimeError("Camera is not started")
        if self.held >= self._config["buffer_count"]:
            raise RuntimeError("every buffer is held: release() was forgotten")
        limit_s = float("inf") if wait is None else time.monotonic() + wait
        self._due_s = max(self._due_s + self._period_s, time.monotonic())
        while self.hung.is_set() or time.monotonic() < self._due_s:
            if time.monotonic() >= limit_s:
                raise TimeoutError("timed out")
            time.sleep(0.001)
        self.held += 1
        self._number += 1
        return FakeRequest(self, self._number)

    def close(self) -> None:
        """Stop, and give the camera back."""
        self._started, self.closed = False, True
