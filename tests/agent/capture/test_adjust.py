from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agent.capture.adjust import adjuster, target_size
from agent.capture.rate_limit import RateLimit
from agent.capture.settings import SourceSettings
from agent.records import Detections
from agent.track import Tracker
from agent.track.settings import TrackerSettings


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotation_turns_clockwise_as_rot90_does(turns: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (6, 10, 3), np.uint8)
    settings = SourceSettings(source="x", rotation=turns * 90)  # type: ignore[arg-type]
    assert np.array_equal(adjuster(settings, resize=True)(image), np.rot90(image, -turns))


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({}, (640, 480)),
        ({"width": 320}, (320, 240)),
        ({"height": 120}, (160, 120)),
        ({"width": 100, "height": 50}, (100, 50)),
    ],
)
def test_missing_side_is_to_scale(asked: dict[str, Any], size: tuple[int, int]) -> None:
    assert target_size(640, 480, asked.get("width"), asked.get("height")) == size


def test_size_is_before_rotation() -> None:
    settings = SourceSettings(source="x", width=32, height=16, rotation=90)
    assert adjuster(settings, resize=True)(np.zeros((48, 64, 3), np.uint8)).shape == (32, 16, 3)


def test_device_that_was_asked_for_the_size_is_not_resized() -> None:
    settings = SourceSettings(source="0", width=32, height=16)
    assert adjuster(settings, resize=False)(np.zeros((48, 64, 3), np.uint8)).shape == (48, 64, 3)


def test_picture_that_fits_is_handed_through_uncopied() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    assert adjuster(SourceSettings(source="x", width=64), resize=True)(image) is image


@pytest.mark.parametrize(
    ("camera_fps", "fps", "kept"), [(30, 10, 10), (30, 7, 7), (25, 25, 25), (10, 30, 10), (30, 29, 29)]
)
def test_rate_limit_keeps_the_rate_on_average(camera_fps: int, fps: int, kept: int) -> None:
    rng, limit = np.random.default_rng(1), RateLimit(fps)
    times = np.arange(camera_fps * 60) / camera_fps + rng.uniform(-0.1, 0.1, camera_fps * 60) / camera_fps
    count = sum(limit.keeps(float(time_s)) for time_s in np.sort(times))
    assert count / 60 == pytest.approx(kept, rel=0.04)


def test_rate_limit_makes_up_for_no_pause() -> None:
    limit = RateLimit(10.0)
    limit.keeps(0.0)
    kept = [time_s for time_s in np.arange(100.0, 101.0, 0.01) if limit.keeps(float(time_s))]
    assert len(kept) <= 11


@pytest.mark.parametrize("fps", [None, 30.0])
def test_rate_limit_keeps_no_frame_of_the_same_time_or_an_earlier_one(fps: float | None) -> None:
    limit, tracker = RateLimit(fps), Tracker(TrackerSettings())
    stamps = [1.0, 1.0, 1.1, 1.05, 1.1, 1.2]  # of a driver whose buffers come out of order
    kept = [time_s for time_s in stamps if limit.keeps(time_s)]
    assert kept == [1.0, 1.1, 1.2]
    for time_s in kept:  # the first of the stages that would refuse it
        tracker.update(Detections.empty(), time_s)
