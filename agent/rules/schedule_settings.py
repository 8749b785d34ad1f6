"""When a rule is on duty."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from agent.settings import Section

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _time_of_day(value: Any) -> Any:
    """YAML reads an unquoted 22:30 as the number 1350: minutes."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 24 * 60:
        return f"{value // 60:02d}:{value % 60:02d}"
    return value


def _check_time_of_day(value: str) -> str:
    if value == "24:00":
        return value
    try:
        return f"{time.fromisoformat(value.zfill(5)):%H:%M}"
    except ValueError as error:
        raise ValueError(f"expected a time of day from 00:00 to 24:00, got {value!r}") from error


def _check_time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"expected a time zone such as Europe/Zurich, got {value!r}") from error
    return value


TimeOfDay = Annotated[str, BeforeValidator(_time_of_day), AfterValidator(_check_time_of_day)]
"""Local time, "HH:MM"; "24:00" is the end of the day."""

TimeZone = Annotated[str, AfterValidator(_check_time_zone)]
"""A name of the IANA time zone database."""


def minutes(value: str) -> int:
    """Minutes since midnight of a `TimeOfDay`."""
    hours, _, rest = value.partition(":")
    return int(hours) * 60 + int(rest)


class Window(Section):
    """A stretch of local time on some days of the week."""

    days: tuple[Day, ...] = DAYS
    """Days on which it begins."""
    start: TimeOfDay = "00:00"
    """First minute within."""
    end: TimeOfDay = "24:00"
    """First minute after it; earlier than `start`: on the next day."""

    @model_validator(mode="after")
    def _check(self) -> Window:
        if self.start == "24:00":
            raise ValueError("start: expected a time of day from 00:00 to 23:59, got 24:00")
        if self.start == self.end:
            raise ValueError(
                f"expected an end other than the start {self.start}; leave both out for a whole day"
            )
        return self


class Schedule(Section):
    """When a rule is on duty: in any of its windows."""

    windows: tuple[Window, ...] = Field(min_length=1)
    """Local times; a window that the clock change skips is skipped, one that it repeats is repeated."""
    timezone: TimeZone | None = None
    """Where the local time is meant; None: the camera's."""
