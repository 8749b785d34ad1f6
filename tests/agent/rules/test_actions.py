"""Rules that mind what objects do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agent.errors import ConfigError
from agent.records import Actions, Alert, Tracks, TrackState
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings

ACTIONS = ("walk", "run", "stand", "fall", "loiter")
YARD = {"yard": {"points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]}}
Told = tuple[str, float]
"""Action and score."""
MakeTracks = Callable[..., Tracks]


def fall_rule(**more: Any) -> RuleEngine:
    rule = {"kind": "zone", "zone": "yard", "when": ["inside"], "actions": ["fall"], **more}
    settings = RulesSettings.model_validate({"zones": YARD, "rules": [rule]})
    return RuleEngine(settings, labels=("person",), new_id=lambda: "1", actions=ACTIONS)


def play(
    engine: RuleEngine, make_tracks: MakeTracks, doing: Callable[[float], Told | None], until_s: float = 12.0
) -> list[Alert]:
    """Someone in the yard, ten frames a second."""
    alerts: list[Alert] = []
    for number in range(int(until_s * 10) + 1):
        time_s = number / 10
        told = doing(time_s)
        actions = Actions(
            np.array([ACTIONS.index(told[0]) if told else -1], np.int64),
            np.array([told[1] if told else 0], np.float32),
        )
        tracks = make_tracks([(7, TrackState.CONFIRMED, 500, 300, 40, 100, 0, 0.9, time_s)])
        alerts += engine.update(tracks, time_s, 1.7e9 + time_s, (1000, 500), actions)
    return alerts


def falls_at_five(time_s: float) -> Told | None:
    if time_s < 2:
        return None
    return ("walk", 0.8) if time_s < 5 or time_s >= 9 else ("fall", 0.9)


def test_an_incident_lasts_while_the_object_does_what_the_rule_asks_for(make_tracks: MakeTracks) -> None:
    start, end = play(fall_rule(), make_tracks, falls_at_five)
    assert start.phase.value == "start"
    assert start.time_s == pytest.approx(5.0, abs=0.6)
    assert start.track is not None
    assert (start.track.action, start.track.action_score) == ("fall", pytest.approx(0.9))
    assert end.phase.value == "end"
    assert end.time_s == pytest.approx(11.0, abs=0.11)  # two seconds after the last sight of it


def test_a_score_that_trembles_at_its_limit_is_one_incident(make_tracks: MakeTracks) -> None:
    rng = np.random.default_rng(0)
    alerts = play(fall_rule(), make_tracks, lambda _: ("fall", 0.5 + 0.03 * rng.normal()), until_s=30.0)
    assert [alert.phase.value for alert in alerts] == ["start"]


def test_an_action_that_the_model_is_not_sure_of_does_not_count(make_tracks: MakeTracks) -> None:
    assert play(fall_rule(), make_tracks, lambda _: ("fall", 0.45)) == []
    assert len(play(fall_rule(min_action_score=0.4), make_tracks, lambda _: ("fall", 0.45))) == 1
    assert len(play(fall_rule(min_action_score=0.9), make_tracks, lambda _: ("fall", 0.9))) == 1


def test_what_is_not_known_suits_only_rules_that_do_not_ask(make_tracks: MakeTracks) -> None:
    assert play(fall_rule(), make_tracks, lambda _: None) == []
    [alert] = play(fall_rule(actions=[]), make_tracks, lambda _: None)
    assert alert.track is not None
    assert alert.track.action is None


@pytest.mark.parametrize(("action", "told"), [("run", 1), ("walk", 0), (None, 0)])
@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "tripwire", "tripwire": "gate", "actions": ["run"]},
        {"kind": "zone", "zone": "yard", "when": ["enter"], "actions": ["run"]},
    ],
    ids=["tripwire", "zone"],
)
def test_what_happened_while_the_object_did_something_else_is_not_told(
    make_tracks: MakeTracks, rule: dict[str, Any], action: str | None, told: int
) -> None:
    half = {"yard": {"points": [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]}}
    gate = {"gate": {"points": [[0.5, 0.0], [0.5, 1.0]]}}
    settings = RulesSettings.model_validate({"zones": half, "tripwires": gate, "rules": [rule]})
    engine = RuleEngine(settings, labels=("person",), new_id=lambda: "1", actions=ACTIONS)
    alerts: list[Alert] = []
    for number in range(60):  # crosses the middle after three seconds, and runs at the end in any case
        time_s = number / 10
        now = "run" if time_s > 5 else action
        actions = Actions(
            np.array([ACTIONS.index(now) if now else -1], np.int64), np.array([0.9], np.float32)
        )
        tracks = make_tracks([(7, TrackState.CONFIRMED, 200 + 100 * time_s, 300, 40, 100, 0, 0.9, time_s)])
        alerts += engine.update(tracks, time_s, 1.7e9 + time_s, (1000, 500), actions)
    assert len(alerts) == told


def test_an_action_goes_with_its_track(make_tracks: MakeTracks) -> None:
    engine = fall_rule(actions=[])
    size, fallen = (1000, 500), Actions(np.array([3], np.int64), np.array([0.9], np.float32))
    tracks = make_tracks([(7, TrackState.CONFIRMED, 500, 300, 40, 100, 0, 0.9, 0.0)])
    for number in range(10):
        engine.update(tracks, number / 10, 0.0, size, fallen)
    other = make_tracks([(8, TrackState.CONFIRMED, 700, 300, 40, 100, 0, 0.9, 0.0)])
    unknown = Actions(np.array([-1], np.int64), np.zeros(1, np.float32))
    found = [a for n in range(20) for a in engine.update(other, 2 + n / 10, 0.0, size, unknown)]
    [start] = [alert for alert in found if alert.track is not None and alert.track.id == 8]
    assert start.track is not None
    assert start.track.action is None


def test_an_action_that_the_model_does_not_know_is_refused() -> None:
    rule = {"kind": "zone", "zone": "yard", "actions": ["dance"]}
    settings = RulesSettings.model_validate({"zones": YARD, "rules": [rule]})
    known = r"rule zone-yard actions: expected actions of the model \(walk, .*\), got 'dance'"
    with pytest.raises(ConfigError, match=known):
        RuleEngine(settings, labels=(), new_id=str, actions=ACTIONS)
    with pytest.raises(ConfigError, match="none: the camera has no `actions`"):
        RuleEngine(settings, labels=(), new_id=str)
