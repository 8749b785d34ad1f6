from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from agent.rules.schedule import Calendar
from agent.rules.schedule_settings import Schedule, TimeOfDay, Window


def calendar(*windows: dict[str, Any], timezone: str = "Europe/Zurich") -> Calendar:
    return Calendar(Schedule.model_validate({"windows": windows}), timezone)


def minutes_on_duty(watch: Calendar, day: str, timezone: str = "Europe/Zurich") -> int:
    """Minutes of a local day on duty, asked minute by minute in UTC."""
    zone = ZoneInfo(timezone)
    begin = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC)
    end = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=zone).astimezone(UTC)
    count = int((end - begin).total_seconds() // 60)
    return sum(watch.on_duty((begin + timedelta(minutes=n)).timestamp()) for n in range(count))


def test_without_a_schedule_a_rule_is_always_on_duty() -> None:
    assert Calendar(None, "UTC").on_duty(0.0)


@pytest.mark.parametrize(
    ("day", "minutes"),
    [
        ("2026-03-28", 60),
        ("2026-03-29", 0),  # the clock goes from 02:00 to 03:00: the window never comes
        ("2026-10-25", 120),  # the clock goes from 03:00 to 02:00: the window comes twice
        ("2026-10-26", 60),
    ],
)
def test_daylight_saving_skips_and_repeats_a_window_in_the_night(day: str, minutes: int) -> None:
    assert minutes_on_duty(calendar({"start": "02:00", "end": "03:00"}), day) == minutes


@pytest.mark.parametrize(
    ("day", "minutes"), [("2026-03-29", 23 * 60), ("2026-10-25", 25 * 60), ("2026-07-01", 24 * 60)]
)
def test_a_whole_day_is_as_long_as_the_clock_makes_it(day: str, minutes: int) -> None:
    assert minutes_on_duty(calendar({}), day) == minutes


def test_a_window_over_midnight_belongs_to_its_first_day() -> None:
    weekend = calendar({"days": ["sat"], "start": "20:00", "end": "04:00"})
    assert [minutes_on_duty(weekend, f"2026-05-{day:02d}") for day in (1, 2, 3, 4)] == [0, 4 * 60, 4 * 60, 0]


def test_windows_add_up_and_their_own_time_zone_wins() -> None:
    both = calendar({"start": "08:00", "end": "10:00"}, {"start": "09:00", "end": "12:00"})
    assert minutes_on_duty(both, "2026-05-04") == 4 * 60
    tokyo = Calendar(
        Schedule.model_validate({"timezone": "Asia/Tokyo", "windows": [{"start": "09:00", "end": "10:00"}]}),
        "UTC",
    )
    assert tokyo.on_duty(datetime(2026, 5, 4, 0, 30, tzinfo=UTC).timestamp())
    assert not tokyo.on_duty(datetime(2026, 5, 4, 9, 30, tzinfo=UTC).timestamp())


def test_an_unquoted_time_which_yaml_makes_a_number_is_understood() -> None:
    assert Window.model_validate({"start": 1350, "end": "6:05"}) == Window(start="22:30", end="06:05")


@pytest.mark.parametrize("wrong", ["25:00", "noon", "12:60", "-1:00", True, 2000])
def test_what_is_no_time_of_day_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(TimeOfDay).validate_python(wrong)


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"start": "08:00", "end": "08:00"}, "expected an end other than"),
        ({"start": "24:00"}, "from 00:00 to 23:59"),
    ],
)
def test_an_empty_window_is_refused(window: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Window.model_validate(window)
