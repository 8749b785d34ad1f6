"""Short versions of tests/faults/clock_jumps.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.clock_jumps import JUMPS, outbox, run


@pytest.mark.parametrize("jump", JUMPS)
def test_clock_that_jumps_makes_no_alert_and_swallows_none(jump: str) -> None:
    figures = run(jump, 1)
    assert (figures["false"], figures["missing"], figures["wrong_wall_time"]) == (0, 0, 0)
    assert float(figures["alerts"]) > 200
    skipped = jump == "summer time begins"  # the hour in which the rule is on duty never comes
    assert (float(figures["scheduled"]) > 5) is not skipped


@pytest.mark.parametrize("jump", JUMPS)
def test_age_limit_of_the_outbox_is_not_reached_by_a_jump(tmp_path: Path, jump: str) -> None:
    assert outbox(tmp_path, jump) == {"outbox_left": 120, "outbox_dropped": 0}
