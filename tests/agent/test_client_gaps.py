"""Gaps in the numbers of devices whose cameras overtake each other."""

from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import client_gaps
from agent.client import SequenceCheck, SequenceGap

GRACE_S = 10.0


def told(check: SequenceCheck, time_s: float = math.inf) -> list[int]:
    return [number for gap in check.due(time_s) for number in range(gap.first, gap.last + 1)]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 10**9),
    st.data(),
)
def test_what_is_told_is_what_was_lost_whatever_camera_overtakes(
    sent: list[tuple[str, bool]], start: int, data: st.DataObject
) -> None:
    numbered = [(start + offset, camera, came) for offset, (camera, came) in enumerate(sent)]
    lanes = {name: [number for number, camera, came in numbered if camera == name and came] for name in "abc"}
    check = SequenceCheck(GRACE_S)
    came: list[int] = []
    while waiting := [name for name, lane in lanes.items() if lane]:
        name = data.draw(st.sampled_from(waiting))
        came.append(lanes[name].pop(0))
        check.see("porch", name, came[-1], 0.0)
        assert check.due(GRACE_S / 2) == []
    lost = set(range(came[0], max(came))) - set(came) if came else set()
    assert told(check) == sorted(lost)
    assert check.missing == len(lost)
    assert check.due(math.inf) == []
    for number in sorted(lost):
        check.see("porch", "late", number, 0.0)
    assert (check.missing, check.due(math.inf)) == (0, [])


def test_gap_is_told_after_the_grace_and_not_before() -> None:
    check = SequenceCheck(GRACE_S)
    check.see("porch", "front", 1, 100.0)
    check.see("porch", "front", 4, 105.0)
    assert check.due(114.9) == []
    assert check.due(115.0) == [SequenceGap("porch", 2, 3)]


def test_camera_that_is_behind_and_catches_up_is_waited_for() -> None:
    check = SequenceCheck(GRACE_S)
    check.see("porch", "front", 1, 0.0)
    check.see("porch", "back", 6, 0.0)
    for number, time_s in ((2, 8.0), (3, 16.0)):
        check.see("porch", "front", number, time_s)
        assert check.due(time_s + 9.0) == []
    check.see("porch", "back", 7, 25.0)  # is beyond the gap: brings nothing of it
    assert check.due(25.9) == []
    assert check.due(26.0) == [SequenceGap("porch", 4, 5)]
    check.see("porch", "front", 5, 30.0)
    assert (check.missing, check.due(math.inf)) == (1, [])


def test_smaller_number_of_another_camera_does_not_count_anew() -> None:
    check = SequenceCheck(GRACE_S)
    for camera, number in (("front", 5), ("back", 3), ("front", 6), ("back", 4)):
        check.see("porch", camera, number, 0.0)
    assert (check.missing, check.due(math.inf)) == (0, [])


def test_smaller_number_of_the_same_camera_counts_anew_and_gaps_behind_it_are_seen() -> None:
    check = SequenceCheck(GRACE_S)
    for number in (100, 101, 1, 2):
        check.see("porch", "front", number, 0.0)
    assert (check.missing, check.due(math.inf)) == (0, [])
    check.see("porch", "front", 5, 0.0)
    assert check.due(math.inf) == [SequenceGap("porch", 3, 4)]


def test_gap_of_before_the_device_counted_anew_is_told_and_its_numbers_are_others() -> None:
    check = SequenceCheck(GRACE_S)
    for number in (100, 103, 1, 2):
        check.see("porch", "front", number, 0.0)
    check.see("porch", "back", 101, 0.0)
    assert check.due(1.0) == [SequenceGap("porch", 101, 102)]
    assert check.missing == 2 + (100 - 2)


def test_more_gaps_than_are_remembered_are_all_told_and_take_no_more_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_gaps, "_MAX_HOLES", 2500)
    check = SequenceCheck(GRACE_S)
    for number in range(1, 6001, 2):
        check.see("porch", "front", number, 0.0)
    assert len(check._devices["porch"].holes) == 2500
    assert sorted(told(check)) == list(range(2, 6000, 2))
    assert len(check._devices["porch"].holes) == 1000, "what was told is given up first"
    assert check.missing == 2999


def test_backlog_that_cameras_bring_side_by_side_is_no_loss_however_long() -> None:
    check = SequenceCheck(GRACE_S)
    front, back = (
        deque(range(1, 33_001, 11)),
        deque(number for number in range(1, 33_001) if number % 11 != 1),
    )
    step, deepest = 0, 0
    while front or back:
        for camera, lane in (("front", front), ("back", back)):
            if lane:
                check.see("porch", camera, lane.popleft(), step * 0.005)
        deepest = max(deepest, check.missing)
        step += 1
        if step % 200 == 0:
            assert check.due(step * 0.005) == []
    assert deepest > 25_000
    assert (check.missing, check.due(math.inf)) == (0, [])


def test_one_who_asks_in_a_loop_has_all_looked_through_once_a_second() -> None:
    check = SequenceCheck(GRACE_S)
    check.see("porch", "front", 1, 0.0)
    check.see("porch", "front", 4, 0.0)
    assert check.due_by_now(9.5) == []
    assert check.due_by_now(10.4) == []
    assert check.due_by_now(10.5) == [SequenceGap("porch", 2, 3)]
