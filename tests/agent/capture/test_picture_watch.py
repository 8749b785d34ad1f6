"""Faults of the picture, told and ended, and healthy cameras that nothing is told of, on real frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.capture.picture import measure, similarity
from agent.capture.picture_watch import PictureWatch
from agent.records import ImageArray
from tests.faults.camera_pictures import clip, watched
from tests.faults.spoil import FAULTS, HARMLESS

ALL = ("black", "covered", "blurred", "moved", "garbage")


@pytest.fixture(scope="module")
def people(shared_data: Path) -> list[ImageArray]:
    return clip(shared_data / "pets09_s2l1" / "vtest_480x360.mp4")


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_told_when_its_time_has_passed_and_over_soon_after_its_end(
    people: list[ImageArray], fault: str
) -> None:
    spoil, states = FAULTS[fault]
    told = list(watched(people, spoil, 40.0))
    assert 10.0 <= told[0][0] <= 15.0
    assert {state for _, state in told[:-1]} <= set(states)
    assert told[-1][1] == "online"
    assert told[-1][0] <= 45.0


@pytest.mark.parametrize("change", [name for name in HARMLESS if "minutes" not in name])
def test_nothing_is_told_of_bad_light_weather_or_coding(people: list[ImageArray], change: str) -> None:
    assert list(watched(people, *HARMLESS[change])) == []


@pytest.mark.parametrize(
    "video", ["car-detection.mp4", "one-by-one-person-detection.mp4", "../pets09_s2l1/vtest_480x360.mp4"]
)
def test_nothing_is_told_of_real_videos(shared_data: Path, video: str) -> None:
    pictures, watch = clip(shared_data / "video" / video), PictureWatch(10.0, ALL)
    for second in range(400):
        assert not watch.look(pictures[second % len(pictures)], float(second))


def test_passing_fault_is_not_told(people: list[ImageArray]) -> None:
    assert list(watched(people, FAULTS["hand over the lens"][0], 8.0)) == []


def test_new_view_becomes_the_usual_one(people: list[ImageArray]) -> None:
    told = list(watched(people, FAULTS["turned by 15 degrees"][0], 400.0))
    assert [state for since_s, state in told if since_s < 400.0] == ["moved", "online"]


def test_what_is_not_asked_for_is_not_told(people: list[ImageArray]) -> None:
    watch, moved = PictureWatch(10.0, ("black",)), FAULTS["shifted by 15 %"][0]
    rng = np.random.default_rng(0)
    for second in range(120):
        picture = people[second % len(people)]
        assert not watch.look(picture if second < 60 else moved(picture, 0.0, rng), float(second))


def test_zero_looks_at_nothing() -> None:
    watch = PictureWatch(0.0, ALL)
    for second in range(60):
        assert not watch.look(np.zeros((48, 64, 3), np.uint8), float(second))
    assert watch.found is None


def test_black_from_the_start_is_told() -> None:
    watch = PictureWatch(10.0, ALL)
    rng = np.random.default_rng(0)
    for second in range(12):
        watch.look(rng.integers(0, 3, (240, 320, 3), np.uint8), float(second))
    assert watch.fault is not None and watch.fault[0] == "black"


def test_view_is_the_same_in_fog_and_dark_and_another_when_turned(people: list[ImageArray]) -> None:
    usual = measure(people[0]).edges
    for gain, bias in ((0.15, 180.0), (0.2, 0.0)):
        changed = np.clip(people[0] * gain + bias, 0, 255).astype(np.uint8)
        assert similarity(measure(changed).edges, usual) > 0.7
    assert similarity(measure(np.ascontiguousarray(people[0][:, ::-1])).edges, usual) < 0.2


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (4000, 20)])
def test_any_size_can_be_measured(size: tuple[int, int]) -> None:
    picture = measure(np.full((size[1], size[0], 3), 90, np.uint8))
    assert picture.level == pytest.approx(90)
    assert np.isfinite(picture.texture).all()


def test_blur_takes_texture_and_weak_light_does_not(people: list[ImageArray]) -> None:
    rich = np.argsort(measure(people[0]).fine)[-16:]
    whole = np.median(measure(people[0]).texture[rich])
    soft = np.median(measure(cv2.GaussianBlur(people[0], (0, 0), 3.0)).texture[rich])  # type: ignore[arg-type]
    dark = np.median(measure((people[0] * 0.4).astype(np.uint8)).texture[rich])
    assert soft < 0.3 * whole
    assert dark > 0.6 * whole
