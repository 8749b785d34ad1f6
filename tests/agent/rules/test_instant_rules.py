"""Rules that tell of a moment: removed, sequence, left scene."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

ZONES = {
    "gate": {"points": [[0.1, 0.4], [0.2, 0.4], [0.2, 0.8], [0.1, 0.8]]},  # x 100..200 px
    "path": {"points": [[0.4, 0.4], [0.6, 0.4], [0.6, 0.8], [0.4, 0.8]]},  # x 400..600 px
    "door": {"points": [[0.8, 0.4], [0.9, 0.4], [0.9, 0.8], [0.8, 0.8]]},  # x 800..900 px
}


def scene(**rule: Any) -> dict[str, Any]:
    return {"zones": ZONES, "rules": [rule]}


# Removed


def test_an_object_carried_off_is_removed_once(play: Any, walk: Any) -> None:
    carried = walk([(0, 500, 300), (20, 500, 300), (25, 900, 300), (33, 900, 300)], label=2)
    played = play(scene(kind="removed", settled_s=10.0, absent_s=3.0), [carried], fps=10)
    [alert] = played.told()
    assert alert.time_s == pytest.approx(24.3, abs=1.0)
    assert alert.evidence["how"] == "moved"
    assert alert.evidence["place"] == pytest.approx([0.5, 0.56], abs=0.01)


def test_an_object_out_of_sight_with_nothing_before_it_is_removed(play: Any, walk: Any) -> None:
    gone = walk([(0, 500, 300), (20, 500, 300)], label=2, lost_s=20.0)
    [alert] = play(scene(kind="removed", settled_s=10.0, absent_s=5.0), [gone], fps=10, until_s=60.0).told()
    assert alert.time_s == pytest.approx(25.0, abs=0.2)
    assert alert.evidence["how"] == "out of sight"


def test_someone_who_stands_before_it_takes_nothing_away(play: Any, walk: Any) -> None:
    hidden = walk([(0, 500, 300), (60, 500, 300)], label=2, hidden=[(15, 35)])
    before = walk([(12, 100, 305), (15, 500, 305), (35, 500, 305), (38, 900, 305)], id=2)
    rule = scene(kind="removed", settled_s=10.0, absent_s=5.0, labels=["backpack"])
    assert play(rule, [hidden, before], fps=10, until_s=50.0).story == []
    assert len(play(rule, [hidden], fps=10, until_s=50.0).story) == 1


def test_an_object_whose_track_is_given_up_is_removed_when_it_does_not_come_back(
    play: Any, walk: Any
) -> None:
    first = walk([(0, 500, 300), (20, 500, 300)], id=1, label=2)
    again = walk([(24, 500, 300), (60, 500, 300)], id=7, label=2)
    rule = scene(kind="removed", settled_s=10.0, absent_s=8.0)
    assert play(rule | {"rejoin_s": 10.0}, [first, again], fps=10, until_s=50.0).story == []
    assert len(play(rule | {"rejoin_s": 10.0}, [first], fps=10, until_s=50.0).told(kind="removed")) == 1
    assert len(play(rule | {"rejoin_s": 2.0}, [first, again], fps=10, until_s=50.0).told(kind="removed")) == 1


@pytest.mark.parametrize("away_s", [1.2, 3.0])
def test_an_object_back_in_its_place_is_not_missed(play: Any, walk: Any, away_s: float) -> None:
    # 57 px large, so 14 px are a move; someone who passes makes the box 18 px wrong for longer than a second.
    pushed = [(20.0, 300, 300), (20.1, 318, 300), (20 + away_s, 318, 300), (20.1 + away_s, 300, 300)]
    stays = walk([(0, 300, 300), *pushed, (60, 300, 300)], label=1, box=(80, 40))
    rule = scene(kind="removed", settled_s=10.0, absent_s=5.0)
    assert play(rule, [stays], fps=10, until_s=55.0).story == []
    back_for_a_while = [(0, 300, 300), *pushed, (40, 300, 300), (45, 800, 300), (60, 800, 300)]
    carried = walk(back_for_a_while, label=1, box=(80, 40))
    [alert] = play(rule, [carried], fps=10, until_s=55.0).told()
    assert alert.time_s == pytest.approx(46.3, abs=1.0)


@pytest.mark.parametrize("own_tracks", [False, True], ids=["one-track", "new-tracks"])
def test_an_object_found_only_now_and_then_is_told_once_until_it_settles_again(
    play: Any, walk: Any, own_tracks: bool
) -> None:
    # Out of sight from 20 s, found for half a second every seven seconds; for good from 50 s to 70 s.
    seen = [(0.0, 20.0), (26.5, 27.0), (33.5, 34.0), (40.5, 41.0), (50.0, 70.0)]
    if own_tracks:
        walks = [
            walk([(first, 300, 300), (last, 300, 300)], id=number, label=2, lost_s=1.8)
            for number, (first, last) in enumerate(seen, 1)
        ]
    else:
        hidden = [(last, first) for (_, last), (first, _) in itertools.pairwise(seen)]
        walks = [walk([(0, 300, 300), (70, 300, 300)], label=2, hidden=hidden, lost_s=9.0)]
    rule = scene(kind="removed", settled_s=10.0, absent_s=5.0) | {"rejoin_s": 10.0}
    told = play(rule, walks, fps=10, until_s=78.0).told()
    assert [alert.time_s for alert in told] == pytest.approx([25.0, 75.0], abs=0.2)


def test_an_object_that_never_settled_is_not_missed(play: Any, walk: Any) -> None:
    brief = walk([(0, 500, 300), (8, 500, 300), (12, 900, 300)], label=2)
    assert (
        play(scene(kind="removed", settled_s=10.0, absent_s=1.0), [brief], fps=10, until_s=20.0).story == []
    )


# Sequence


@pytest.mark.parametrize(("speed_s", "told"), [(4.0, 1), (8.0, 0)])
def test_a_sequence_must_be_fast_enough(play: Any, walk: Any, speed_s: float, told: int) -> None:
    # From the gate's edge at 200 px to the path's at 400 px: speed_s seconds.
    through = walk([(0, 50, 300), (1, 200, 300), (1 + speed_s, 400, 300), (2 + speed_s, 500, 300)])
    played = play(scene(kind="sequence", zones=["gate", "path"], within_s=5.0), [through], fps=10)
    assert len(played.told(kind="sequence")) == told
    if told:
        assert played.told()[0].evidence["entered_s"][1] == pytest.approx(5.0, abs=0.05)


def test_a_sequence_in_the_other_order_is_none(play: Any, walk: Any) -> None:
    back = walk([(0, 700, 300), (6, 50, 300)])
    assert play(scene(kind="sequence", zones=["gate", "path"], within_s=30.0), [back]).story == []


def test_time_counts_from_being_last_inside_the_zone_before(play: Any, walk: Any) -> None:
    waits = walk([(0, 150, 300), (60, 150, 300), (64, 500, 300)])
    assert len(play(scene(kind="sequence", zones=["gate", "path"], within_s=5.0), [waits], fps=5).story) == 1


def test_three_zones_and_a_way_back_tell_once_for_each_complete_passage(play: Any, walk: Any) -> None:
    rule = scene(kind="sequence", zones=["gate", "path", "door"], within_s=10.0)
    there = [(0.0, 50.0, 300.0), (9.0, 850.0, 300.0)]
    assert len(play(rule, [walk(there)]).story) == 1
    again = [*there, (18.0, 50.0, 300.0), (27.0, 850.0, 300.0)]
    assert len(play(rule, [walk(again)]).story) == 2
    only_the_end_again = [*there, (12.0, 500.0, 300.0), (15.0, 850.0, 300.0)]
    assert len(play(rule, [walk(only_the_end_again)]).story) == 1
    skips_the_middle = [(0.0, 150.0, 300.0), (2.0, 150.0, 100.0), (4.0, 850.0, 100.0), (6.0, 850.0, 300.0)]
    assert play(rule, [walk(skips_the_middle)]).story == []


def test_the_two_steps_must_be_of_the_same_object(play: Any, walk: Any) -> None:
    one, other = walk([(0, 50, 300), (3, 250, 300)], id=1), walk([(1, 300, 300), (4, 500, 300)], id=2)
    assert play(scene(kind="sequence", zones=["gate", "path"], within_s=30.0), [one, other]).story == []


@pytest.mark.parametrize("order", [("yard", "door"), ("door", "yard")])
def test_who_is_first_seen_in_the_last_zone_has_not_gone_there(
    play: Any, walk: Any, order: tuple[str, str]
) -> None:
    # The yard, x 200..950 px, holds the door.
    zones = {**ZONES, "yard": {"points": [[0.2, 0.2], [0.95, 0.2], [0.95, 0.9], [0.2, 0.9]]}}
    rule = {
        "zones": {name: zones[name] for name in order},
        "rules": [{"kind": "sequence", "zones": ["yard", "door"], "within_s": 30.0}],
    }
    comes_out = [(0.0, 850.0, 300.0), (3.0, 850.0, 300.0), (6.0, 500.0, 300.0)]
    assert play(rule, [walk(comes_out)]).story == []
    goes_back = [*comes_out, (9.0, 850.0, 300.0), (12.0, 850.0, 300.0)]
    assert [time_s for _, _, time_s in play(rule, [walk(goes_back)]).story] == pytest.approx([8.6], abs=0.1)
    first_seen_in_the_yard = [(0.0, 500.0, 300.0), (3.0, 850.0, 300.0), (6.0, 850.0, 300.0)]
    assert len(play(rule, [walk(first_seen_in_the_yard)]).story) == 1


# Left scene


def test_left_scene_is_told_when_the_track_is_given_up(play: Any, walk: Any) -> None:
    leaves = walk([(0, 500, 300), (4, 995, 300)], lost_s=2.0)
    [alert] = play(scene(kind="left-scene"), [leaves], fps=10, until_s=12.0).told()
    assert alert.time_s == pytest.approx(6.1, abs=0.11)
    assert (alert.evidence["edge"], alert.evidence["last_seen_s"]) == ("right", 4.0)
    assert alert.started_s == 0.0


def test_left_scene_at_the_edge_only_is_silent_about_those_who_vanish(play: Any, walk: Any) -> None:
    vanishes = walk([(0, 100, 300), (4, 500, 300)], lost_s=2.0)
    rule = scene(kind="left-scene", edge_only=True)
    assert play(rule, [vanishes], until_s=12.0).story == []
    assert len(play(rule, [walk([(0, 500, 300), (4, 500, 499)])], until_s=12.0).story) == 1


def test_neither_tentative_tracks_nor_the_end_of_the_camera_are_leaving(play: Any, walk: Any) -> None:
    tentative = walk([(0, 500, 300), (2, 500, 300)], tentative_s=5.0)
    assert play(scene(kind="left-scene"), [tentative], until_s=8.0).story == []
    still_there = walk([(0, 500, 300), (60, 500, 300)])
    assert play(scene(kind="left-scene"), [still_there], until_s=8.0).story == []
