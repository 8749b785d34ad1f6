"""A generated half hour at 5, 10, 15 and 30 frames a second gives the same incidents."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from agent.records import Phase

# A street from left to right: a gate, a yard, a no-stopping zone. Lanes lie at y = 220 … 380 px.
SCENE = {
    "zones": {
        "yard": {"points": [[0.3, 0.4], [0.5, 0.4], [0.5, 0.8], [0.3, 0.8]]},  # x 300..500 px
        "kerb": {"points": [[0.7, 0.4], [0.8, 0.4], [0.8, 0.8], [0.7, 0.8]]},  # x 700..800 px
    },
    "tripwires": {"gate": {"points": [[0.2, 0.2], [0.2, 0.9]]}},  # x = 200 px
    "rules": [
        {"kind": "zone", "zone": "yard", "when": ["enter", "leave", "inside"]},
        {"kind": "tripwire", "tripwire": "gate"},
        {"kind": "dwell", "zone": "yard", "min_s": 8.0},
        {"kind": "occupancy", "zone": "yard", "above": 1, "for_s": 1.0, "clear_s": 1.0},
        {"kind": "stopped", "zone": "kerb", "min_s": 10.0},
        {"kind": "sequence", "zones": ["yard", "kerb"], "within_s": 12.0},
        {"kind": "wrong-way", "allowed": [[0.1, 0.5], [0.9, 0.5]], "for_s": 1.0},
        {"kind": "speed", "above_px_s": 90.0},
        {"kind": "left-scene"},
    ],
}
TOLERANCE_S = 0.5
"""Two frames at the lowest rate, and what a rule itself waits for frames."""


def street(walk: Any, minutes: float, seed: int = 3) -> list[Any]:
    """People who walk along the street, some stopping on the way, some turning back.

    All times at which anyone is at an edge of the yard lie 0.37 s after a full second, stops last whole
    seconds, and speeds keep away from the limit: no rate is asked to decide what is a matter of one frame.
    """
    rng = np.random.default_rng(seed)
    walks: list[Any] = []
    begin_s = 0.37
    while True:
        begin_s += float(rng.integers(3, 9))
        if begin_s > minutes * 60 - 90:
            return walks
        y = float(rng.uniform(220, 380))
        speed = float(rng.choice([50.0, 100.0]))
        path = [(begin_s, 0.0, y)]
        stops = rng.choice([120.0, 400.0, 600.0, 750.0], int(rng.integers(0, 3)), replace=False)
        for stop in sorted(stops.tolist()):
            arrive_s = path[-1][0] + (stop - path[-1][1]) / speed
            path += [(arrive_s, stop, y), (arrive_s + float(rng.choice([2.0, 5.0, 14.0])), stop, y)]
        turns_back = path[-1][1] >= 400 and rng.random() < 0.3
        end_x = 0.0 if turns_back else 1000.0
        path.append((path[-1][0] + abs(end_x - path[-1][1]) / speed, end_x, y))
        walks.append(walk(path, id=len(walks) + 1, lost_s=1.0, tentative_s=0.4))


def any_street(walk: Any, minutes: float, seed: int = 5) -> list[Any]:
    """The same with times, speeds and stops as they fall."""
    rng = np.random.default_rng(seed)
    walks: list[Any] = []
    begin_s = 0.0
    while True:
        begin_s += float(rng.uniform(2.5, 8.0))
        if begin_s > minutes * 60 - 90:
            return walks
        y, speed = float(rng.uniform(220, 380)), float(rng.uniform(40, 130))
        path = [(begin_s, 0.0, y)]
        for stop in sorted(rng.uniform(50, 900, int(rng.integers(0, 3))).tolist()):
            arrive_s = path[-1][0] + (stop - path[-1][1]) / speed
            path += [(arrive_s, stop, y), (arrive_s + float(rng.uniform(0.5, 16.0)), stop, y)]
        end_x = 0.0 if path[-1][1] >= 300 and rng.random() < 0.3 else 1000.0
        path.append((path[-1][0] + abs(end_x - path[-1][1]) / speed, end_x, y))
        walks.append(walk(path, id=len(walks) + 1, lost_s=1.0, tentative_s=0.4))


def incidents(played: Any) -> list[tuple[str, str, str, int, float]]:
    """(rule, kind, phase, track, time) of every alert, in an order that does not depend on small times."""
    return sorted(
        (alert.rule, alert.kind, alert.phase.value, alert.track.id if alert.track else 0, alert.time_s)
        for alert in played.alerts
    )


def compare(play: Any, walk: Any, minutes: float, rates: tuple[float, ...]) -> int:
    walks = street(walk, minutes)
    first = incidents(play(SCENE, walks, fps=rates[0], until_s=minutes * 60))
    for fps in rates[1:]:
        other = incidents(play(SCENE, walks, fps=fps, until_s=minutes * 60))
        assert [entry[:4] for entry in other] == [entry[:4] for entry in first], f"at {fps} frames a second"
        assert [entry[4] for entry in other] == pytest.approx([entry[4] for entry in first], abs=TOLERANCE_S)
    kinds = {entry[1] for entry in first}
    assert kinds >= {
        "enter",
        "leave",
        "inside",
        "cross",
        "dwell",
        "occupancy",
        "stopped",
        "sequence",
        "left-scene",
    }
    assert kinds >= {"wrong-way", "speed"}
    assert {entry[2] for entry in first} == {Phase.START.value, Phase.END.value, Phase.INSTANT.value}
    return len(first)


def test_five_minutes_at_three_rates_give_the_same_incidents(play: Any, walk: Any) -> None:
    assert compare(play, walk, 5.0, (15.0, 5.0, 7.3)) > 100


def test_times_as_they_fall_give_the_same_incidents_and_at_five_a_second_all_but_the_shortest(
    play: Any, walk: Any
) -> None:
    walks = any_street(walk, 5.0)
    found = {
        fps: Counter(entry[:4] for entry in incidents(play(SCENE, walks, fps=fps, until_s=300.0)))
        for fps in (15.0, 10.0, 5.0)
    }
    assert found[10.0] == found[15.0]
    assert found[15.0].total() > 300
    # What lasts no longer than the rule asks for, give or take a frame, is a matter of that frame.
    apart = (found[5.0] - found[15.0]) + (found[15.0] - found[5.0])
    assert apart.total() <= 0.015 * found[15.0].total()
    assert {kind for _, kind, _, _ in apart} <= {"speed", "occupancy"}


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_half_an_hour_at_four_rates_gives_the_same_incidents(play: Any, walk: Any) -> None:
    assert compare(play, walk, 30.0, (30.0, 15.0, 10.0, 5.0)) > 1000
