from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agent.rules.settings import RulesSettings, rule_names

TRIANGLE = {"points": [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]}


def faults(content: dict[str, Any]) -> list[tuple[tuple[int | str, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        RulesSettings.model_validate(content)
    return [
        (fault["loc"], str(fault["ctx"]["error"]) if fault["type"] == "value_error" else fault["msg"])
        for fault in caught.value.errors()
    ]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0.1, 0.5], [0.6, 0.5]], "expected 3 or more [x, y] pairs in 0..1, got 2"),
        ([[0, 0], [1, 1], [1, 0], [0, 1]], "expected sides that do not cross, got side 1 across side 3; "),
        ([[0, 0], [0.5, 0.5], [1, 1]], "expected a polygon with an area, got points on one line"),
        ([[0, 0], [0, 0], [1, 0], [1, 1]], "expected every point once in a row, got [0.0, 0.0] twice"),
    ],
)
def test_a_polygon_that_is_none_names_its_fault(points: list[list[float]], message: str) -> None:
    for kind in ("zones", "masks"):
        [(place, text)] = faults({kind: {"drive": {"points": points}}})
        assert place == (kind, "drive", "points")
        assert text.startswith(message)


def test_a_closed_polygon_loses_its_repeated_point() -> None:
    closed = RulesSettings.model_validate({"zones": {"a": {"points": [[0, 0], [1, 0], [1, 1], [0, 0]]}}})
    assert closed.zones["a"].points == ((0, 0), (1, 0), (1, 1))


def test_a_point_beyond_the_picture_names_its_number() -> None:
    [(place, text)] = faults({"zones": {"a": {"points": [[0, 0], [1.5, 0], [1, 1]]}}})
    assert place == ("zones", "a", "points", 1, 0)
    assert "less than or equal to 1" in text


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0.1, 0.5]], "expected 2 [x, y] pairs in 0..1, got 1"),
        ([[0.1, 0.5], [0.2, 0.5], [0.3, 0.5]], "expected 2 [x, y] pairs in 0..1, got 3"),
        ([[0.1, 0.5], [0.1, 0.5]], "expected two different points, got [0.1, 0.5] twice"),
    ],
)
def test_a_tripwire_has_two_points(points: list[list[float]], message: str) -> None:
    assert faults({"tripwires": {"gate": {"points": points}}}) == [(("tripwires", "gate", "points"), message)]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"kind": "zone", "zone": "drvie"}, "zone: expected the name of a zone (drive, yard), got 'drvie'"),
        ({"kind": "tripwire", "tripwire": "x"}, "tripwire: expected the name of a tripwire (none"),
        (
            {"kind": "sequence", "zones": ["drive", "lawn"], "within_s": 3},
            "zones: expected the name of a zone (drive, yard), g",
        ),
        ({"kind": "speed", "above_m_s": 3}, "above_m_s: expected a ground section"),
        ({"kind": "speed"}, "expected either above_px_s or above_m_s, got neither"),
        (
            {"kind": "occupancy", "zone": "yard", "above": 1, "below": 3},
            "expected either above or below, got both",
        ),
        (
            {"kind": "dwell", "zone": "yard", "min_s": 3, "min_area": 0.5, "max_area": 0.2},
            "min_area: expected at most max_area (0.2), got 0.5",
        ),
        (
            {"kind": "wrong-way", "allowed": [[0.5, 0.5], [0.5, 0.5]]},
            "allowed: expected two different points",
        ),
    ],
)
def test_a_wrong_rule_names_its_place_and_what_there_is(rule: dict[str, Any], message: str) -> None:
    [(place, text)] = faults(
        {"zones": {"drive": TRIANGLE, "yard": TRIANGLE}, "rules": [{"kind": "left-scene"}, rule]}
    )
    assert place[:2] == ("rules", 1)
    assert text.startswith(message)


def test_an_unknown_kind_and_an_unknown_key_are_refused() -> None:
    [(place, text)] = faults({"rules": [{"kind": "zoen"}]})
    assert place == ("rules", 0)
    assert "'zone'" in text
    [(place, _)] = faults({"zones": {"a": TRIANGLE}, "rules": [{"kind": "zone", "zone": "a", "wen": []}]})
    assert place == ("rules", 0, "zone", "wen")


def test_exclusions_name_other_zones() -> None:
    [(place, text)] = faults({"zones": {"a": {**TRIANGLE, "exclude": ["a"]}}})
    assert place == ("zones",)
    assert text.startswith("a.exclude: expected the name of a zone")


def test_min_overlap_needs_the_anchor_overlap() -> None:
    [(_, text)] = faults({"zones": {"a": {**TRIANGLE, "min_overlap": 0.3}}})
    assert text == "min_overlap: expected anchor: overlap beside it, got anchor: bottom"


@pytest.mark.parametrize(
    ("ground", "message"),
    [
        (
            {"points": [[0, 0], [1, 0], [1, 1]], "metres": [[0, 0], [1, 0], [1, 1], [0, 1]]},
            "points: expected 4",
        ),
        (
            {"points": [[0, 0], [1, 0], [1, 1], [0, 1]], "metres": [[0, 0], [1, 0], [2, 0], [0, 1]]},
            "metres: expected no three on one line",
        ),
    ],
)
def test_the_ground_needs_four_points_in_general_position(ground: dict[str, Any], message: str) -> None:
    [(_, text)] = faults({"ground": ground})
    assert text.startswith(message)


def test_names_are_given_or_derived_and_never_the_same() -> None:
    rules = [
        {"kind": "zone", "zone": "a"},
        {"kind": "zone", "zone": "a"},
        {"kind": "zone", "zone": "a", "name": "zone-a-2"},
        {"kind": "left-scene"},
        {"kind": "sequence", "zones": ["a", "b"], "within_s": 3},
    ]
    settings = RulesSettings.model_validate({"zones": {"a": TRIANGLE, "b": TRIANGLE}, "rules": rules})
    assert rule_names(settings.rules) == ("zone-a", "zone-a-3", "zone-a-2", "left-scene", "sequence-a-b")


def test_a_name_twice_is_refused() -> None:
    rules = [{"kind": "left-scene", "name": "bye"}, {"kind": "left-scene", "name": "bye"}]
    [(place, text)] = faults({"rules": rules})
    assert place == ("rules",)
    assert text == "expected a name of its own for every rule, got 'bye' for rules 0 and 1"


def test_the_time_zone_must_exist() -> None:
    [(place, text)] = faults({"timezone": "Mars/Olympus"})
    assert (place, text) == (("timezone",), "expected a time zone such as Europe/Zurich, got 'Mars/Olympus'")
