"""The part of a camera's section that says what is worth an alert."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from agent.rules.rule_settings import AnyRule, RuleBase, SpeedRule
from agent.rules.scene_settings import Ground, Mask, Tripwire, Zone
from agent.rules.schedule_settings import TimeZone
from agent.settings import Name, Seconds, Section


def _refer(key: str, name: str, known: Iterable[str], what: str) -> None:
    """Raise a ValueError that says which names there are when `name` is not among them."""
    known = sorted(known)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]}?" if near else f"; draw it below {what}s"
    names = ", ".join(known) or f"none: the camera has no {what}s"
    raise ValueError(f"{key}: expected the name of a {what} ({names}), got {name!r}{hint}")


def _check_places(rule: RuleBase, info: ValidationInfo) -> RuleBase:
    """Refuse a rule that refers to what the camera does not have."""
    if "zones" in info.data:
        for key in ("zone", "zones"):
            value = getattr(rule, key, None)
            for name in (value,) if isinstance(value, str) else value or ():
                _refer(key, name, info.data["zones"], "zone")
    if "tripwires" in info.data and (tripwire := getattr(rule, "tripwire", None)) is not None:
        _refer("tripwire", tripwire, info.data["tripwires"], "tripwire")
    if isinstance(rule, SpeedRule) and rule.above_m_s is not None and info.data.get("ground", 0) is None:
        raise ValueError(
            "above_m_s: expected a ground section in this camera, got none; add it or use above_px_s"
        )
    return rule


def rule_names(rules: Iterable[RuleBase]) -> tuple[str, ...]:
    """The name of every rule: its own, or kind and place, numbered where two would be the same.

    The name of one rule does not depend on rules that come after it.
    """
    rules = tuple(rules)
    given = {rule.name for rule in rules if rule.name is not None}
    names: list[str] = []
    for rule in rules:
        name = rule.name
        if name is None:
            base = "-".join((str(getattr(rule, "kind", "rule")), *rule.places))[:60]
            name, number = base, 1
            while name in given or name in names:
                number += 1
                name = f"{base}-{number}"
        names.append(name)
    return tuple(names)


class RulesSettings(Section):
    """Zones, tripwires and rules of one camera."""

    timezone: TimeZone = "UTC"
    """Time zone of schedules and of the midnight at which daily counts begin anew."""
    zones: dict[Name, Zone] = {}
    """Areas of the picture by name."""
    tripwires: dict[Name, Tripwire] = {}
    """Lines by name."""
    masks: dict[Name, Mask] = {}
    """Areas in which detections are ignored."""
    ground: Ground | None = None
    """Places known in metres; for speeds over ground."""
    rejoin_s: Seconds = 10.0
    """An object at rest that is lost from sight is taken for the same when one of its class is found in its
    place within this time: a parked car is one object however many people hide it."""
    rules: tuple[Annotated[AnyRule, AfterValidator(_check_places)], ...] = Field(default=())
    """What is worth an alert."""

    @field_validator("zones")
    @classmethod
    def _check_exclusions(cls, zones: dict[str, Zone]) -> dict[str, Zone]:
        for name, zone in zones.items():
            for other in zone.exclude:
                _refer(f"{name}.exclude", other, zones.keys() - {name}, "zone")
        return zones

    @field_validator("rules")
    @classmethod
    def _check_names(cls, rules: tuple[RuleBase, ...]) -> tuple[RuleBase, ...]:
        seen: dict[str, int] = {}
        for index, rule in enumerate(rules):
            if rule.name is not None and rule.name in seen:
                raise ValueError(
                    f"expected a name of its own for every rule, got {rule.name!r} for rules "
                    f"{seen[rule.name]} and {index}"
                )
            if rule.name is not None:
                seen[rule.name] = index
        return rules
