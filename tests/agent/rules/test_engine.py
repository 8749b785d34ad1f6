"""What holds for every rule: conditions, duty, cooldowns, counts, restarts, memory."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from agent.errors import ConfigError, DataError
from agent.records import Phase, Tracks
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings

SQUARE = {"points": [[0.4, 0.4], [0.6, 0.4], [0.6, 0.8], [0.4, 0.8]]}


def scene(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "zones": {"yard": SQUARE, "lawn": SQUARE},
        "tripwires": {"gate": {"points": [[0.3, 0.5], [0.7, 0.5]]}},
        "rules": list(rules),
        **more,
    }


def enters(**more: Any) -> dict[str, Any]:
    return {"kind": "zone", "zone": "yard", **more}


def visits(walk: Any, count: int, **more: Any) -> Any:
    """One object that enters the yard every four seconds, at 0.5 s, 4.5 s …"""
    path = [(2.0 * n, 350 if n % 2 == 0 else 550, 300) for n in range(2 * count + 1)]
    return walk(path, **more)


# Conditions


def test_a_score_too_low_at_the_moment_is_told_once_the_object_has_been_seen_well(
    make_tracks: Any,
) -> None:
    engine = RuleEngine(
        RulesSettings.model_validate(scene(enters(min_score=0.6))), labels=("person",), new_id=lambda: "1"
    )
    kinds = []
    for time_s, score in ((0.0, 0.4), (1.0, 0.59), (2.0, 0.6), (3.0, 0.3)):
        tracks = make_tracks([(1, 1, 500, 300, 20, 40, 0, score, time_s)])
        kinds.append([alert.kind for alert in engine.update(tracks, time_s, time_s, (1000, 500))])
    assert kinds == [[], [], ["enter"], []]


def test_an_object_too_young_is_told_once_it_is_old_enough_even_if_it_has_left(play: Any, walk: Any) -> None:
    passes = walk([(0, 350, 300), (3, 650, 300), (8, 900, 300)])
    played = play(scene(enters(min_age_s=5.0, when=["enter", "leave"])), [passes])
    assert [alert.kind for alert in played.told()] == ["enter", "leave"]
    assert [alert.time_s for alert in played.told()] == pytest.approx([5.0, 5.0], abs=0.07)
    assert play(scene(enters(min_age_s=9.0)), [passes]).story == []


def test_what_is_older_than_ten_seconds_is_no_news(make_tracks: Any) -> None:
    settings = RulesSettings.model_validate(
        scene({"kind": "tripwire", "tripwire": "gate", "labels": ["person"]})
    )
    for seconds, told in ((9.0, ["cross"]), (12.0, [])):
        engine = RuleEngine(settings, labels=("person", "car"), new_id=lambda: "1")
        # Time, y, class: a car that turns out to be a person.
        rows = [(0.0, 200, 1), (1.0, 300, 1), (0.5 + seconds, 300, 1), (1.0 + seconds, 300, 0)]
        kinds = [
            alert.kind
            for time_s, y, label in rows
            for alert in engine.update(
                make_tracks([(1, 1, 500, y, 20, 40, label, 0.9, time_s)]), time_s, time_s, (1000, 500)
            )
        ]
        assert kinds == told


def test_the_size_counts_at_the_moment(play: Any, walk: Any) -> None:
    # 20 × 40 px of 1000 × 500 px: 0.0016 of the picture.
    passes = walk([(0, 350, 300), (3, 650, 300)])
    assert len(play(scene(enters(min_area=0.0015, max_area=0.0017)), [passes]).story) == 1
    assert play(scene(enters(min_area=0.0017)), [passes]).story == []
    assert play(scene(enters(max_area=0.0015)), [passes]).story == []


@pytest.mark.parametrize("fps", [5.0, 15.0])
@pytest.mark.parametrize(
    "rule",
    [
        enters(when=["inside"]),
        {"kind": "dwell", "zone": "yard", "min_s": 3.0},
        {"kind": "stopped", "min_s": 3.0},
        {"kind": "abandoned", "min_s": 3.0, "owners": []},
        {"kind": "speed", "above_px_s": 2.0, "clear_s": 0.0},
        {
            "kind": "wrong-way",
            "allowed": [[0.9, 0.5], [0.1, 0.5]],
            "min_travel": 0.01,
            "for_s": 0.0,
            "clear_s": 0.0,
        },
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_box_that_trembles_at_the_least_size_is_one_incident(
    make_tracks: Any, rule: dict[str, Any], fps: float
) -> None:
    settings = RulesSettings.model_validate(scene({**rule, "min_area": 0.01}))
    engine = RuleEngine(settings, labels=("person",), new_id=lambda: "1")
    rng = np.random.default_rng(1)
    speed = 4.0 if rule["kind"] in ("speed", "wrong-way") else 0.0
    alerts = []
    for number in range(int(20 * fps)):
        time_s = number / fps
        scale = 1 + 0.05 * rng.normal() if time_s < 14 else 0.9  # then it is too small for good
        # About its centre, so that only the size trembles.
        row = (1, 1, 420 + speed * time_s, 300 + 50 * scale, 50 * scale, 100 * scale, 0, 0.9, time_s)
        alerts += engine.update(make_tracks([row]), time_s, time_s, (1000, 500))
    assert [alert.phase.value for alert in alerts] == ["start", "end"]
    assert alerts[1].time_s == pytest.approx(16.0, abs=0.9)


def test_a_wrong_size_delays_no_other_end(play: Any, walk: Any) -> None:
    def story(**more: Any) -> list[tuple[str, str, float]]:
        stays = walk([(0, 350, 300), (1, 450, 300), (6, 450, 300), (7, 350, 300), (9, 350, 300)])
        story: list[tuple[str, str, float]] = play(scene(enters(when=["inside"], **more)), [stays]).story
        return story

    assert story(min_area=0.0015) == story()


def test_a_class_that_the_model_does_not_have_is_refused_with_the_nearest_name() -> None:
    settings = RulesSettings.model_validate(scene(enters(labels=["persn"])))
    with pytest.raises(ConfigError, match=r"rule zone-yard labels: .*'persn'; did you mean person\?"):
        RuleEngine(settings, labels=("person", "car"), new_id=str)


# Duty


def test_a_disarmed_rule_tells_nothing_later_and_ends_what_is_open(play: Any, walk: Any) -> None:
    rule = enters(when=["enter", "inside"])

    def disarm(engine: RuleEngine, time_s: float) -> None:
        engine.set_armed(not 3.0 <= time_s < 9.0, "zone-yard")

    played = play(scene(rule), [visits(walk, 3)], fps=10, each=disarm)
    # Visits from 0.5 s, 4.5 s and 8.5 s: the second is never told, of the third only that it lasts.
    assert played.story == [
        ("enter", "instant", 0.5),
        ("inside", "start", 0.5),
        ("inside", "end", 3.1),
        ("inside", "start", 9.1),
        ("inside", "end", 12.0),
    ]
    assert [alert.evidence["reason"] for alert in played.told(phase=Phase.END)] == ["off duty", "over"]
    assert played.told(phase=Phase.START)[1].started_s == pytest.approx(8.5, abs=0.01)


@pytest.mark.parametrize(
    "rule",
    [
        enters(min_age_s=5.0),
        {"kind": "tripwire", "tripwire": "gate", "min_age_s": 5.0},
        {"kind": "sequence", "zones": ["yard", "path"], "within_s": 9.0, "min_age_s": 5.0},
    ],
    ids=["zone", "tripwire", "sequence"],
)
def test_what_waits_is_dropped_when_the_rule_goes_off_duty(
    play: Any, walk: Any, rule: dict[str, Any]
) -> None:
    # Into the yard at 0.5 s, over the line at 1 s, into the path at 1.5 s; old enough at 5 s.
    settings = scene(rule)
    settings["zones"]["path"] = {"points": [[0.4, 0.7], [0.6, 0.7], [0.6, 0.9], [0.4, 0.9]]}
    passes = walk([(0, 500, 150), (2, 500, 400), (9, 500, 400)])
    assert len(play(settings, [passes], fps=10).story) == 1

    def disarm(engine: RuleEngine, time_s: float) -> None:
        engine.set_armed(not 3.0 <= time_s < 4.0)

    assert play(settings, [passes], fps=10, each=disarm).story == []
    windows = [{"start": "10:00", "end": "10:01"}]
    settings["rules"] = [{**rule, "schedule": {"windows": windows}}]
    settings["timezone"] = "Europe/Zurich"
    over = play(settings, [passes], fps=10, wall_s=wall("2026-05-04T10:00:57"))
    assert over.story == []
    assert [decision.step for decision in over.trace][-1] == "off duty"


def test_arming_an_unknown_rule_is_an_error_and_all_can_be_armed_at_once() -> None:
    engine = RuleEngine(
        RulesSettings.model_validate(scene(enters(), enters(name="other", armed=False))),
        labels=(),
        new_id=str,
    )
    assert engine.armed == {"zone-yard": True, "other": False}
    with pytest.raises(KeyError):
        engine.set_armed(True, "nobody")
    engine.set_armed(False)
    assert set(engine.armed.values()) == {False}


def wall(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Zurich")).timestamp()


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("2026-05-04T21:59:30", 0),  # a Monday
        ("2026-05-04T22:00:30", 1),
        ("2026-05-05T05:59:00", 1),
        ("2026-05-05T06:00:30", 0),
        ("2026-05-05T22:30:00", 0),  # Tuesday evening is in no window
    ],
)
def test_a_schedule_over_midnight_belongs_to_the_day_on_which_it_starts(
    play: Any, walk: Any, moment: str, told: int
) -> None:
    rule = enters(schedule={"windows": [{"days": ["mon"], "start": "22:00", "end": "06:00"}]})
    passes = walk([(0, 350, 300), (3, 650, 300)])
    played = play(scene(rule, timezone="Europe/Zurich"), [passes], wall_s=wall(moment))
    assert len(played.story) == told


def test_the_end_of_the_window_ends_an_incident(play: Any, walk: Any) -> None:
    rule = enters(when=["inside"], schedule={"windows": [{"start": "08:00", "end": "09:00"}]})
    stays = walk([(0, 500, 300), (200, 500, 300)])
    played = play(scene(rule, timezone="Europe/Zurich"), [stays], fps=2, wall_s=wall("2026-05-04T08:58:30"))
    (start, end) = played.told()
    assert (start.time_s, end.time_s, end.evidence["reason"]) == (
        0.0,
        pytest.approx(90.0, abs=0.6),
        "off duty",
    )


# Cooldowns


@pytest.mark.parametrize(("per", "told"), [("rule", (2, 2)), ("track", (4, 4)), ("zone", (2, 0))])
def test_a_cooldown_silences_the_rule_the_track_or_the_zone(
    play: Any, walk: Any, per: str, told: tuple[int, int]
) -> None:
    # Two objects enter twice each, together, four seconds apart.
    walks = [visits(walk, 2, id=1), visits(walk, 2, id=2)]
    rules = [
        enters(name="first", cooldown_s=3.0, cooldown_per=per),
        enters(name="second", cooldown_s=3.0, cooldown_per=per),
    ]
    played = play(scene(*rules), walks, fps=10)
    assert (len(played.told(rule="first")), len(played.told(rule="second"))) == told


def test_an_incident_silenced_by_a_cooldown_begins_when_that_is_over(play: Any, walk: Any) -> None:
    first, second = walk([(0, 500, 300), (2, 500, 300)], id=1), walk([(3, 500, 300), (20, 500, 300)], id=2)
    played = play(scene(enters(when=["inside"], cooldown_s=10.0)), [first, second], fps=10)
    starts = played.told(phase=Phase.START)
    assert [(alert.track.id, alert.time_s) for alert in starts] == [
        (1, 0.0),
        (2, pytest.approx(10.0, abs=0.11)),
    ]
    assert starts[1].started_s == pytest.approx(3.0)


# Counts and restarts


def test_daily_counts_begin_anew_at_local_midnight_and_totals_do_not(play: Any, walk: Any) -> None:
    crosses = walk([(0, 500, 100), (2, 500, 400), (10, 500, 400), (12, 500, 100)])
    seen = {}

    def look(engine: RuleEngine, time_s: float) -> None:
        seen[time_s] = engine.counts()

    played = play(
        scene(timezone="Europe/Zurich"), [crosses], fps=10, wall_s=wall("2026-05-04T23:59:55"), each=look
    )
    gate = {time_s: counts["tripwires"]["gate"]["today"] for time_s, counts in seen.items()}
    assert gate[4.0] == {"a-to-b": {"person": 1}}
    assert gate[8.0] == {}
    final = played.engine.counts()
    assert final["day"] == "2026-05-05"
    assert final["tripwires"]["gate"]["today"] == {"b-to-a": {"person": 1}}
    assert final["tripwires"]["gate"]["total"] == {"a-to-b": {"person": 1}, "b-to-a": {"person": 1}}
    assert seen[3.0]["zones"]["yard"]["now"] == {"person": 1}


def test_a_clock_set_back_keeps_the_day_s_counts() -> None:
    engine = RuleEngine(RulesSettings.model_validate(scene()), labels=("person",), new_id=str)
    engine.import_state(
        {
            "version": 1,
            "armed": {},
            "counts": {
                "day": "2026-05-04",
                "today": {
                    "tripwire/gate": {"a-to-b": {"person": 4}},
                    "tripwire/gone": {"a-to-b": {"car": 1}},
                },
                "total": {"tripwire/gate": {"a-to-b": {"person": 9}}},
            },
        }
    )
    # A Pi without a clock wakes up in the past, then hears the time.
    for time_s, moment in ((0.0, "2026-05-01T10:00:00"), (60.0, "2026-05-04T12:00:00")):
        engine.update(Tracks.empty(), time_s, wall(moment), (1000, 500))
    assert engine.counts()["tripwires"] == {
        "gate": {"today": {"a-to-b": {"person": 4}}, "total": {"a-to-b": {"person": 9}}}
    }
    engine.update(Tracks.empty(), 120.0, wall("2026-05-05T12:00:00"), (1000, 500))
    assert engine.counts()["tripwires"]["gate"]["today"] == {}


def test_state_goes_through_json_and_survives_a_restart(play: Any, walk: Any) -> None:
    played = play(scene(enters()), [walk([(0, 500, 100), (2, 500, 400)])])
    played.engine.set_armed(False)
    state = json.loads(json.dumps(played.engine.export_state()))
    again = RuleEngine(RulesSettings.model_validate(scene(enters())), labels=("person",), new_id=str)
    again.import_state(state)
    assert again.armed == {"zone-yard": False}
    assert again.counts()["tripwires"] == played.engine.counts()["tripwires"]
    again.reset_counts("gate")
    assert again.counts()["tripwires"]["gate"] == {"today": {}, "total": {}}


def test_what_nobody_switched_is_decided_by_the_configuration_again(play: Any, walk: Any) -> None:
    def restarted(state: dict[str, Any], *, first: bool, second: bool) -> RuleEngine:
        rules = (enters(name="first", armed=first), enters(name="second", armed=second))
        engine = RuleEngine(RulesSettings.model_validate(scene(*rules)), labels=("person",), new_id=str)
        engine.import_state(json.loads(json.dumps(state)))
        return engine

    rules = (enters(name="first"), enters(name="second"))
    played = play(scene(*rules), [walk([(0, 500, 100), (2, 500, 400)])])
    engine = restarted(played.engine.export_state(), first=False, second=True)
    assert engine.armed == {"first": False, "second": True}
    engine.set_armed(True, "first")
    engine.set_armed(False, "second")
    again = restarted(engine.export_state(), first=False, second=True)
    assert again.armed == {"first": True, "second": False}
    # The configuration comes to say the same, then something else: it has the last word.
    agreed = restarted(again.export_state(), first=True, second=False)
    last = restarted(agreed.export_state(), first=False, second=True)
    assert last.armed == {"first": False, "second": True}


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"version": 2, "armed": {}, "counts": {}},
        {"version": 1, "armed": {"zone-yard": "no"}, "counts": {"day": None, "today": {}, "total": {}}},
        {
            "version": 1,
            "armed": {"zone-yard": False},
            "counts": {"day": "yesterday", "today": {}, "total": {}},
        },
        {
            "version": 1,
            "armed": {"zone-yard": False},
            "counts": {"day": None, "today": {"zone/yard": 3}, "total": {}},
        },
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(state: dict[str, Any]) -> None:
    engine = RuleEngine(RulesSettings.model_validate(scene(enters())), labels=("person",), new_id=str)
    with pytest.raises(DataError, match="saved"):
        engine.import_state(state)
    assert engine.armed == {"zone-yard": True}


# Order, memory, end


def test_time_that_runs_backwards_is_refused() -> None:
    engine = RuleEngine(RulesSettings(), labels=(), new_id=str)
    engine.update(Tracks.empty(), 5.0, 0.0, (10, 10))
    with pytest.raises(ValueError, match=r"time_s: expected at least 5\.0, got 4\.9"):
        engine.update(Tracks.empty(), 4.9, 0.0, (10, 10))


EVERY_KIND = [
    {"kind": "zone", "zone": "yard", "when": ["enter", "leave", "inside"]},
    {"kind": "tripwire", "tripwire": "gate"},
    {"kind": "dwell", "zone": "yard", "min_s": 1.0},
    {"kind": "occupancy", "zone": "yard", "above": 1},
    {"kind": "crowd", "min_count": 2},
    {"kind": "wrong-way", "allowed": [[0.1, 0.5], [0.9, 0.5]]},
    {"kind": "speed", "above_px_s": 100.0},
    {"kind": "stopped", "min_s": 2.0},
    {"kind": "abandoned", "min_s": 2.0},
    {"kind": "removed", "settled_s": 1.0, "absent_s": 0.5},
    {"kind": "sequence", "zones": ["yard", "lawn"], "within_s": 9.0},
    {"kind": "left-scene"},
]


def crowd_of(walk: Any, count: int, seed: int = 0) -> list[Any]:
    """Objects that come, wander or stand, and go."""
    rng = np.random.default_rng(seed)
    walks = []
    for number in range(count):
        begin = float(rng.uniform(0, 30))
        spots = rng.uniform((0, 0), (1000, 500), (3, 2)).tolist()
        path = [(begin + 4 * n, x, y) for n, (x, y) in enumerate(spots)]
        path.append((begin + 14, *spots[-1]))
        walks.append(
            walk(path, id=number, label=number % 3, lost_s=1.0, tentative_s=float(rng.choice([0.0, 0.5])))
        )
    return walks


def test_nothing_is_remembered_of_objects_that_are_gone(play: Any, walk: Any) -> None:
    played = play(scene(*EVERY_KIND, rejoin_s=2.0), crowd_of(walk, 90), fps=5, until_s=60.0)
    assert played.engine.objects == 0
    assert played.ends == []
    kinds = (
        "enter leave inside cross dwell occupancy crowd wrong-way speed stopped abandoned removed left-scene"
    )
    assert {alert.kind for alert in played.alerts} >= set(kinds.split())


def test_every_incident_begins_once_and_ends_once_also_when_the_camera_stops(play: Any, walk: Any) -> None:
    played = play(scene(*EVERY_KIND), crowd_of(walk, 90), fps=5, until_s=20.0)
    lasting = [alert for alert in played.told() if alert.phase != Phase.INSTANT]
    for incident in {alert.incident for alert in lasting}:
        phases = [alert.phase for alert in lasting if alert.incident == incident]
        assert phases == [Phase.START, Phase.END]
    assert played.ends
    assert {alert.phase for alert in played.ends} == {Phase.END}


def test_the_trace_tells_a_camera_s_end_from_a_cooldown(play: Any, walk: Any) -> None:
    stays = walk([(0, 500, 300), (60, 500, 300)])
    leaving = play(scene(enters(when=["leave"])), [stays], until_s=5.0)
    assert [decision.step for decision in leaving.trace] == ["silent leave (camera stops)"]
    quiet = play(scene(enters(cooldown_s=60.0)), [visits(walk, 2)], fps=10)
    assert [decision.step for decision in quiet.trace] == ["told enter", "silent enter (cooldown)"]


def test_evidence_and_counts_are_json_and_paths_are_short(play: Any, walk: Any) -> None:
    played = play(scene(*EVERY_KIND), crowd_of(walk, 60), fps=5)
    for alert in played.told():
        json.dumps([alert.evidence, alert.counts], allow_nan=False)
        assert alert.track is None or 1 <= len(alert.track.path) <= 33
        assert alert.started_s <= alert.time_s


def test_the_order_of_tracks_and_their_numbers_do_not_matter(play: Any, walk: Any) -> None:
    walks = crowd_of(walk, 40)
    first = play(scene(*EVERY_KIND), walks, fps=5)
    for one in walks:
        one.id = 10_000 - one.id
    second = play(scene(*EVERY_KIND), walks[::-1], fps=5)

    def essence(played: Any) -> list[Any]:
        return sorted(
            (
                alert.rule,
                alert.kind,
                alert.phase.value,
                round(alert.time_s, 3),
                alert.track and round(alert.track.box[0], 2),
            )
            for alert in played.told()
            if alert.kind not in ("crowd",)
        )

    assert essence(first) == essence(second)
