"""Rules whose incidents last: dwell, occupancy, crowd, wrong way, speed, stopped, abandoned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.rules.crowd import groups_of
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings

SQUARE = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.8], [0.4, 0.8]]  # x 400..600 px, y 200..400 px


def scene(**rule: Any) -> dict[str, Any]:
    return {"zones": {"yard": {"points": SQUARE}}, "rules": [rule]}


def story(played: Any) -> list[tuple[str, float]]:
    return [(phase, time_s) for _, phase, time_s in played.story]


# Dwell


def test_dwell_begins_after_its_time_and_ends_on_leaving(play: Any, walk: Any) -> None:
    # Inside from 1 s to 8 s.
    stays = walk([(0, 300, 300), (2, 500, 300), (7, 500, 300), (9, 300, 300), (11, 200, 300)])
    played = play(scene(kind="dwell", zone="yard", min_s=5.0), [stays], fps=10)
    assert story(played) == [("start", 6.0), ("end", 8.5)]
    start, end = played.told()
    assert start.started_s == pytest.approx(1.0, abs=0.01)
    assert end.incident == start.incident
    assert end.evidence == {"duration_s": pytest.approx(7.5, abs=0.05), "reason": "over"}


@pytest.mark.parametrize(("stays_s", "told"), [(4.9, 0), (5.1, 1)])
@pytest.mark.parametrize("fps", [3.0, 15.0])
def test_dwell_is_what_was_spent_inside_to_the_moment(
    play: Any, walk: Any, stays_s: float, told: int, fps: float
) -> None:
    # At 100 px/s into the yard at 400 px and out again the same way.
    turn_s = 1 + stays_s / 2
    visit = walk([(0, 300, 300), (turn_s, 300 + 100 * turn_s, 300), (2 * turn_s, 300, 300), (20, 300, 300)])
    scene_wide = scene(kind="dwell", zone="yard", min_s=5.0)
    scene_wide["zones"]["yard"] = {"points": [[0.4, 0.4], [0.9, 0.4], [0.9, 0.8], [0.4, 0.8]]}
    assert len(play(scene_wide, [visit], fps=fps).told(phase="start")) == told


def test_dwell_survives_occlusion_but_begins_only_when_seen(play: Any, walk: Any) -> None:
    path = [(0, 500, 300), (12, 500, 300)]
    assert story(play(scene(kind="dwell", zone="yard", min_s=5.0), [walk(path, hidden=[(2, 4)])], fps=10))[
        0
    ] == (
        "start",
        5.0,
    )
    assert story(
        play(scene(kind="dwell", zone="yard", min_s=5.0), [walk(path, hidden=[(4, 9)])], fps=10)
    ) == [
        ("start", 9.0),
        ("end", 12.1),
    ]
    assert story(
        play(scene(kind="dwell", zone="yard", min_s=5.0), [walk(path, hidden=[(6, 11)])], fps=10)
    ) == [
        ("start", 5.0),
        ("end", 12.1),
    ]


def test_dwell_counts_again_after_leaving(play: Any, walk: Any) -> None:
    twice = walk([(0, 500, 300), (4, 500, 300), (5, 300, 300), (8, 300, 300), (9, 500, 300), (13, 500, 300)])
    assert play(scene(kind="dwell", zone="yard", min_s=5.0), [twice]).story == []


def test_updates_come_at_their_rate_while_it_lasts(play: Any, walk: Any) -> None:
    played = play(
        scene(kind="dwell", zone="yard", min_s=2.0, update_every_s=3.0),
        [walk([(0, 500, 300), (12, 500, 300)])],
        fps=10,
    )
    assert story(played) == [
        ("start", 2.0),
        ("update", 5.0),
        ("update", 8.0),
        ("update", 11.0),
        ("end", 12.1),
    ]
    assert len({alert.incident for alert in played.told()}) == 1


# Occupancy


def test_occupancy_above_lasts_while_too_many_are_inside(play: Any, walk: Any) -> None:
    # Three arrive at 0, 2 and 4 s; the first leaves at 8 s.
    walks = [
        walk([(0, 450, 300), (8, 450, 300), (8.01, 100, 300), (14, 100, 300)], id=1),
        walk([(2, 500, 300), (14, 500, 300)], id=2),
        walk([(4, 550, 300), (14, 550, 300)], id=3, hidden=[(5, 6)]),
    ]
    played = play(scene(kind="occupancy", zone="yard", above=2, for_s=1.0, clear_s=2.0), walks, fps=10)
    (start, end) = played.told()
    assert story(played) == [("start", 5.0), ("end", pytest.approx(10.6, abs=0.11))]
    assert (start.counts, end.counts) == ({"inside": 3}, {"inside": 2})
    assert start.started_s == pytest.approx(4.0)
    assert start.track is None


def test_occupancy_below_holds_for_an_empty_zone_and_ends_when_someone_comes(play: Any, walk: Any) -> None:
    played = play(
        scene(kind="occupancy", zone="yard", below=1, for_s=2.0, clear_s=0.0),
        [walk([(5, 500, 300), (8, 500, 300)])],
        fps=10,
        until_s=11.0,
    )
    assert story(played) == [("start", 2.0), ("end", 5.0), ("start", 10.1), ("end", 11.0)]
    assert played.told()[-1].evidence["reason"] == "stopped"


def test_occupancy_counts_only_what_the_rule_is_about(play: Any, walk: Any) -> None:
    walks = [walk([(0, 450 + 20 * n, 300), (5, 450 + 20 * n, 300)], id=n, label=n % 2) for n in range(1, 5)]
    played = play(scene(kind="occupancy", zone="yard", above=1, labels=["car"]), walks)
    assert played.told()[0].evidence["count"] == 2
    assert play(scene(kind="occupancy", zone="yard", above=2, labels=["car"]), walks).story == []


# Crowd


def test_a_crowd_is_a_chain_of_neighbours(play: Any, walk: Any) -> None:
    def row(gap: float) -> list[Any]:
        return [walk([(0, 300 + gap * n, 300), (4, 300 + gap * n, 300)], id=n) for n in range(4)]

    together = play(scene(kind="crowd", min_count=4, max_gap=1.0), row(39.0), fps=10)
    assert story(together)[0] == ("start", 1.0)
    assert together.told()[0].evidence["tracks"] == [0, 1, 2, 3]
    assert play(scene(kind="crowd", min_count=4, max_gap=1.0), row(41.0)).story == []
    in_zone = play(scene(kind="crowd", zone="yard", min_count=3, max_gap=1.0), row(39.0))
    assert in_zone.story == []  # of 300, 339, 378 and 417 px only the last is inside


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 25), st.integers(0, 10_000))
def test_groups_are_those_of_a_search_from_neighbour_to_neighbour(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    near = rng.random((count, count)) < 1.5 / count
    near = near | near.T | np.eye(count, dtype=bool)
    expected = [-1] * count
    for first in range(count):
        pending = [first] if expected[first] < 0 else []
        while pending:
            row = pending.pop()
            if expected[row] < 0:
                expected[row] = first
                pending += np.flatnonzero(near[row]).tolist()
    assert groups_of(near).tolist() == expected


# Wrong way and speed


@pytest.mark.parametrize(
    ("end", "wrong"),
    [((200, 250), True), ((800, 250), False), ((510, 30), False), ((490, 470), True), ((420, 470), True)],
)
def test_wrong_way_is_more_than_the_tolerance_off_the_arrow(
    play: Any, walk: Any, end: tuple[float, float], wrong: bool
) -> None:
    rule = scene(kind="wrong-way", allowed=[[0.1, 0.5], [0.9, 0.5]], tolerance_deg=90)
    played = play(rule, [walk([(0, 500, 250), (5, *end)])])
    assert [phase for phase, _ in story(played)] == (["start", "end"] if wrong else [])


def test_wrong_way_measures_angles_on_the_screen_not_in_fractions(play: Any, walk: Any) -> None:
    # 45 degrees on a 1000 × 500 px picture: 100 px right and 100 px down.
    rule = scene(kind="wrong-way", allowed=[[0.1, 0.5], [0.9, 0.5]], tolerance_deg=44)
    [start, _] = play(rule, [walk([(0, 300, 100), (3, 600, 400)])]).told()
    assert start.evidence["off_deg"] == pytest.approx(45, abs=0.5)
    rule["rules"][0]["tolerance_deg"] = 46
    assert play(rule, [walk([(0, 300, 100), (3, 600, 400)])]).story == []


def test_wrong_way_needs_travel_and_time(play: Any, walk: Any) -> None:
    rule = scene(kind="wrong-way", allowed=[[0.1, 0.5], [0.9, 0.5]], for_s=1.0)
    trembling = walk(
        [(0.1 * n, 500 + x, 300) for n, x in enumerate(np.random.default_rng(0).normal(0, 2, 80))]
    )
    assert play(rule, [trembling]).story == []
    short = walk([(0, 300, 300), (3, 600, 300), (3.6, 540, 300), (8, 900, 300)])
    assert play(rule, [short]).story == []
    back = walk([(0, 300, 300), (3, 600, 300), (6, 300, 300), (9, 300, 300), (12, 600, 300)])
    assert [phase for phase, _ in story(play(rule, [back]))] == ["start", "end"]


@pytest.mark.parametrize("fps", [5.0, 15.0, 30.0])
def test_speed_in_px_is_that_of_the_path_whatever_the_frame_rate(play: Any, walk: Any, fps: float) -> None:
    runs = walk([(0, 100, 300), (3, 250, 300), (6, 700, 300), (9, 850, 300)])  # 50, 150, 50 px/s
    played = play(scene(kind="speed", above_px_s=100.0), [runs], fps=fps)
    assert [phase for phase, _ in story(played)] == ["start", "end"]
    start, end = played.told()
    assert start.time_s == pytest.approx(3.5, abs=0.25)
    assert end.time_s == pytest.approx(7.5, abs=0.3)
    fast = play(scene(kind="speed", above_px_s=149.0), [runs], fps=fps).told()
    assert fast[0].evidence["speed_px_s"] == pytest.approx(150, abs=1)
    assert play(scene(kind="speed", above_px_s=151.0), [runs], fps=fps).story == []


@pytest.mark.parametrize("kind", ["speed", "wrong-way"])
@pytest.mark.parametrize(("fps", "window_s"), [(0.5, 1.0), (0.95, 1.0), (1.0, 1.0), (2.1, 1.0), (10.0, 0.2)])
def test_a_steady_walk_is_one_incident_also_where_a_window_holds_few_frames(
    make_tracks: Any, kind: str, fps: float, window_s: float
) -> None:
    what = {"above_px_s": 8.0} if kind == "speed" else {"allowed": [[0, 0.5], [1, 0.5]], "min_travel": 0.05}
    rule = scene(kind=kind, window_s=window_s, clear_s=0.0, **what)
    engine = RuleEngine(RulesSettings.model_validate(rule), labels=("person",), new_id=lambda: "1")
    jitter = np.random.default_rng(2).uniform(-0.025, 0.025, int(60 * fps)) if fps < 5 else [0.0] * 600
    alerts = []
    for number, late in enumerate(jitter):
        time_s = (number + late) / fps + 0.1
        row = (1, 1, 950 - 14 * time_s, 300, 20, 40, 0, 0.9, time_s)
        alerts += engine.update(make_tracks([row]), time_s, time_s, (1000, 500))
    assert [alert.phase.value for alert in alerts] == ["start"]
    assert alerts[0].time_s <= 3.2 / fps + 0.6


def test_what_was_seen_before_a_gap_in_the_frames_gives_no_speed(make_tracks: Any) -> None:
    rule = scene(kind="speed", above_px_s=50.0)
    engine = RuleEngine(RulesSettings.model_validate(rule), labels=("person",), new_id=lambda: "1")
    for number in range(60):
        time_s, x = (number / 15, 100.0) if number < 30 else (number / 15 + 2.0, 800.0)
        row = (1, 1, x, 300, 20, 40, 0, 0.9, time_s)
        assert engine.update(make_tracks([row]), time_s, time_s, (1000, 500)) == []


def test_speed_over_ground_follows_the_homography(play: Any, walk: Any) -> None:
    # A road seen in perspective: 7 m wide; the picture's rows 150 px and 450 px are 30 m apart.
    ground = {
        "points": [[0.4, 0.3], [0.6, 0.3], [0.9, 0.9], [0.1, 0.9]],
        "metres": [[0.0, 30.0], [7.0, 30.0], [7.0, 0.0], [0.0, 0.0]],
    }
    import cv2

    to_picture = cv2.getPerspectiveTransform(
        np.array(ground["metres"], np.float32),
        np.array(ground["points"], np.float32) * np.float32([1000, 500]),
    )
    times = np.arange(0, 2.55, 0.05)
    metres = np.stack((np.full_like(times, 3.5), 30 - 12.0 * times), axis=1)  # 12 m/s towards the camera
    picture = cv2.perspectiveTransform(metres[None].astype(np.float64), to_picture.astype(np.float64))[0]
    car = walk([(t, x, y) for t, (x, y) in zip(times.tolist(), picture.tolist(), strict=True)], label=1)
    for limit, found in ((11.5, 1), (12.5, 0)):
        rule = scene(kind="speed", above_m_s=limit) | {"ground": ground}
        starts = play(rule, [car], fps=20).told(phase="start")
        assert len(starts) == found
        if starts:
            assert starts[0].evidence["speed_m_s"] == pytest.approx(12.0, abs=0.2)


# Stopped


def test_stopped_counts_from_where_the_rest_began_and_ends_on_moving(play: Any, walk: Any) -> None:
    parks = walk([(0, 100, 300), (4, 500, 300), (20, 500, 300), (24, 900, 300)], label=1, box=(60, 40))
    played = play(scene(kind="stopped", min_s=10.0), [parks], fps=10)
    (start, end) = played.told()
    assert start.started_s == pytest.approx(4.0, abs=0.3)
    assert start.time_s == pytest.approx(14.0, abs=0.3)
    assert end.time_s == pytest.approx(21.2, abs=0.3)


def test_stopped_ignores_trembling_and_a_bad_box_but_not_creeping(play: Any, walk: Any) -> None:
    rng = np.random.default_rng(0)
    noise = [
        (0.1 * n, 500 + dx, 300 + dy) for n, (dx, dy) in enumerate(rng.normal(0, 1.5, (200, 2)).tolist())
    ]
    noise[100:103] = [(t, x + 40, y) for t, x, y in noise[100:103]]
    assert [p for p, _ in story(play(scene(kind="stopped", min_s=12.0), [walk(noise)], fps=10))] == [
        "start",
        "end",
    ]
    creeping = walk([(0, 300, 300), (20, 400, 300)])
    assert play(scene(kind="stopped", min_s=5.0), [creeping]).story == []


def test_who_rested_elsewhere_and_walks_into_the_zone_has_not_stopped_in_it(play: Any, walk: Any) -> None:
    # From rest at 380 px into the yard at 400 px within a fifth of a second.
    waits = walk([(0, 380, 300), (14, 380, 300), (16, 580, 300), (17, 700, 300)])
    assert play(scene(kind="stopped", zone="yard", min_s=10.0), [waits], fps=10).story == []


def test_a_parked_car_hidden_for_a_while_is_one_incident_though_its_track_changes(
    play: Any, walk: Any
) -> None:
    first = walk([(0, 500, 300), (20, 500, 300)], id=1, label=1, lost_s=2.0)
    again = walk([(28, 502, 301), (45, 502, 301)], id=9, label=1)
    other = walk([(15, 100, 310), (45, 900, 310)], id=2)
    rule = scene(kind="stopped", min_s=10.0, labels=["car"])
    played = play(rule | {"rejoin_s": 10.0}, [first, other, again], fps=5, until_s=44.0)
    assert [phase for phase, _ in story(played)] == ["start", "end"]
    assert played.ends[0].track is not None
    assert played.ends[0].track.id == 9
    apart = play(rule | {"rejoin_s": 5.0}, [first, other, again], fps=5, until_s=44.0)
    assert [phase for phase, _ in story(apart)] == ["start", "end", "start", "end"]
    assert apart.engine.objects == 0


def test_another_class_or_place_does_not_rejoin(play: Any, walk: Any) -> None:
    first = walk([(0, 500, 300), (20, 500, 300)], id=1, label=1)
    rule = scene(kind="stopped", min_s=10.0) | {"rejoin_s": 10.0}
    for other in (
        walk([(24, 500, 300), (40, 500, 300)], id=9, label=0),
        walk([(24, 540, 300), (40, 540, 300)], id=9, label=1),
    ):
        played = play(rule, [first, other], fps=5, until_s=39.0)
        assert [phase for phase, _ in story(played)] == ["start", "end", "start", "end"]


# Abandoned


def bag(walk: Any, owner_leaves: list[tuple[float, float, float]]) -> list[Any]:
    return [
        walk([(0, 300, 300), (4, 500, 300), *owner_leaves], id=1),
        walk([(4, 510, 300), (60, 510, 300)], id=2, label=2, box=(16, 16)),
    ]


def test_a_bag_is_abandoned_once_its_owner_has_been_away_for_its_time(play: Any, walk: Any) -> None:
    walks = bag(walk, [(8, 500, 300), (9, 600, 300), (12, 900, 300)])
    played = play(scene(kind="abandoned", min_s=10.0, labels=["backpack"]), walks, fps=10, until_s=40.0)
    (start, end) = played.told()
    assert start.time_s == pytest.approx(18.6, abs=0.3)
    assert start.evidence["owner"] == 1
    assert end.evidence["reason"] == "stopped"


def test_a_bag_is_not_abandoned_while_its_owner_stays_or_comes_back_in_time(play: Any, walk: Any) -> None:
    rule = scene(kind="abandoned", min_s=10.0, labels=["backpack"])
    assert play(rule, bag(walk, [(60, 500, 300)]), fps=10, until_s=50.0).story == []
    returns = bag(walk, [(8, 500, 300), (10, 800, 300), (15, 800, 300), (17, 500, 300), (60, 500, 300)])
    assert play(rule, returns, fps=10, until_s=50.0).story == []
    late = bag(walk, [(8, 500, 300), (10, 800, 300), (30, 800, 300), (32, 500, 300), (60, 500, 300)])
    assert [phase for phase, _ in story(play(rule, late, fps=10, until_s=50.0))] == ["start", "end"]


def test_a_passer_by_does_not_become_the_owner(play: Any, walk: Any) -> None:
    walks = bag(walk, [(8, 500, 300), (10, 900, 300), (10.5, 950, 300)])
    walks.append(walk([(13, 100, 310), (17, 510, 310), (20, 510, 310), (24, 900, 310)], id=3))
    played = play(scene(kind="abandoned", min_s=10.0, labels=["backpack"]), walks, fps=10, until_s=30.0)
    assert played.told()[0].time_s == pytest.approx(18.4, abs=0.4)


def test_an_owner_whose_track_number_changes_beside_the_bag_is_still_the_owner(play: Any, walk: Any) -> None:
    walks = [
        walk([(0, 300, 300), (4, 500, 300), (12, 500, 300)], id=1),
        walk([(12.4, 500, 300), (60, 500, 300)], id=5),
        walk([(4, 510, 300), (60, 510, 300)], id=2, label=2, box=(16, 16)),
    ]
    rule = scene(kind="abandoned", min_s=10.0, labels=["backpack"])
    assert play(rule, walks, fps=10, until_s=50.0).story == []


def test_people_are_never_abandoned(play: Any, walk: Any) -> None:
    rule = scene(kind="abandoned", min_s=5.0)
    assert play(rule, [walk([(0, 500, 300), (20, 500, 300)])]).story == []


def test_the_last_step_of_someone_who_comes_does_not_decide_where_they_rest(play: Any, walk: Any) -> None:
    # 28 px large, so 7 px are a move: from 294 to 302 by way of 300, where it stands.
    path = [
        (0.0, 294.0, 300.0),
        (0.5, 300.0, 300.0),
        (8.0, 300.0, 300.0),
        (8.2, 302.0, 300.0),
        (20.0, 302.0, 300.0),
    ]
    played = play({"rules": [{"kind": "stopped", "min_s": 5.0}]}, [walk(path)])
    assert [(alert.phase.value, round(alert.time_s)) for alert in played.told()] == [
        ("start", 5),
        ("end", 20),
    ]
