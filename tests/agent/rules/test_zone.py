from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SQUARE = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.8], [0.4, 0.8]]  # x 400..600 px, y 200..400 px


def yard(zone: dict[str, Any] | None = None, **rule: Any) -> dict[str, Any]:
    return {
        "zones": {"yard": {"points": SQUARE, **(zone or {})}},
        "rules": [{"kind": "zone", "zone": "yard", "when": ["enter", "leave", "inside"], **rule}],
    }


def test_through_the_zone_enters_is_inside_and_leaves_at_the_interpolated_times(play: Any, walk: Any) -> None:
    # 100 px/s along y = 300: in at 2 s, out at 4 s, told as left half a second later.
    played = play(yard(), [walk([(0, 200, 300), (6, 800, 300)])], fps=10)
    assert [(kind, phase) for kind, phase, _ in played.story] == [
        ("enter", "instant"),
        ("inside", "start"),
        ("leave", "instant"),
        ("inside", "end"),
    ]
    [enter], [leave] = played.told(kind="enter"), played.told(kind="leave")
    assert enter.evidence["at_s"] == pytest.approx(2.0, abs=0.01)
    assert enter.evidence["place"] == pytest.approx([0.4, 0.6], abs=0.02)
    assert leave.evidence["at_s"] == pytest.approx(4.0, abs=0.01)
    assert leave.evidence["duration_s"] == pytest.approx(2.0, abs=0.01)
    assert leave.time_s == pytest.approx(4.5, abs=0.11)
    start, end = played.told(kind="inside")
    assert start.incident == end.incident
    assert enter.track is not None
    assert enter.track.path[0] == pytest.approx((200, 300))


@few
@given(fps=st.sampled_from([3.0, 5.0, 7.3, 15.0, 30.0]), seed=st.integers(0, 10_000))
def test_enterings_are_those_of_a_finely_sampled_path_whatever_the_frame_rate(
    play: Any, walk: Any, fps: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # Corners of the path lie on frames, so every rate sees the same path.
    times = np.concatenate(([0], np.cumsum(rng.integers(1, 4, 5)))) / fps * np.ceil(fps)
    spots = rng.uniform((250, 100), (750, 480), (6, 2)).astype(np.float32).astype(float)
    path = [(t, x, y) for t, (x, y) in zip(times.tolist(), spots.tolist(), strict=True)]
    fine = np.arange(0, times[-1], 0.001)
    x, y = np.interp(fine, times, spots[:, 0]), np.interp(fine, times, spots[:, 1])
    inside = (x >= 400) & (x <= 600) & (y >= 200) & (y <= 400)
    expected = int(inside[0]) + int((inside[1:] & ~inside[:-1]).sum())
    shortest = min(np.diff(np.flatnonzero(np.diff(inside.astype(int)))), default=100)
    if shortest < 5:  # a graze of less than 5 ms: the sampling of this test decides, not the rule
        return
    played = play(yard({"leave_after_s": 0.0}), [walk(path)], fps=fps, until_s=float(times[-1]) + 1.0)
    assert len(played.told(kind="enter")) == expected
    assert len(played.told(kind="leave")) == expected


def test_a_zone_crossed_between_two_frames_is_entered_and_left(play: Any, walk: Any) -> None:
    played = play(yard({"leave_after_s": 0.25}), [walk([(0, 100, 300), (1, 900, 300), (3, 950, 300)])], fps=1)
    [enter], [leave] = played.told(kind="enter"), played.told(kind="leave")
    assert (enter.evidence["at_s"], leave.evidence["at_s"]) == pytest.approx((0.375, 0.625), abs=0.01)
    assert played.told(kind="inside") == []


def test_jitter_at_the_edge_is_one_visit(play: Any, walk: Any) -> None:
    rng = np.random.default_rng(5)
    path = [(0.1 * number, 400 + x, 300.0) for number, x in enumerate(rng.normal(0, 5, 150).tolist())]
    path += [(16.0, 100.0, 300.0), (18.0, 90.0, 300.0)]
    played = play(yard({"leave_after_s": 3.0}), [walk(path)])
    assert (len(played.told(kind="enter")), len(played.told(kind="leave"))) == (1, 1)
    flapping = play(yard({"leave_after_s": 0.0}), [walk(path)])
    assert len(flapping.told(kind="enter")) > 10


def test_a_short_touch_is_no_entering_when_it_must_last(play: Any, walk: Any) -> None:
    brief = walk([(0, 350, 300), (1, 420, 300), (1.2, 420, 300), (2.2, 350, 300), (5, 350, 300)])
    assert len(play(yard(), [brief]).told(kind="enter")) == 1
    assert play(yard({"enter_after_s": 1.0}), [brief]).told(kind="enter") == []
    [enter] = play(yard({"enter_after_s": 0.5}), [brief]).told(kind="enter")
    assert enter.time_s - enter.evidence["at_s"] == pytest.approx(0.5, abs=0.1)


def test_appearing_and_vanishing_inside_are_entering_and_leaving_unless_switched_off(
    play: Any, walk: Any
) -> None:
    inside = walk([(0, 500, 300), (3, 510, 300)])
    played = play(yard(), [inside, walk([(0, 10, 10), (8, 10, 10)], id=2)])
    assert [(kind, phase) for kind, phase, _ in played.story] == [
        ("enter", "instant"),
        ("inside", "start"),
        ("leave", "instant"),
        ("inside", "end"),
    ]
    assert played.told(kind="enter")[0].evidence["unseen"] is True
    assert played.told(kind="leave")[0].evidence["unseen"] is True
    assert played.told(kind="inside")[1].evidence["reason"] == "vanished"
    silent = play(yard(when=["enter", "leave"], appearing=False, vanishing=False), [inside], until_s=8.0)
    assert silent.story == []


def test_the_edge_belongs_to_the_zone_and_the_picture_s_edge_holds_what_is_beyond(
    play: Any, walk: Any
) -> None:
    on_edge = walk([(0, 600, 300), (2, 600, 300)])
    assert len(play(yard(), [on_edge]).told(kind="enter")) == 1
    to_the_border = {"points": [[0.4, 0.8], [0.6, 0.8], [0.6, 1.0], [0.4, 1.0]]}
    cut_off = walk([(0, 500, 507), (2, 500, 507)])  # the feet are below the picture
    assert len(play(yard(to_the_border), [cut_off]).told(kind="enter")) == 1


@pytest.mark.parametrize("fps", [1.0, 2.0, 15.0])
@pytest.mark.parametrize("beyond", [-20, 0, 20])
@pytest.mark.parametrize(
    ("points", "edge"),
    [
        ([[0.3, 0.5], [0.6, 0.5], [0.6, 1.0], [0.3, 1.0]], "bottom"),
        ([[0.37, 0.5], [0.53, 0.5], [0.6, 1.0], [0.3, 1.0]], "bottom"),
        ([[0.5, 0.3], [1.0, 0.3], [1.0, 0.6], [0.5, 0.6]], "right"),
        ([[0.0, 0.3], [0.5, 0.3], [0.5, 0.6], [0.0, 0.6]], "left"),
    ],
    ids=["bottom", "slanted", "right", "left"],
)
def test_who_walks_along_the_picture_s_edge_enters_and_leaves(
    play: Any, walk: Any, points: list[list[float]], edge: str, beyond: int, fps: float
) -> None:
    # From 0.1 to 0.9 of the picture along its edge in one second: in at 0.25 s, out at 0.625 s.
    if edge == "bottom":
        path = [(0, 100, 500 + beyond), (1, 900, 500 + beyond)]
    else:
        x = 1000 + beyond if edge == "right" else -beyond
        path = [(0, x, 50), (1, x, 450)]
    played = play(yard({"points": points, "leave_after_s": 0.0}), [walk(path)], fps=fps)
    slanted = 0.01 if points[0][0] == 0.37 and beyond < 0 else 0.0
    assert [alert.evidence["at_s"] for alert in played.told(kind="enter")] == pytest.approx(
        [0.25 + slanted / 0.8], abs=0.006
    )
    assert [alert.evidence["at_s"] for alert in played.told(kind="leave")] == pytest.approx(
        [0.625 - slanted / 0.8], abs=0.006
    )


@pytest.mark.parametrize(
    ("zone", "inside"),
    [
        ({"anchor": "bottom"}, False),
        ({"anchor": "center"}, True),
        ({"anchor": "overlap", "min_overlap": 0.7}, True),
        ({"anchor": "overlap", "min_overlap": 0.8}, False),
    ],
)
def test_the_anchor_decides_which_part_of_the_object_counts(
    play: Any, walk: Any, zone: dict[str, Any], inside: bool
) -> None:
    standing = walk([(0, 500, 410), (2, 500, 410)])  # 40 px high: 30 of them above y = 400
    assert len(play(yard(zone), [standing]).told(kind="enter")) == int(inside)


def test_an_excluded_zone_is_cut_out(play: Any, walk: Any) -> None:
    scene = yard({"exclude": ["pond"]})
    scene["zones"]["pond"] = {"points": [[0.45, 0.5], [0.55, 0.5], [0.55, 0.7], [0.45, 0.7]]}
    assert play(scene, [walk([(0, 500, 300), (2, 500, 300)])]).told(kind="enter") == []
    through = play(scene, [walk([(0, 410, 300), (20, 590, 300)])])
    assert len(through.told(kind="enter")) == 2  # before and after the pond
    # At one frame in ten seconds the pond lies between two frames.
    fast = play(scene, [walk([(0, 410, 300), (10, 590, 300), (20, 590, 300)])], fps=0.1)
    assert len(fast.told(kind="enter")) == 2


@pytest.mark.parametrize(("min_overlap", "inside"), [(0.4, True), (0.43, False)])
def test_exclusions_may_reach_beyond_the_zone_and_overlap_when_boxes_are_asked(
    play: Any, walk: Any, min_overlap: float, inside: bool
) -> None:
    # The box, x 300..500 px and y 300..360 px: its right half is in the lawn, a sixth of that excluded.
    street = {"points": [[0.0, 0.7], [1.0, 0.7], [1.0, 1.0], [0.0, 1.0]]}
    lawn = {"points": [[0.4, 0.2], [0.6, 0.2], [0.6, 0.8], [0.4, 0.8]], "exclude": ["street", "kerb"]}
    zones = {
        "lawn": {**lawn, "anchor": "overlap", "min_overlap": min_overlap},
        "street": street,
        "kerb": {**street, "points": [[0.1, 0.7], [0.9, 0.7], [0.9, 0.9], [0.1, 0.9]]},
    }
    rule = {"kind": "zone", "zone": "lawn"}
    stands = walk([(0, 400, 360), (2, 400, 360)], box=(200, 60))
    assert len(play({"zones": zones, "rules": [rule]}, [stands]).told(kind="enter")) == int(inside)


def test_hidden_inside_stays_inside_and_hidden_on_the_way_is_found_when_seen_again(
    play: Any, walk: Any
) -> None:
    hidden = walk(
        [(0, 300, 300), (2, 500, 300), (8, 500, 300), (10, 300, 300), (12, 200, 300)], hidden=[(3, 7)]
    )
    assert [(kind, phase) for kind, phase, _ in play(yard(), [hidden]).story] == [
        ("enter", "instant"),
        ("inside", "start"),
        ("leave", "instant"),
        ("inside", "end"),
    ]
    through = walk([(0, 300, 300), (4, 700, 300), (6, 750, 300)], hidden=[(0.9, 3.1)])
    [enter] = play(yard(), [through]).told(kind="enter")
    assert enter.evidence["at_s"] == pytest.approx(1.0, abs=0.05)


def test_a_prediction_into_the_zone_alone_is_no_entering(play: Any, walk: Any) -> None:
    lost = walk([(0, 300, 300), (4, 700, 300)], hidden=[(0.5, 9.0)])
    assert play(yard(), [lost], until_s=3.0).story == []


def test_what_a_tentative_track_did_is_told_once_it_is_confirmed(play: Any, walk: Any) -> None:
    late = walk([(0, 380, 300), (4, 580, 300)], tentative_s=2.0)
    [enter] = play(yard(), [late]).told(kind="enter")
    assert (enter.time_s, enter.evidence["at_s"]) == pytest.approx((2.0, 0.4), abs=0.07)
    assert play(yard(), [walk([(0, 380, 300), (1.5, 480, 300)], tentative_s=2.0)], until_s=6).story == []


def test_events_that_waited_in_vain_are_told_apart_in_the_reasoning(play: Any, walk: Any) -> None:
    through = walk([(0, 380, 300), (1, 500, 300), (2, 760, 300), (4, 780, 300)], tentative_s=9.0)
    trace = play(yard(), [through], until_s=8).trace
    vain = [decision for decision in trace if decision.step.startswith("never told")]
    assert [decision.step for decision in vain] == ["never told enter", "never told leave"]
    assert vain[0].values["at_s"] < vain[1].values["at_s"]


def test_the_picture_may_change_its_size(make_tracks: Any) -> None:
    engine = RuleEngine(
        RulesSettings.model_validate(yard(when=["enter"])), labels=("person",), new_id=lambda: "1"
    )

    def row(x: float, y: float, scale: float) -> Any:
        return make_tracks([(1, 1, x * scale, y * scale, 20 * scale, 40 * scale, 0, 0.9, 1.0)])

    assert engine.update(row(300, 300, 1), 0.0, 0.0, (1000, 500)) == []
    assert engine.update(row(300, 300, 2), 1.0, 1.0, (2000, 1000)) == []
    assert [alert.kind for alert in engine.update(row(500, 300, 2), 2.0, 2.0, (2000, 1000))] == ["enter"]
