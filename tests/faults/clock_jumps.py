"""The wall clock jumps under running rules and a filled outbox; the monotonic clock goes on as ever.

    python -m tests.faults.clock_jumps [--runs 10]

Every run puts ten minutes of walkers through zone, dwell, occupancy and tripwire rules twice, with and
without a jump at a random moment. Apart from what the schedule's own wall time means, both must tell the
same. Prints a line of JSON for each jump; exits 1 when an alert is false or missing, or the outbox drops one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from agent.alerts.outbox import Outbox
from agent.alerts.schema import new_id
from agent.alerts.settings import OutboxSettings
from agent.records import Alert, Tracks, TrackState
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings

ZONE = ZoneInfo("Europe/Zurich")
LENGTH_S, RATE_HZ, SIZE = 600.0, 3.0, (640, 480)
WINDOWS = (("08:00", "18:00"), ("02:00", "03:00"))
_NOON_S = datetime(2026, 11, 20, 12, 0, tzinfo=ZONE).timestamp()
_NEARLY_CLOSED_S = datetime(2026, 11, 20, 17, 30, tzinfo=ZONE).timestamp()
_NEARLY_OPEN_S = datetime(2026, 11, 20, 8, 30, tzinfo=ZONE).timestamp()
_SPRING_S = datetime(2026, 3, 29, 1, 55, tzinfo=ZONE).timestamp()
_AUTUMN_S = datetime(2026, 10, 25, 2, 55, tzinfo=ZONE).timestamp()
JUMPS = {
    "one hour on": (_NEARLY_CLOSED_S, 3600.0),
    "one hour back": (_NEARLY_OPEN_S, -3600.0),
    "from 1970 to now": (10.0, _NOON_S - 10.0),
    "from now to 1970": (_NOON_S, 10.0 - _NOON_S),
    "summer time begins": (_SPRING_S, 0.0),
    "summer time ends": (_AUTUMN_S, 0.0),
}
"""Name: wall time at the start, and the step in seconds; UTC does not step with daylight saving."""

SETTINGS = {
    "timezone": "Europe/Zurich",
    "zones": {"yard": {"points": [[0.3, 0.2], [0.7, 0.2], [0.7, 0.9], [0.3, 0.9]]}},
    "tripwires": {"gate": {"points": [[0.5, 0.0], [0.5, 1.0]]}},
    "rules": [
        {"kind": "zone", "name": "entries", "zone": "yard", "when": ["enter"], "cooldown_s": 0},
        {"kind": "zone", "name": "visits", "zone": "yard", "when": ["enter", "leave"], "cooldown_s": 30},
        {"kind": "dwell", "name": "loitering", "zone": "yard", "min_s": 12},
        {"kind": "occupancy", "name": "full", "zone": "yard", "above": 2},
        {"kind": "tripwire", "name": "gate", "tripwire": "gate", "cooldown_s": 0},
        {
            "kind": "zone",
            "name": "hours",
            "zone": "yard",
            "when": ["enter"],
            "cooldown_s": 0,
            "schedule": {"windows": [{"start": start, "end": end} for start, end in WINDOWS]},
        },
    ],
}
Told = tuple[str, str, str, float, float, int]


def scene(seed: int) -> Iterator[tuple[float, Tracks]]:
    """Walkers that cross the picture at their own pace, some pausing in its middle."""
    rng = np.random.default_rng(seed)
    born_s = np.cumsum(rng.exponential(6.0, 90))
    pace, height, pause_s = rng.uniform(30, 90, 90), rng.uniform(150, 450, 90), rng.choice([0.0, 20.0], 90)
    for time_s in np.arange(0.0, LENGTH_S, 1.0 / RATE_HZ):
        age = time_s - born_s
        halt = 320.0 / pace
        x = pace * (np.minimum(age, halt) + np.maximum(age - halt - pause_s, 0.0))
        ids = np.flatnonzero((age >= 0) & (x <= 640.0))
        boxes = np.stack((x[ids] - 10, height[ids] - 40, x[ids] + 10, height[ids]), axis=1)
        count = len(ids)
        yield (
            float(time_s),
            Tracks(
                ids=ids.astype(np.int64),
                boxes=boxes.astype(np.float32),
                velocities=np.zeros((count, 2), np.float32),
                scores=np.full(count, 0.8, np.float32),
                labels=np.zeros(count, np.int64),
                states=np.full(count, TrackState.CONFIRMED, np.int64),
                age_s=age[ids].astype(np.float32),
                since_seen_s=np.zeros(count, np.float32),
            ),
        )


def alerts(seed: int, wall_s: float, jump_at_s: float, step_s: float) -> list[Alert]:
    """What the rules tell of a scene under a wall clock that steps once."""
    numbers = itertools.count()
    engine = RuleEngine(
        RulesSettings.model_validate(SETTINGS), labels=("person",), new_id=lambda: str(next(numbers))
    )
    return [
        alert
        for time_s, tracks in scene(seed)
        for alert in engine.update(
            tracks, time_s, wall_s + time_s + (step_s if time_s >= jump_at_s else 0.0), SIZE
        )
    ]


def told(found: list[Alert], *, hours: bool = False) -> list[Told]:
    """What identifies each alert, without wall time."""
    return [
        (a.rule, a.kind, a.phase, a.time_s, a.started_s, a.track.id if a.track else -1)
        for a in found
        if (a.rule == "hours") is hours
    ]


def due(found: list[Alert]) -> list[Told]:
    """What the rule with a schedule has to tell: the entries at whose own wall time it is on duty."""
    opened = [a for a in found if a.rule == "entries" and _open(a.wall_s)]
    return [("hours", row[1], row[2], *row[3:]) for row in told(opened)]


def _open(wall_s: float) -> bool:
    clock = f"{datetime.fromtimestamp(wall_s, ZONE):%H:%M}"
    return any(start <= clock < end for start, end in WINDOWS)


def run(jump: str, runs: int, seed: int = 1) -> dict[str, float | str]:
    """Compare `runs` scenes with and without a jump; the figures."""
    wall_s, step_s = JUMPS[jump]
    rng = random.Random(seed)
    total = scheduled = false = missing = wrong_wall = 0
    for number in range(runs):
        at_s = rng.uniform(60.0, LENGTH_S - 60.0)
        steady = alerts(number, wall_s, at_s, 0.0)
        jumped = alerts(number, wall_s, at_s, step_s)
        for expected, got in ((told(steady), told(jumped)), (due(jumped), told(jumped, hours=True))):
            false += len(set(got) - set(expected))
            missing += len(set(expected) - set(got))
        total += len(jumped)
        scheduled += len(told(jumped, hours=True))
        for alert in jumped:
            right_s = wall_s + alert.time_s + (step_s if alert.time_s >= at_s else 0.0)
            wrong_wall += abs(alert.wall_s - right_s) > 1e-6
    return {
        "jump": jump,
        "runs": runs,
        "alerts": total,
        "scheduled": scheduled,
        "false": false,
        "missing": missing,
        "wrong_wall_time": wrong_wall,
    }


def outbox(folder: Path, jump: str) -> dict[str, float | str]:
    """Alerts that wait for a day while the clock jumps, with an age limit of an hour; how many are left.

    The clock cannot be believed before it was set, and not after it fell back to 1970.
    """
    wall_s, step_s = JUMPS[jump]
    clock = {"wall": wall_s, "mono": 1000.0}

    def synchronised() -> bool:
        return clock["wall"] > _NOON_S - 86400 * 300 and not (step_s and clock["wall"] < wall_s + 1.0)

    box = Outbox(
        folder / f"{jump.replace(' ', '-')}.sqlite",
        OutboxSettings(max_age_s=3600),
        monotonic=lambda: clock["mono"],
        wall=lambda: clock["wall"],
        synchronised=synchronised,
    )
    for number in range(100):
        box.put("t", new_id(), lambda sequence, n=number: f"{n} {sequence}".encode())  # type: ignore[misc]
        clock["mono"] += 0.01
        clock["wall"] += 0.001
    clock["wall"] += step_s
    for _ in range(20):
        clock["mono"] += 120.0
        clock["wall"] += 120.0
        box.put("t", new_id(), lambda sequence: str(sequence).encode())
    left, dropped = len(box), box.dropped
    box.close()
    return {"outbox_left": left, "outbox_dropped": dropped}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    bad = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for jump in JUMPS:
            figures = {**run(jump, runs), **outbox(Path(folder), jump)}
            print(json.dumps({"fault": "clock", **figures}), flush=True)
            bad += sum(
                float(figures[name]) for name in ("false", "missing", "wrong_wall_time", "outbox_dropped")
            )
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
