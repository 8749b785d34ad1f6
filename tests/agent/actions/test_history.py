"""Histories of boxes: the same whatever the frame rate, empty where nothing was seen."""

from __future__ import annotations

import numpy as np
import pytest

from agent.actions.history import FEATURES, STEPS, TICK_S, BoxHistory, columns_of

SIZE = (640, 360)


def walker(time_s: float, speed: float = 0.8) -> list[float]:
    """A person of 80 px who walks so many of its heights a second, growing by a twentieth a second."""
    height = 80 * np.exp(0.05 * time_s)
    x = 100 + speed * 80 * time_s
    return [x - 0.2 * height, 250 - height, x + 0.2 * height, 250]


def watched(
    fps: float, until_s: float = 6.0, hidden: tuple[float, float] = (99, 99), start_s: float = 0.0
) -> BoxHistory:
    history = BoxHistory()
    history.follow(np.array([7]))
    for number in range(int(until_s * fps) + 1):
        time_s = number / fps
        seen = np.array([not hidden[0] <= time_s < hidden[1]])
        boxes = np.array([walker(time_s)], np.float32)
        history.observe(seen, boxes, start_s + time_s, SIZE)
    return history


@pytest.mark.parametrize("fps", [30, 25, 15, 12, 7, 5, 3])
def test_features_do_not_depend_on_the_frame_rate(fps: float) -> None:
    features = watched(fps).features(np.array([0]))
    assert features.shape == (1, STEPS, FEATURES)
    np.testing.assert_allclose(features, watched(10).features(np.array([0])), atol=0.03)


def test_features_are_per_second_and_in_lengths_of_the_object() -> None:
    newest = watched(10).features(np.array([0]))[0, -1]
    assert newest[0] == pytest.approx(0.8 / np.exp(0.05 * 6), abs=0.02)  # of its height by then
    assert newest[1] == pytest.approx(0.0, abs=1e-3)
    assert newest[2] == pytest.approx(0.05, abs=5e-3)
    assert newest[4] == pytest.approx(np.log(0.4), abs=1e-3)
    assert newest[8] == 1.0
    oldest = watched(10).features(np.array([0]))[0, 0]
    assert oldest[5] == pytest.approx(-0.8 * (STEPS - 1) * TICK_S / np.exp(0.05 * 6), abs=0.02)


def test_the_clock_may_stand_anywhere() -> None:
    late = watched(10, start_s=1e5).features(np.array([0]))
    np.testing.assert_allclose(late, watched(10).features(np.array([0])), atol=1e-3)


def test_short_gaps_are_bridged_and_long_ones_are_not() -> None:
    bridged = watched(10, hidden=(3.0, 3.7)).features(np.array([0]))
    np.testing.assert_allclose(bridged, watched(10).features(np.array([0])), atol=0.02)
    torn = watched(10, hidden=(3.0, 4.5)).features(np.array([0]))[0]
    ago_s = (np.arange(STEPS)[::-1]) * TICK_S
    inside = (ago_s < 3.0 - 0.05) & (ago_s > 1.5 + 0.05)
    assert (torn[inside, 8] == 0).all()
    assert (torn[inside][:, [0, 1, 2, 3, 4, 5, 6]] == 0).all()
    assert (torn[~inside & (ago_s < 4.5), 8] == 1).sum() >= STEPS // 2


def test_a_track_that_is_not_seen_now_cannot_be_judged() -> None:
    assert watched(10, hidden=(5.5, 9.0)).seen_steps().tolist() == [0]
    assert watched(10, until_s=1.0).seen_steps().tolist() == [6]


def test_histories_go_with_their_tracks_and_keep_to_their_ids() -> None:
    history = BoxHistory()
    boxes = {n: np.array([100 * n, 100, 100 * n + 40, 200], np.float32) for n in range(1, 5)}
    for number, ids in enumerate([[1, 2, 3], [1, 2, 3], [3, 1, 4], [3, 1, 4], [4], [4]]):
        history.follow(np.array(ids))
        rows = np.stack([boxes[n] for n in ids])
        history.observe(np.ones(len(ids), np.bool_), rows, number * TICK_S, SIZE)
        assert history.ids.tolist() == ids
    assert history.seen_steps().tolist() == [4]
    history.follow(np.zeros(0, np.int64))
    assert len(history.seen_steps()) == 0


def test_boxes_that_the_picture_cuts_are_marked() -> None:
    history = BoxHistory()
    history.follow(np.array([1, 2]))
    boxes = np.array([[0, 100, 40, 200], [300, 100, 340, 200]], np.float32)
    for number in range(10):
        history.observe(np.ones(2, np.bool_), boxes, number * 0.1, SIZE)
    features = history.features(np.array([0, 1]))
    assert features[:, -1, 9].tolist() == [1.0, 0.0]


def test_columns_are_found_by_id() -> None:
    assert columns_of(np.array([5, 2, 9]), np.array([9, 7, 5])).tolist() == [2, -1, 0]
    assert columns_of(np.zeros(0, np.int64), np.array([1])).tolist() == [-1]
