from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from agent.capture.picamera import PicameraSource, capture_time_s, to_bgr
from agent.capture.picamera_fake import FakePicamera2
from agent.capture.settings import SourceSettings
from agent.capture.source import SourceSetupError, open_source
from agent.errors import SourceError

SLACK_S = 1e-3
"""Between clocks that are read one after the other."""


@pytest.fixture
def fake() -> Iterator[type[FakePicamera2]]:
    class Camera(FakePicamera2):
        """One test's own class attributes."""

    yield Camera


def test_frames_have_the_asked_size_rotation_and_growing_times(fake: type[FakePicamera2]) -> None:
    settings = SourceSettings(
        source="picamera:0", width=320, height=240, rotation=90, fps=100, stale_after_s=60
    )
    source = PicameraSource(settings, fake)
    times = []
    for _ in range(5):
        before_s, before_wall_s = time.monotonic(), time.time()
        frame = source.read()
        assert frame is not None and frame.size == (240, 320)
        assert before_s - SLACK_S <= frame.time_s <= time.monotonic() + SLACK_S
        assert before_wall_s - SLACK_S <= frame.wall_s <= time.time() + SLACK_S
        times.append(frame.time_s)
    source.close()
    source.close()
    assert np.all(np.diff(times) > 0)


def test_every_buffer_is_given_back(fake: type[FakePicamera2]) -> None:
    source = PicameraSource(
        SourceSettings(source="picamera:0", width=64, height=48, fps=500, stale_after_s=60), fake
    )
    for _ in range(20):
        source.read()
    assert source._camera.held == 0
    source.close()


def test_format_that_the_camera_insists_on_is_converted(fake: type[FakePicamera2]) -> None:
    fake.pixel_format = "NV12"
    source = PicameraSource(SourceSettings(source="picamera:0", width=64, height=48, stale_after_s=60), fake)
    frame = source.read()
    source.close()
    assert frame is not None and frame.image.shape == (48, 64, 3)


def test_unknown_format_is_refused_and_the_camera_given_back(fake: type[FakePicamera2]) -> None:
    fake.pixel_format = "R10"
    with pytest.raises(SourceError, match="got R10"):
        PicameraSource(SourceSettings(source="picamera:0"), fake)


@pytest.mark.parametrize("pixel_format", ["YUV420", "YVU420", "BGR888", "XRGB8888", "XBGR8888", "RGB888"])
def test_formats_bring_back_the_colours(pixel_format: str) -> None:
    bgr = np.zeros((16, 32, 3), np.uint8)
    bgr[:, :16], bgr[:, 16:] = (200, 60, 20), (20, 120, 220)
    codes = {
        "YUV420": cv2.COLOR_BGR2YUV_I420,
        "YVU420": cv2.COLOR_BGR2YUV_YV12,
        "BGR888": cv2.COLOR_BGR2RGB,
        "XRGB8888": cv2.COLOR_BGR2BGRA,
        "XBGR8888": cv2.COLOR_BGR2RGBA,
    }
    array = cv2.cvtColor(bgr, codes[pixel_format]) if pixel_format in codes else bgr
    assert np.abs(to_bgr(array, pixel_format, (32, 16)).astype(int) - bgr).max() <= 4


def test_rows_padded_for_alignment_are_cut_to_size() -> None:
    assert to_bgr(np.zeros((48, 96, 3), np.uint8), "RGB888", (64, 48)).shape == (48, 64, 3)


def test_silent_camera_is_an_error_after_stale_after_s(fake: type[FakePicamera2]) -> None:
    source = PicameraSource(SourceSettings(source="picamera:0", stale_after_s=0.1), fake)
    source._camera.hung.set()
    with pytest.raises(SourceError, match="picamera:0: expected a frame, got: timed out"):
        source.read()
    source.close()


def test_camera_that_is_not_there_is_named(fake: type[FakePicamera2]) -> None:
    with pytest.raises(SourceError, match="expected camera 3, found 1 in all"):
        PicameraSource(SourceSettings(source="picamera:3"), fake)


@pytest.mark.skipif(importlib.util.find_spec("picamera2") is not None, reason="picamera2 is installed")
def test_missing_picamera2_says_what_to_install() -> None:
    with pytest.raises(SourceSetupError, match="apt install python3-picamera2"):
        open_source(SourceSettings(source="picamera:0"))


def test_sensor_time_counts_from_boot() -> None:
    before_s = time.monotonic()
    sensor_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 50_000_000
    after_s = time.monotonic()
    assert before_s - 0.05 - SLACK_S <= capture_time_s(sensor_ns) <= after_s - 0.05 + SLACK_S
    for none_of_now in (5, None):
        before_s = time.monotonic()
        assert before_s <= capture_time_s(none_of_now) <= time.monotonic()
