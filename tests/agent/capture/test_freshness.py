from __future__ import annotations

import numpy as np

from agent.capture.freshness import Freshness
from agent.capture.status import SourceState


def picture(level: int) -> np.ndarray:
    return np.full((48, 64, 3), level, np.uint8)


def test_silence_is_a_fault_once_stale_after_s_have_passed() -> None:
    fresh = Freshness(5.0, 0.0)
    fresh.opened(100.0)
    fresh.frame(picture(1), 101.0)
    assert fresh.due_s == 106.0
    assert fresh.fault(105.9) is None
    assert fresh.fault(106.0) == (SourceState.LOST, "no frame for 5.0 s")


def test_first_frame_has_stale_after_s_from_the_opening() -> None:
    fresh = Freshness(5.0, 5.0)
    fresh.opened(100.0)
    assert fresh.fault(104.9) is None
    assert fresh.fault(105.0) is not None
    assert not fresh.delivers


def test_repeated_picture_is_frozen_although_frames_come() -> None:
    fresh = Freshness(5.0, 3.0)
    fresh.opened(0.0)
    assert fresh.frame(picture(1), 0.0)
    for step in range(1, 31):
        assert not fresh.frame(picture(1), step / 10)
    assert fresh.fault(2.9) is None
    assert fresh.fault(3.0) == (SourceState.FROZEN, "the same picture for 3.0 s")


def test_one_pixel_between_the_sampled_ones_is_a_change() -> None:
    fresh = Freshness(5.0, 3.0)
    fresh.opened(0.0)
    fresh.frame(picture(1), 0.0)
    changed = picture(1)
    changed[3, 5, 1] += 1
    assert fresh.frame(changed, 1.0)


def test_other_size_is_a_change() -> None:
    fresh = Freshness(5.0, 3.0)
    fresh.opened(0.0)
    fresh.frame(picture(1), 0.0)
    assert fresh.frame(np.full((24, 32, 3), 1, np.uint8), 1.0)


def test_zero_switches_frozen_off() -> None:
    fresh = Freshness(5.0, 0.0)
    fresh.opened(0.0)
    assert all(fresh.frame(picture(1), float(second)) for second in range(100))
    assert fresh.fault(99.0) is None


def test_reopened_source_is_well_only_with_another_picture() -> None:
    fresh = Freshness(5.0, 3.0)
    fresh.opened(0.0)
    fresh.frame(picture(1), 0.0)
    fresh.opened(10.0)
    assert not fresh.frame(picture(1), 10.1)
    assert not fresh.delivers
    assert fresh.good_for_s == 0.0
    assert fresh.frame(picture(2), 12.0)
    assert fresh.delivers
    assert fresh.good_for_s == 2.0
