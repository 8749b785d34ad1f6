"""A camera that gives nothing: what lasts ends for that reason, and nobody is said to have left."""

from __future__ import annotations

from typing import Any

import pytest

from agent.records import Alert, Phase
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings
from tests.agent.rules.conftest import LABELS, SIZE, WALL_S, frames_of

AFTER_S = 12.0
SCENE = {
    "zones": {"yard": {"points": [[0.4, 0.4], [0.6, 0.4], [0.6, 0.8], [0.4, 0.8]]}},
    "rules": [
        {"kind": "zone", "zone": "yard", "when": ["enter", "inside", "leave"]},
        {"kind": "occupancy", "zone": "yard", "above": 0},
        {"kind": "left-scene"},
    ],
}


def make_engine(blind_after_s: float | None = AFTER_S) -> RuleEngine:
    numbers = iter(range(1, 1000))
    return RuleEngine(
        RulesSettings.model_validate(SCENE),
        labels=LABELS,
        new_id=lambda: f"{next(numbers):04d}",
        blind_after_s=blind_after_s,
    )


def see(engine: RuleEngine, walk: Any, begin_s: float, end_s: float) -> list[Alert]:
    """Somebody stands in the yard, and frames come from `begin_s` to `end_s`."""
    stays = walk([(0, 500, 300), (100, 500, 300)])
    frames = [own for own in frames_of([stays], 10, end_s) if own[0] >= begin_s]
    return [alert for at_s, tracks in frames for alert in engine.update(tracks, at_s, WALL_S + at_s, SIZE)]


def story(alerts: list[Alert]) -> list[tuple[str, Phase, float, object]]:
    return [(it.kind, it.phase, round(it.time_s, 3), it.evidence.get("reason")) for it in alerts]


def test_incidents_end_once_when_nothing_was_seen_for_long(walk: Any) -> None:
    engine = make_engine()
    began = [alert for alert in see(engine, walk, 0, 5) if alert.phase is Phase.START]
    assert {alert.kind for alert in began} == {"inside", "occupancy"}
    assert engine.counts()["zones"]["yard"]["now"] == {"person": 1}
    assert engine.look_for_nothing(5 + AFTER_S - 0.1) == []
    ends = engine.look_for_nothing(200.0)
    assert sorted(story(ends)) == sorted((alert.kind, Phase.END, 5 + AFTER_S, "blind") for alert in began), (
        "nobody left, as far as anyone knows"
    )
    assert {alert.incident for alert in ends} == {alert.incident for alert in began}
    assert {alert.wall_s for alert in ends} == {WALL_S + 5 + AFTER_S}
    assert engine.counts()["zones"]["yard"]["now"] == {}
    assert engine.objects == 0
    assert engine.look_for_nothing(300.0) == []
    assert engine.close(300.0, WALL_S) == []


def test_it_begins_anew_when_the_camera_is_back(walk: Any) -> None:
    engine = make_engine()
    see(engine, walk, 0, 5)
    engine.look_for_nothing(5 + AFTER_S)
    again = see(engine, walk, 5 + AFTER_S - 0.3, 30)  # the first frames were on their way
    assert {alert.kind for alert in again if alert.phase is Phase.START} == {"inside", "occupancy"}


@pytest.mark.parametrize("gap_s", [AFTER_S - 1, AFTER_S + 1, 500.0])
def test_a_replay_that_sees_the_gap_tells_what_was_told_live(walk: Any, gap_s: float) -> None:
    live, replayed = make_engine(), make_engine()
    stories = []
    for engine in (live, replayed):
        alerts = see(engine, walk, 0, 5)
        if engine is live:
            for second in range(1, int(gap_s)):
                alerts += engine.look_for_nothing(5.0 + second)
        stories.append(alerts + see(engine, walk, 5 + gap_s, 5 + gap_s + 2))
    assert stories[0] == stories[1]
    assert ("blind" in {alert.evidence.get("reason") for alert in stories[0]}) == (gap_s > AFTER_S)


def test_without_a_limit_incidents_wait(walk: Any) -> None:
    engine = make_engine(None)
    see(engine, walk, 0, 5)
    assert engine.look_for_nothing(1e9) == []
    assert engine.objects == 1
