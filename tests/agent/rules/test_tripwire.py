from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""The fixtures hold no state, and a scene takes a tenth of a second."""

LINE = [[0.3, 0.5], [0.7, 0.5]]  # y = 250 px, x from 300 to 700; A above, B below


def gate(**more: Any) -> dict[str, Any]:
    return {
        "tripwires": {"gate": {"points": LINE, **more}},
        "rules": [{"kind": "tripwire", "tripwire": "gate"}],
    }


def directions(played: Any) -> list[str]:
    return [alert.evidence["direction"] for alert in played.told(kind="cross")]


@pytest.mark.parametrize(
    ("points", "start", "end", "direction"),
    [
        ([[0.3, 0.5], [0.7, 0.5]], (500, 100), (500, 400), "a-to-b"),
        ([[0.3, 0.5], [0.7, 0.5]], (500, 400), (500, 100), "b-to-a"),
        ([[0.7, 0.5], [0.3, 0.5]], (500, 100), (500, 400), "b-to-a"),
        ([[0.5, 0.1], [0.5, 0.9]], (800, 250), (200, 250), "a-to-b"),  # drawn downwards: A is on the right
        ([[0.5, 0.1], [0.5, 0.9]], (200, 250), (800, 250), "b-to-a"),
    ],
)
def test_direction_is_that_of_the_left_and_right_hand_along_the_line(
    play: Any, walk: Any, points: Any, start: Any, end: Any, direction: str
) -> None:
    scene = {"tripwires": {"gate": {"points": points}}, "rules": [{"kind": "tripwire", "tripwire": "gate"}]}
    assert directions(play(scene, [walk([(0, *start), (3, *end)])])) == [direction]


def test_only_the_direction_asked_for_is_told_but_both_are_counted(play: Any, walk: Any) -> None:
    scene = gate() | {"rules": [{"kind": "tripwire", "tripwire": "gate", "direction": "b-to-a"}]}
    played = play(scene, [walk([(0, 500, 100), (2, 500, 400), (4, 500, 100)])])
    assert directions(played) == ["b-to-a"]
    assert played.engine.counts()["tripwires"]["gate"]["today"] == {
        "a-to-b": {"person": 1},
        "b-to-a": {"person": 1},
    }


@few
@given(
    turns=st.integers(1, 5),
    fps=st.sampled_from([2.0, 3.7, 5.0, 10.0, 15.0, 30.0]),
    drift=st.floats(-10, 10),
    phase=st.floats(0, 0.5),
)
def test_a_path_through_the_line_n_times_counts_n_times_whatever_the_frame_rate(
    play: Any, walk: Any, turns: int, fps: float, drift: float, phase: float
) -> None:
    # Zigzag of 300 px, three seconds a way: at 2 frames a second each turn is still seen beyond the margin.
    path = [
        (phase + 3 * turn, 500 + drift * turn, 100 if turn % 2 == 0 else 400) for turn in range(turns + 1)
    ]
    assert directions(play(gate(), [walk(path)], fps=fps)) == [
        "a-to-b" if t % 2 == 0 else "b-to-a" for t in range(turns)
    ]


@few
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_crossings_do_not_depend_on_the_resolution(play: Any, walk: Any, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    spots = rng.uniform((200, 100), (800, 400), (8, 2))
    small = walk([(2.0 * number, x, y) for number, (x, y) in enumerate(spots.tolist())])
    large = walk([(t, x * scale, y * scale) for t, x, y in small.path], box=(20 * scale, 40 * scale))
    first = play(gate(), [small], fps=5.0)
    second = play(gate(), [large], fps=5.0, size=(int(1000 * scale), int(500 * scale)))
    assert directions(first) == directions(second)


@few
@given(seed=st.integers(0, 10_000))
def test_without_margin_crossings_are_the_intersections_of_path_and_segment(
    play: Any, walk: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    spots = rng.uniform((200, 100), (800, 400), (12, 2)).astype(np.float32)
    path = [(float(number), x, y) for number, (x, y) in enumerate(spots.tolist())]
    a, b = np.array([300.0, 250.0]), np.array([700.0, 250.0])

    def turn(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> float:
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    steps = list(zip(spots[:-1].astype(float), spots[1:].astype(float), strict=True))
    expected = sum(turn(a, b, p) * turn(a, b, q) < 0 and turn(p, q, a) * turn(p, q, b) < 0 for p, q in steps)
    # Going round an end changes the side of the prolonged line, and nothing that counts.
    assert (
        len(directions(play(gate(margin=0.0, settle_s=0.0), [walk(path)], fps=1.0, until_s=12.0))) == expected
    )


def test_an_object_that_stands_on_the_line_and_trembles_is_not_counted(play: Any, walk: Any) -> None:
    rng = np.random.default_rng(1)
    path = [(0.0, 500.0, 100.0), (3.0, 500.0, 250.0)]
    path += [
        (3.0 + 0.1 * number, 500 + dx, 250 + dy)
        for number, (dx, dy) in enumerate(rng.uniform(-2, 2, (200, 2)), 1)
    ]
    trembling = play(gate(), [walk(path, lost_s=0.0)])
    assert len(directions(trembling)) <= 1  # at most where it ended: nothing for the trembling
    path += [(26.0, 500.0, 400.0)]
    assert directions(play(gate(), [walk(path)])) == ["a-to-b"]


def test_an_object_that_touches_the_line_and_turns_back_is_not_counted(play: Any, walk: Any) -> None:
    assert directions(play(gate(), [walk([(0, 500, 100), (2, 500, 250), (4, 500, 100)])])) == []


def test_less_than_the_margin_beyond_is_no_crossing_but_ending_there_is(play: Any, walk: Any) -> None:
    back = walk([(0, 500, 100), (2, 500, 252), (4, 500, 100)])
    assert directions(play(gate(), [back])) == []
    ends = walk([(0, 500, 100), (2, 500, 252)])
    assert directions(play(gate(), [ends])) == ["a-to-b"]
    assert directions(play(gate(strict=True), [ends])) == []


def test_strict_asks_for_the_margin_on_the_side_it_came_from(play: Any, walk: Any) -> None:
    appears_near = walk([(0, 500, 249), (2, 500, 400)])
    assert directions(play(gate(), [appears_near])) == ["a-to-b"]
    assert directions(play(gate(strict=True), [appears_near])) == []


def test_a_path_around_the_end_is_no_crossing_and_one_through_the_end_is(play: Any, walk: Any) -> None:
    around = walk([(0, 500, 100), (1, 800, 100), (2, 800, 400), (3, 500, 400)])
    assert directions(play(gate(), [around])) == []
    # Out through the line, back around its end, out again: two crossings in the same direction.
    circle = walk([(0, 500, 100), (1, 500, 400), (2, 800, 400), (3, 800, 100), (4, 500, 100), (5, 500, 400)])
    assert directions(play(gate(), [circle])) == ["a-to-b", "a-to-b"]
    through_end = walk([(0, 700, 100), (2, 700, 400)])
    assert directions(play(gate(), [through_end])) == ["a-to-b"]


def test_first_seen_exactly_on_the_line_comes_from_neither_side(play: Any, walk: Any) -> None:
    assert directions(play(gate(), [walk([(0, 500, 250), (2, 500, 400)])])) == []


def test_walking_along_the_line_counts_where_it_leaves_it(play: Any, walk: Any) -> None:
    along = walk([(0, 400, 100), (1, 400, 250), (3, 600, 250), (4, 600, 400)])
    assert directions(play(gate(), [along])) == ["a-to-b"]
    beyond_end = walk([(0, 600, 100), (1, 600, 250), (3, 900, 250), (4, 900, 400)])
    assert directions(play(gate(), [beyond_end])) == []


def test_a_crossing_made_while_hidden_is_told_once_when_seen_again(play: Any, walk: Any) -> None:
    hidden = walk([(0, 500, 100), (4, 500, 400)], hidden=[(1.0, 3.0)])
    [alert] = play(gate(), [hidden]).told(kind="cross")
    assert alert.time_s == pytest.approx(3.0, abs=0.07)
    assert alert.evidence["at_s"] == pytest.approx(2.0, abs=0.1)


def test_a_prediction_across_the_line_alone_is_no_crossing(play: Any, walk: Any) -> None:
    lost_before = walk([(0, 500, 100), (4, 500, 400)], hidden=[(1.9, 9.0)])
    played = play(gate(), [lost_before], until_s=6.0)
    assert directions(played) == []


def test_a_crossing_made_while_tentative_is_told_once_confirmed_and_never_otherwise(
    play: Any, walk: Any
) -> None:
    late = walk([(0, 500, 200), (1, 500, 300), (3, 500, 400)], tentative_s=1.5)
    [alert] = play(gate(), [late]).told(kind="cross")
    assert alert.time_s == pytest.approx(1.5, abs=0.07)
    assert alert.evidence["at_s"] == pytest.approx(0.5, abs=0.01)
    never = play(gate(), [walk([(0, 500, 200), (1, 500, 300)], tentative_s=5.0)])
    assert directions(never) == []
    assert never.engine.counts()["tripwires"]["gate"]["total"] == {}


def test_two_lines_that_share_an_end_both_count_a_path_through_it(play: Any, walk: Any) -> None:
    scene = {
        "tripwires": {
            "left": {"points": [[0.2, 0.5], [0.5, 0.5]]},
            "right": {"points": [[0.5, 0.5], [0.8, 0.5]]},
        },
        "rules": [{"kind": "tripwire", "tripwire": "left"}, {"kind": "tripwire", "tripwire": "right"}],
    }
    assert len(directions(play(scene, [walk([(0, 500, 100), (2, 500, 400)])]))) == 2


def test_center_anchor_crosses_later_than_the_feet(play: Any, walk: Any) -> None:
    path = walk([(0, 500, 100), (2, 500, 260)], box=(20, 40))
    assert directions(play(gate(), [path])) == ["a-to-b"]
    assert directions(play(gate(anchor="center"), [path])) == []


def test_every_class_has_its_own_count_and_a_rule_tells_only_of_its_own(play: Any, walk: Any) -> None:
    scene = gate() | {"rules": [{"kind": "tripwire", "tripwire": "gate", "labels": ["car"]}]}
    person, car = (
        walk([(0, 400, 100), (2, 400, 400)], id=1),
        walk([(0, 600, 100), (2, 600, 400)], id=2, label=1),
    )
    played = play(scene, [person, car])
    assert [alert.track.label for alert in played.told(kind="cross")] == ["car"]
    assert played.engine.counts()["tripwires"]["gate"]["today"] == {"a-to-b": {"car": 1, "person": 1}}


@few
@given(
    crosses=st.booleans(),
    leaps=st.lists(st.tuples(st.floats(0.3, 5.4), st.floats(0.04, 0.45)), max_size=4),
    fps=st.sampled_from([10.0, 15.0, 30.0]),
)
def test_a_box_that_leaps_over_the_line_and_back_changes_no_count(
    play: Any, walk: Any, crosses: bool, leaps: list[tuple[float, float]], fps: float
) -> None:
    # Someone walks along above the line, or through it at 3 s; now and then a box reaches 100 px beyond it.
    def height(time_s: float) -> float:
        return 400.0 if crosses and time_s > 3.0 else 150.0

    times = np.arange(0.0, 6.0, 1 / fps)
    kept: list[tuple[float, float]] = []
    for begin_s, length_s in sorted(leaps):
        clear = not kept or begin_s - sum(kept[-1]) > 0.8  # leaps apart: two in a row may be one long stay
        if clear and abs(begin_s + length_s / 2 - 3.0) > 1.2 and length_s + 2 / fps < 0.5:
            kept.append((begin_s, length_s))
    path = []
    for time_s in times.tolist():
        y = height(time_s)
        if any(begin_s <= time_s < begin_s + length_s for begin_s, length_s in kept):
            y = 550.0 - y
        path.append((time_s, 400 + 20 * time_s, y))
    assert directions(play(gate(), [walk(path)], fps=fps)) == (["a-to-b"] if crosses else [])


@few
@given(speed=st.floats(20, 400), settle_s=st.floats(0, 1.5), fps=st.sampled_from([5.0, 12.5, 30.0]))
def test_a_crossing_is_told_within_the_settle_time_or_as_soon_as_it_is_beyond_the_margin(
    play: Any, walk: Any, speed: float, settle_s: float, fps: float
) -> None:
    crossing_s, margin_px = 100 / speed, 0.1 * (20 * 40) ** 0.5
    through = walk([(0, 500, 150), (crossing_s * 4, 500, 550), (crossing_s * 4 + 3, 500, 550)])
    [alert] = play(gate(settle_s=settle_s), [through], fps=fps).told(kind="cross")
    assert alert.evidence["at_s"] == pytest.approx(crossing_s, abs=0.01)
    due_s = max(crossing_s + settle_s, crossing_s + margin_px / speed)
    assert due_s - 1e-3 <= alert.time_s <= due_s + 1 / fps + 1e-3


@pytest.mark.parametrize(
    ("after", "told_s"),
    [
        ({"lost_s": 5.0}, 1.0 + 0.5),  # lost from sight beyond the line: at the end of the settle time
        ({"lost_s": 0.0}, 1.3),  # given up before it: at once
    ],
)
def test_a_crossing_is_not_lost_with_its_object(play: Any, walk: Any, after: Any, told_s: float) -> None:
    through = walk([(0, 500, 150), (1.2, 500, 270)], **after)
    for strict in (False, True):
        [alert] = play(gate(strict=strict), [through], until_s=4.0).told(kind="cross")
        assert alert.time_s == pytest.approx(told_s, abs=0.07)


def test_a_crossing_is_not_lost_with_its_camera(play: Any, walk: Any) -> None:
    through = walk([(0, 500, 150), (1.2, 500, 270)])
    played = play(gate(), [through], until_s=1.2)
    assert [alert.kind for alert in played.ends] == ["cross"]
    assert played.engine.counts()["tripwires"]["gate"]["total"] == {"a-to-b": {"person": 1}}
    within_the_margin = play(gate(), [walk([(0, 500, 150), (1.0, 500, 252)])], until_s=1.0)
    assert within_the_margin.ends == []
    assert within_the_margin.engine.counts()["tripwires"]["gate"]["total"] == {}


@few
@given(leg_s=st.floats(0.8, 3.0), turns=st.integers(1, 5), fps=st.sampled_from([5.0, 8.1, 10.0, 15.0, 30.0]))
def test_coming_back_after_the_settle_time_counts_twice(
    play: Any, walk: Any, leg_s: float, turns: int, fps: float
) -> None:
    path = [(leg_s * turn, 500, 100 if turn % 2 == 0 else 400) for turn in range(turns + 1)]
    assert len(directions(play(gate(), [walk(path)], fps=fps))) == turns
