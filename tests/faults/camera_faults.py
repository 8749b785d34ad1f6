"""Cameras fail at random, in every way, for random times: each fault is told in time, and mended by itself.

    python -m tests.faults.camera_faults [--faults 100] [--cameras 4] [--video FILE]

Several cameras, each a real reader on a faulty camera, at the times of `SETTINGS`: a tenth of the defaults,
so that a hundred faults take minutes. Prints a line of JSON per kind; exits 1 when one was not told within
its time and `MARGIN_S`, or was not over within the longest back-off and `MARGIN_S`.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from agent.capture.reader import FrameReader, SourceState, SourceStatus
from agent.capture.settings import SourceSettings
from agent.records import ImageArray
from tests.awake import AwakeClock
from tests.faults.camera_pictures import clip
from tests.faults.faulty_camera import FaultyCamera
from tests.faults.spoil import FAULTS

VIDEO = Path(__file__).parents[2] / "agent" / "demo" / "street.mp4"
SETTINGS = SourceSettings(
    source="rtsp://camera",
    stale_after_s=0.5,
    frozen_after_s=0.5,
    picture_fault_after_s=1.0,
    reconnect_min_s=0.1,
    reconnect_max_s=1.0,
)
MARGIN_S = 2.0
"""For a machine with as many cameras as cores and other work."""
_LEARN_S = 4.0
KINDS: dict[str, tuple[str, ...]] = {
    **{kind: states for kind, (_, states) in FAULTS.items() if kind != "hand over 9/10"},
    "frozen": ("frozen",),
    "hung": ("lost",),
    "ended": ("lost",),
    "lost": ("lost",),
    "other size": ("lost",),
    "other format": ("lost",),
}
"""Fault: the states that tell of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fault: seconds of this process until it was told and until it was over; None when it was not."""

    kind: str
    told_s: float | None
    over_s: float | None


def due_s(kind: str) -> float:
    """Within which a fault is to be told."""
    if kind in FAULTS:
        return SETTINGS.picture_fault_after_s
    return {"frozen": SETTINGS.frozen_after_s, "hung": SETTINGS.stale_after_s}.get(kind, 0.0)


def until(condition: Callable[[], bool], timeout_s: float, awake: AwakeClock) -> float | None:
    """Seconds until a condition holds; None when it does not in time."""
    began_s, tick = awake.now_s(), threading.Event()
    while not condition():
        if awake.now_s() - began_s > timeout_s:
            return None
        tick.wait(0.01)
    return awake.now_s() - began_s


def run(pictures: list[ImageArray], kinds: list[str], seed: int) -> list[Outcome]:
    """Let one camera fail in these ways, one after the other."""
    rng, camera, awake = random.Random(seed), FaultyCamera(pictures, 0.05, seed), AwakeClock()
    reports: list[SourceStatus] = []
    outcomes: list[Outcome] = []
    with FrameReader[None](camera.open, SETTINGS, camera=f"camera{seed}", on_status=reports.append) as reader:
        taken = threading.Thread(target=_take, args=(reader,))
        taken.start()
        until(lambda: False, _LEARN_S, awake)
        for kind in kinds:
            until(lambda: False, rng.uniform(0.5, 1.5), awake)
            before = len(reports)
            spoil = FAULTS[kind][0] if kind in FAULTS else None
            camera.begin(None if spoil else kind, spoil)

            def noticed(kind: str = kind, before: int = before) -> bool:
                return any(str(report.state) in KINDS[kind] for report in reports[before:])

            told_s = until(noticed, due_s(kind) + 3 * MARGIN_S, awake)
            until(lambda: False, rng.uniform(0.0, 2.0), awake)
            camera.begin(None)
            over_s = until(
                lambda: reader.state is SourceState.ONLINE, SETTINGS.reconnect_max_s + 5 * MARGIN_S, awake
            )
            outcomes.append(Outcome(kind, told_s, over_s))
    taken.join()
    awake.close()
    return outcomes


def _take(reader: FrameReader[None]) -> None:
    while not reader.ended:
        reader.get(0.2)


def figures(outcomes: list[Outcome]) -> tuple[list[dict[str, object]], int]:
    """A row per kind, and how many faults were told or over too late or not at all."""
    by_kind: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.kind].append(outcome)
    rows: list[dict[str, object]] = []
    bad = 0
    for kind, found in sorted(by_kind.items()):
        told = [o.told_s for o in found if o.told_s is not None]
        over = [o.over_s for o in found if o.over_s is not None]
        late = sum(o.told_s is None or o.told_s > due_s(kind) + MARGIN_S for o in found)
        stuck = sum(o.over_s is None or o.over_s > SETTINGS.reconnect_max_s + MARGIN_S for o in found)
        bad += late + stuck
        rows.append(
            {
                "fault": kind,
                "times": len(found),
                "due_s": due_s(kind),
                "told_s": [round(statistics.median(told), 2), round(max(told), 2)] if told else None,
                "over_s": [round(statistics.median(over), 2), round(max(over), 2)] if over else None,
                "late": late,
                "not_over": stuck,
            }
        )
    return rows, bad


def plan(faults: int, seed: int = 1) -> list[str]:
    """Every kind equally often, in random order."""
    kinds = (list(KINDS) * (faults // len(KINDS) + 1))[:faults]
    random.Random(seed).shuffle(kinds)
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--video", type=Path, default=VIDEO)
    arguments = parser.parse_args()
    pictures, kinds = clip(arguments.video, 40), plan(arguments.faults)
    with ThreadPoolExecutor(arguments.cameras) as pool:
        parts = [kinds[number :: arguments.cameras] for number in range(arguments.cameras)]
        done = list(pool.map(lambda item: run(pictures, item[1], item[0]), enumerate(parts)))
    rows, bad = figures([outcome for part in done for outcome in part])
    for row in rows:
        print(json.dumps(row))
    print(json.dumps({"fault": "camera", "faults": len(kinds), "late_or_not_over": bad}))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
