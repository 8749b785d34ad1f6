"""What a configuration may say and yet hardly means; no fault, told by `check` and `doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.config import Config
from agent.rules.settings import rule_names
from agent.time_zone import machine_zone

_SOME_ZONE = "Europe/Zurich"


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth a look.

    Args:
        found: what is there.
        advice: what to write instead.
    """

    found: str
    advice: str

    def __str__(self) -> str:
        return f"{self.found}; {self.advice}"


def config_notes(path: Path, config: Config) -> Iterator[Note]:
    """Schedules whose hours are UTC only because nobody named a time zone.

    Args:
        path: the file.
        config: its content.
    """
    zone = machine_zone()
    for name, camera in config.cameras.items():
        named = zip(rule_names(camera.rules), camera.rules, strict=True)
        rules = [of for of, rule in named if rule.schedule is not None and rule.schedule.timezone is None]
        if not rules or "timezone" in camera.model_fields_set:
            continue
        which = f"rule {rules[0]}" if len(rules) == 1 else f"rules {', '.join(rules)}"
        write = f"timezone: {zone}, this machine's" if zone else f"a timezone such as {_SOME_ZONE}"
        yield Note(
            f"{path} cameras.{name}: note: the schedule of {which} names no time zone, so its hours are UTC",
            f"write {write}, below {name}",
        )
