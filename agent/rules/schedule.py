"""Whether a rule is on duty at a moment of local time."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from agent.rules.schedule_settings import DAYS, Schedule, minutes


class Calendar:
    """The windows of one schedule in one time zone.

    A window covers the local times that a clock on the wall shows: those that daylight saving skips never
    come, those that it repeats come twice. One that ends before it starts runs into the next day and belongs
    to the day on which it starts.

    Args:
        schedule: None for always.
        timezone: of the camera, used when the schedule names none.
    """

    def __init__(self, schedule: Schedule | None, timezone: str) -> None:
        self._windows = () if schedule is None else schedule.windows
        self._zone = ZoneInfo(schedule.timezone if schedule and schedule.timezone else timezone)
        self._minute = -1
        self._on_duty = schedule is None

    def on_duty(self, wall_s: float) -> bool:
        """Whether any window covers the minute of `wall_s`, seconds since 1970."""
        minute = int(wall_s // 60)
        if not self._windows or minute == self._minute:
            return self._on_duty
        self._minute = minute
        now = datetime.fromtimestamp(wall_s, self._zone)
        today, yesterday = DAYS[now.weekday()], DAYS[(now - timedelta(days=1)).weekday()]
        clock = now.hour * 60 + now.minute
        self._on_duty = False
        for window in self._windows:
            start, end = minutes(window.start), minutes(window.end)
            if end > start:
                covered = today in window.days and start <= clock < end
            else:
                covered = (today in window.days and clock >= start) or (
                    yesterday in window.days and clock < end
                )
            self._on_duty = self._on_duty or covered
        return self._on_duty
