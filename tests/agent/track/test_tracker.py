"""The tracker on scenes made of moving boxes, on hostile input, and from state to state."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import numpy as np
import pytest

from agent.errors import ConfigError, DataError
from agent.records import Detections, Tracks, TrackState
from agent.track import Tracker
from agent.track.settings import TrackerSettings

DT = 0.1


def seen(*boxes: tuple[float, float, float, float], score: float = 0.99, label: int = 0) -> Detections:
    """Detections of boxes (centre x, centre y, width, height)."""
    z = np.array(boxes, np.float32).reshape(-1, 4)
    half = z[:, 2:] / 2
    xyxy = np.concatenate((z[:, :2] - half, z[:, :2] + half), axis=1)
    return Detections(xyxy, np.full(len(z), score, np.float32), np.full(len(z), label, np.int64))


def walker(time_s: float, x: float = 100.0, speed: float = 60.0) -> tuple[float, float, float, float]:
    return x + speed * time_s, 200.0, 40.0, 100.0


def run(tracker: Tracker, frames: Iterable[Detections], start_s: float = 0.0) -> list[Tracks]:
    return [tracker.update(found, start_s + n * DT) for n, found in enumerate(frames)]


def test_a_walker_keeps_one_id_and_its_velocity_is_found() -> None:
    results = run(Tracker(), [seen(walker(n * DT)) for n in range(40)])
    assert [r.states.tolist() for r in results[:2]] == [[TrackState.TENTATIVE], [TrackState.CONFIRMED]]
    assert {tuple(r.ids.tolist()) for r in results} == {(1,)}
    assert results[-1].velocities[0] == pytest.approx([60, 0], abs=3)
    assert results[-1].age_s[0] == pytest.approx(3.9, abs=1e-5)
    np.testing.assert_allclose(results[-1].boxes[0], seen(walker(3.9)).boxes[0], atol=2)


def test_an_occluded_walker_comes_back_under_its_id() -> None:
    frames = [seen(walker(n * DT)) if not 20 <= n < 30 else Detections.empty() for n in range(40)]
    results = run(Tracker(), frames)
    hidden = results[29]
    assert hidden.states.tolist() == [TrackState.LOST]
    assert hidden.since_seen_s[0] == pytest.approx(1.0, abs=1e-5)
    assert len(hidden.visible) == 0
    assert results[-1].ids.tolist() == [1]
    assert results[-1].states.tolist() == [TrackState.CONFIRMED]


def test_two_who_cross_keep_their_ids() -> None:
    def frame(t: float) -> Detections:
        return seen((100 + 60 * t, 200, 40, 100), (400 - 60 * t, 214, 44, 120))

    results = run(Tracker(), [frame(n * DT) for n in range(50)])
    last = results[-1]
    first_x = last.boxes[last.ids == 1][0][0]
    assert sorted(last.ids.tolist()) == [1, 2]
    assert first_x == pytest.approx(100 + 60 * 4.9 - 20, abs=6)


def test_a_removed_track_is_reported_once_and_its_id_never_again() -> None:
    tracker = Tracker(TrackerSettings(lost_s=0.5))
    results = run(tracker, [seen(walker(n * DT)) for n in range(5)] + [Detections.empty()] * 10)
    reported = [r for r in results if TrackState.REMOVED in r.states]
    assert len(reported) == 1
    assert len(results[-1]) == 0
    again = run(tracker, [seen(walker(0))] * 2, start_s=10.0)
    assert again[-1].ids.tolist() == [2]


def test_nobody_is_taken_for_the_same_after_a_gap_in_the_frames() -> None:
    stands = seen((500.0, 250.0, 40.0, 100.0))
    for gap_s, same in ((1.5, True), (2.0, False), (10.0, False), (3600.0, False)):
        tracker = Tracker()
        run(tracker, [stands] * 20)
        again = tracker.update(stands, 1.9 + gap_s)
        states = dict(zip(again.ids.tolist(), again.states.tolist(), strict=True))
        assert states[1] == (TrackState.CONFIRMED if same else TrackState.REMOVED)
        assert tracker.update(stands, 2.0 + gap_s).ids.tolist() == ([1] if same else [2])
    tracker = Tracker(TrackerSettings(lost_s=20.0))
    run(tracker, [stands] * 20)
    assert tracker.update(stands, 12.0).ids.tolist() == [1]


def test_frames_that_always_come_seldom_have_no_gaps() -> None:
    tracker = Tracker()
    tracks = [tracker.update(seen((500.0, 250.0, 40.0, 100.0)), 2.5 * n + 0.4 * (n % 2)) for n in range(20)]
    assert {tuple(each.ids.tolist()) for each in tracks} == {(1,)}


def test_a_frame_that_comes_late_and_one_at_once_after_it_make_no_gap_of_the_next() -> None:
    tracker, stands = Tracker(), seen((500.0, 250.0, 40.0, 100.0))
    ids = [tracker.update(stands, time_s).ids.tolist() for time_s in (0, 2, 4, 6, 9.5, 10, 12, 14)]
    assert ids == [[1]] * 8
    assert TrackState.REMOVED in tracker.update(stands, 25).states
    assert tracker.update(stands, 25.1).ids.tolist() == [2]
    assert TrackState.REMOVED in tracker.update(stands, 30).states  # the gap before counts as no step


def test_a_gap_is_one_also_after_the_state_was_loaded() -> None:
    stands = seen((500.0, 250.0, 40.0, 100.0))
    first, second = Tracker(), Tracker()
    run(first, [stands] * 20)
    second.load_state(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    results = [
        [each.update(stands, time_s).ids.tolist() for time_s in (12.0, 12.1)] for each in (first, second)
    ]
    assert results == [[[1, 2], [2]]] * 2


def test_tentative_tracks_go_sooner_than_confirmed_ones() -> None:
    results = run(Tracker(), [seen(walker(0)), *[Detections.empty()] * 4])
    assert [len(r) for r in results] == [1, 1, 1, 0, 0]
    assert results[2].states.tolist() == [TrackState.REMOVED]


def test_tracks_lost_at_the_border_go_sooner() -> None:
    def survived(size: tuple[int, int] | None) -> int:
        tracker = Tracker()
        for n in range(10):
            tracker.update(seen((20 - n, 200, 40, 100)), n * DT, size)
        return sum(len(tracker.update(Detections.empty(), 1 + n * DT, size)) for n in range(30))

    assert survived((640, 480)) < survived(None)


def test_weak_detections_continue_tracks_and_start_none() -> None:
    settings = TrackerSettings(learn_scores=False)
    weak = [seen(walker(n * DT), score=0.55) for n in range(20)]
    assert all(len(r) == 0 for r in run(Tracker(settings), weak))
    tracker = Tracker(settings)
    run(tracker, [seen(walker(n * DT)) for n in range(5)])
    followed = run(tracker, weak[5:], start_s=0.5)
    assert followed[-1].states.tolist() == [TrackState.CONFIRMED]
    assert followed[-1].scores[0] == pytest.approx(0.55)


def test_a_detector_that_is_sure_at_085_is_learnt() -> None:
    frames = [seen(walker(n * DT), score=0.85) for n in range(60)]
    assert len(run(Tracker(), frames)[-1].visible) == 1
    assert len(run(Tracker(TrackerSettings(learn_scores=False)), frames)[-1]) == 0
    known = Tracker(score_quantiles=tuple(np.linspace(0.05, 0.87, 11)))
    assert len(run(known, frames[:2])[-1].visible) == 1


def test_junk_scores_alone_never_start_a_track() -> None:
    rng = np.random.default_rng(0)
    tracker = Tracker()
    for n in range(600):
        x, y = rng.uniform(0, 500, 2)
        assert len(tracker.update(seen((x, y, 40, 80), (100, 100, 40, 80), score=0.5), n * DT)) == 0


def test_classes_are_tracked_apart_unless_asked() -> None:
    frames = [seen(walker(n * DT), label=int(n % 3 == 2)) for n in range(30)]
    apart = run(Tracker(), frames)[-1]
    assert len(apart) == 2
    across = run(Tracker(TrackerSettings(across_classes=True)), frames)
    assert {tuple(r.ids.tolist()) for r in across} == {(1,)}
    assert all(r.labels.tolist() == [0] for r in across)


def test_a_label_follows_a_lasting_change_of_class() -> None:
    frames = [seen(walker(n * DT), label=int(n >= 5)) for n in range(30)]
    results = run(Tracker(TrackerSettings(across_classes=True)), frames)
    assert results[4].labels.tolist() == [0]
    assert results[-1].labels.tolist() == [1]


@pytest.mark.parametrize("fps", [5.0, 12.5, 30.0, 100.0])
def test_any_frame_rate_gives_the_same_walker(fps: float) -> None:
    tracker = Tracker()
    for n in range(int(4 * fps)):
        tracks = tracker.update(seen(walker(n / fps)), n / fps)
    assert tracks.ids.tolist() == [1]
    assert tracks.velocities[0] == pytest.approx([60, 0], abs=4)


def test_a_panning_camera_does_not_break_tracks() -> None:
    rng = np.random.default_rng(1)
    people = [(x, 150 + 30 * k, 30, 80) for k, x in enumerate((100, 200, 300, 400, 500, 600))]
    tracker = Tracker()
    pan = 0.0
    for n in range(60):
        pan += 10 * math.sin(n / 6) + rng.normal(0, 1)
        tracks = tracker.update(seen(*((x + pan, y, w, h) for x, y, w, h in people)), n * DT)
    assert sorted(tracks.visible.ids.tolist()) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("box", "score", "word"),
    [
        ((math.nan, 0, 10, 10), 0.9, "nan"),
        ((0, 0, math.inf, 10), 0.9, "inf"),
        ((-math.inf, 0, math.inf, 10), 0.9, "inf"),
        ((10, 0, 0, 10), 0.9, "x1 < x2"),
        ((0, 10, 10, 10), 0.9, "y1 < y2"),
        ((0, 0, 10, 10), 1.5, "1.5"),
        ((0, 0, 10, 10), -0.1, "-0.1"),
        ((0, 0, 10, 10), math.nan, "nan"),
    ],
)
def test_bad_detections_are_refused_by_name_and_change_nothing(
    box: tuple[float, ...], score: float, word: str
) -> None:
    tracker = Tracker()
    run(tracker, [seen(walker(n * DT)) for n in range(5)])
    before = json.dumps(tracker.state_dict())
    good = seen(walker(0.5))
    bad = Detections(
        np.concatenate((good.boxes, np.array([box], np.float32))),
        np.array([0.9, score], np.float32),
        np.zeros(2, np.int64),
    )
    with pytest.raises(DataError, match="tracker: detection 1: expected x1 < x2") as caught:
        tracker.update(bad, 0.5)
    assert word in str(caught.value)
    assert json.dumps(tracker.state_dict()) == before


@pytest.mark.parametrize("time_s", [0.4, 0.3, -1.0, math.nan, math.inf])
def test_time_that_does_not_advance_is_an_error_and_changes_nothing(time_s: float) -> None:
    tracker = Tracker()
    run(tracker, [seen(walker(n * DT)) for n in range(5)])
    before = json.dumps(tracker.state_dict())
    with pytest.raises(DataError, match=r"expected a time after 0\.4 s"):
        tracker.update(seen(walker(0.5)), time_s)
    assert json.dumps(tracker.state_dict()) == before


def test_an_hour_without_frames_removes_all_tracks_and_goes_on() -> None:
    tracker = Tracker()
    run(tracker, [seen(walker(n * DT)) for n in range(5)])
    after = tracker.update(seen((500, 300, 40, 100)), 3600.0)
    assert after.states.tolist() == [TrackState.REMOVED, TrackState.TENTATIVE]
    assert np.isfinite(after.boxes).all()


def test_empty_frames_only() -> None:
    assert [len(r) for r in run(Tracker(), [Detections.empty()] * 5)] == [0] * 5


def test_a_thousand_detections_a_frame() -> None:
    rng = np.random.default_rng(2)
    places = np.column_stack((rng.uniform(0, 4000, (1000, 2)), rng.uniform(20, 60, (1000, 2))))
    tracker = Tracker()
    for n in range(6):
        tracks = tracker.update(seen(*(places + np.array([3 * n, 0, 0, 0]))), n * DT)
    assert len(tracks.visible) > 900
    assert len(set(tracks.ids.tolist())) == len(tracks)


def test_memory_does_not_grow_with_ids() -> None:
    tracker = Tracker()
    rng = np.random.default_rng(3)
    for n in range(2000):
        tracks = tracker.update(seen((rng.uniform(0, 5000), rng.uniform(0, 5000), 30, 60)), n * DT)
    assert tracks.ids.max() > 1500
    assert len(tracker.state_dict()["whole"][0]) < 30


def test_ids_are_not_shared_between_trackers() -> None:
    first, second = Tracker(), Tracker()
    run(first, [seen(walker(0))] * 2)
    assert run(second, [seen(walker(0))] * 2)[-1].ids.tolist() == [1]


def test_reset_forgets_tracks_and_time_but_gives_no_id_again() -> None:
    tracker = Tracker()
    run(tracker, [seen(walker(n * DT)) for n in range(5)], start_s=100.0)
    tracker.reset()
    assert run(tracker, [seen(walker(0))] * 2)[-1].ids.tolist() == [2]


def test_a_restored_tracker_goes_on_bit_for_bit() -> None:
    rng = np.random.default_rng(4)
    frames = [
        seen(*(walker(n * DT, x=150.0 * k) for k in range(5) if rng.random() < 0.8), score=0.9)
        for n in range(60)
    ]
    whole = Tracker()
    run(whole, frames[:30])
    copy = Tracker()
    copy.load_state(json.loads(json.dumps(whole.state_dict(), allow_nan=False)))
    for one, other in zip(run(whole, frames[30:], 3.0), run(copy, frames[30:], 3.0), strict=True):
        for name in ("ids", "boxes", "velocities", "scores", "labels", "states", "age_s", "since_seen_s"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0},
        {"motion": [[1]]},
        {"next_id": 1},
        {"steps_s": ["soon"]},
        {"whole": "no"},
        {"scores": {"count": 3, "recent": []}},
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(change: dict[str, object]) -> None:
    tracker = Tracker()
    run(tracker, [seen(walker(n * DT)) for n in range(5)])
    before = tracker.state_dict()
    with pytest.raises(DataError, match="tracker state"):
        tracker.load_state({**before, **change})
    assert tracker.state_dict() == before


def test_lstm_without_a_model_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"tracker\.motion: expected a motion model"):
        Tracker(TrackerSettings(motion="lstm"))


def test_levels_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="low_score <= high_score <= birth_score"):
        TrackerSettings(high_score=0.96)
