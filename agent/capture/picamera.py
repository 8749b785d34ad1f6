"""The Raspberry Pi's camera, through picamera2; the only module that imports it."""

from __future__ import annotations

import os
import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.adjust import adjuster
from agent.capture.rate_limit import RateLimit
from agent.capture.settings import SourceSettings
from agent.capture.source import SourceSetupError
from agent.errors import SourceError
from agent.records import Frame, ImageArray

DEFAULT_SIZE = (640, 480)
_BUFFERS = 4
_MAX_DELAY_S = 2.0
# picamera2 names formats by their order in a register: its RGB888 lies in memory as B, G, R.
_FROM_RGB = {"BGR888": cv2.COLOR_RGB2BGR, "XRGB8888": cv2.COLOR_BGRA2BGR, "XBGR8888": cv2.COLOR_RGBA2BGR}
_FROM_YUV = {
    "YUV420": cv2.COLOR_YUV2BGR_I420,
    "YVU420": cv2.COLOR_YUV2BGR_YV12,
    "NV12": cv2.COLOR_YUV2BGR_NV12,
    "NV21": cv2.COLOR_YUV2BGR_NV21,
}


class PicameraSource:
    """A camera on a Raspberry Pi's ribbon cable.

    Args:
        settings: `source` is `picamera:N`; the camera scales to `width` × `height` (640 × 480 when not
            given) and runs at `fps`.
        camera_class: picamera2.Picamera2, or what stands in for it (`picamera_fake.FakePicamera2`).

    Raises:
        SourceSetupError: picamera2 is not installed.
        SourceError: there is no such camera, it is in use, or cannot be configured.
    """

    live = True
    frame_count = None

    def __init__(self, settings: SourceSettings, camera_class: Any = None) -> None:
        number = int(settings.source.partition(":")[2] or 0)
        self._where = f"picamera:{number}"
        camera_class = camera_class or _import_picamera2(self._where)
        present = len(camera_class.global_camera_info())
        if number >= present:
            hint = "check the ribbon cable and `rpicam-hello --list-cameras`"
            raise SourceError(self._where, f"expected camera {number}, found {present} in all", hint)
        self._camera: Any = None
        try:
            self._camera = camera_class(number)
            self._format, self._size = _configure(self._camera, settings)
            self._camera.start()
        except Exception as error:  # picamera2 documents no exceptions, and raises what libcamera brings
            self.close()
            hint = "stop what else uses the camera"
            problem = f"expected a camera that starts, got: {_reason(error)}"
            raise SourceError(self._where, problem, hint) from error
        if self._format != "RGB888" and self._format not in _FROM_RGB and self._format not in _FROM_YUV:
            self.close()
            raise SourceError(self._where, f"expected RGB or YUV 4:2:0 pictures, got {self._format}")
        self.fps = settings.fps
        self._timeout_s = settings.stale_after_s
        self._adjust = adjuster(settings, resize=True)
        self._rate = RateLimit(settings.fps)
        self._index = 0

    def read(self) -> Frame | None:
        """The next frame, at the time that its exposure ended.

        Raises:
            SourceError: the camera failed, or nothing came for `stale_after_s`.
        """
        while True:
            try:
                request = self._camera.capture_request(wait=self._timeout_s)
                try:
                    time_s = capture_time_s(request.get_metadata().get("SensorTimestamp"))
                    array = request.make_array("main") if self._rate.keeps(time_s) else None
                finally:
                    request.release()
            except Exception as error:  # as above
                raise SourceError(self._where, f"expected a frame, got: {_reason(error)}") from error
            if array is not None:
                break
        image = to_bgr(array, self._format, self._size)
        wall_s = time.time() - (time.monotonic() - time_s)
        frame = Frame(self._adjust(image), time_s, wall_s, self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        """Stop the camera and give it back."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()  # stops it first


def to_bgr(array: NDArray[np.uint8], pixel_format: str, size: tuple[int, int]) -> ImageArray:
    """A picture as picamera2 hands it over, to BGR.

    Args:
        array: (H, W, 3 or 4) uint8, or (H * 3/2, stride) for YUV 4:2:0.
        pixel_format: picamera2's name.
        size: (width, height) in px, which rows may exceed to keep their alignment.

    Returns:
        (H, W, 3) uint8.
    """
    width, height = size
    if pixel_format in _FROM_YUV:
        array = np.ascontiguousarray(cv2.cvtColor(array, _FROM_YUV[pixel_format]), dtype=np.uint8)
    elif pixel_format in _FROM_RGB:
        array = np.ascontiguousarray(cv2.cvtColor(array, _FROM_RGB[pixel_format]), dtype=np.uint8)
    return array if array.shape[:2] == (height, width) else np.ascontiguousarray(array[:height, :width])


def capture_time_s(sensor_ns: int | None) -> float:
    """Monotonic seconds of a `SensorTimestamp` (ns since boot, suspension included); now without one."""
    now_s = time.monotonic()
    if sensor_ns is None:
        return now_s
    ago_s = time.clock_gettime(time.CLOCK_BOOTTIME) - sensor_ns * 1e-9
    return now_s - ago_s if 0.0 <= ago_s < _MAX_DELAY_S else now_s


def _configure(camera: Any, settings: SourceSettings) -> tuple[str, tuple[int, int]]:
    """Ask for size and rate; returns the format and size that the camera settled on."""
    width, height = settings.width, settings.height
    if width and not height:
        height = round(width * 3 / 4)
    elif height and not width:
        width = round(height * 4 / 3)
    size = (width, height) if width and height else DEFAULT_SIZE
    controls = {"FrameRate": settings.fps} if settings.fps else {}
    main = {"format": "RGB888", "size": size}
    camera.configure(camera.create_video_configuration(main=main, buffer_count=_BUFFERS, controls=controls))
    settled = camera.camera_configuration()["main"]
    return str(settled["format"]), (int(settled["size"][0]), int(settled["size"][1]))


def connected_cameras() -> list[str]:
    """Sensors of the connected cameras, in their order; none where picamera2 is not installed."""
    try:
        camera_class = _import_picamera2("picamera")
    except SourceSetupError:
        return []
    return [str(camera.get("Model", "camera")) for camera in camera_class.global_camera_info()]


def _import_picamera2(where: str) -> Any:
    # libcamera reports every start and stop on stderr.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise SourceSetupError(
            where,
            f"expected picamera2, got: {error}",
            "apt install python3-picamera2, and make the virtual environment with --system-site-packages",
        ) from error
    return Picamera2


def _reason(error: Exception) -> str:
    """One line of an exception, which may have no text at all."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
