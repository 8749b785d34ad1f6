"""Milliseconds a frame for 100 tracks and 20 rules, against one loop over objects and rules.

    python tests/bench/rules/bench_rules.py

The loop does what a straightforward program does: for every object and every rule one point-in-polygon test
with shapely or matplotlib and one segment intersection, with dictionaries for state. It is measured with
those of the two that are installed, on the same tracks in the same run, and knows only zones, tripwires,
dwell and occupancy, without hysteresis, interpolation or paths; so the first row has only those kinds of
rule. The second has every kind.
"""

from __future__ import annotations

import importlib.util
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from agent.records import Tracks, TrackState
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings

SIZE = (1280, 720)
FPS = 15.0
FRAMES = 450
OBJECTS = 100
LABELS = ("person", "backpack")


def tracks(rng: np.random.Generator) -> Iterator[tuple[float, Tracks]]:
    """60 people who walk about and 40 things that stand still, with the jitter of a detector."""
    place = rng.uniform(0.05, 0.95, (OBJECTS, 2)) * SIZE
    heading = rng.uniform(0, 2 * np.pi, OBJECTS)
    speed = rng.uniform(20, 60, OBJECTS)
    speed[60:] = 0.0
    labels = (np.arange(OBJECTS) >= 60).astype(np.int64)
    height = rng.uniform(40, 120, OBJECTS)
    for frame in range(FRAMES):
        step = np.stack((np.cos(heading), np.sin(heading)), axis=1) * speed[:, None] / FPS
        outside = ((place + step < 0) | (place + step > SIZE)).any(axis=1)
        heading[outside] += np.pi
        place[~outside] += step[~outside]
        heading += rng.normal(0, 0.05, OBJECTS)
        seen = place + rng.normal(0, 0.5, place.shape)
        half = np.stack((height / 4, height / 2), axis=1)
        states = np.full(OBJECTS, TrackState.CONFIRMED, np.int64)
        states[rng.random(OBJECTS) < 0.05] = TrackState.LOST
        yield (
            frame / FPS,
            Tracks(
                ids=np.arange(OBJECTS, dtype=np.int64),
                boxes=np.concatenate((seen - half, seen + half), axis=1).astype(np.float32),
                velocities=np.zeros((OBJECTS, 2), np.float32),
                scores=np.full(OBJECTS, 0.8, np.float32),
                labels=labels,
                states=states,
                age_s=np.full(OBJECTS, frame / FPS, np.float32),
                since_seen_s=np.zeros(OBJECTS, np.float32),
            ),
        )


def polygon(rng: np.random.Generator, corners: int = 8) -> list[list[float]]:
    """A star-shaped polygon of a tenth of the picture or so."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    middle = rng.uniform(0.25, 0.75, 2)
    radius = rng.uniform(0.15, 0.25, corners)
    points = middle + np.stack((np.cos(angles), np.sin(angles)), axis=1) * radius[:, None]
    return [[round(x, 3), round(y, 3)] for x, y in points.tolist()]


def scene(rng: np.random.Generator, *, every_kind: bool) -> RulesSettings:
    """Eight zones, four tripwires and twenty rules."""
    zones = {f"zone-{number}": {"points": polygon(rng)} for number in range(8)}
    ends = rng.uniform(0.1, 0.9, (4, 2, 2)).round(3).tolist()
    wires = {f"wire-{number}": {"points": points} for number, points in enumerate(ends)}
    rules: list[dict[str, object]] = [
        {"kind": "zone", "zone": f"zone-{number}", "when": ["enter", "leave"]} for number in range(8)
    ]
    rules += [{"kind": "tripwire", "tripwire": name} for name in wires]
    rules += [{"kind": "dwell", "zone": f"zone-{number}", "min_s": 10.0} for number in range(4)]
    rules += [{"kind": "occupancy", "zone": f"zone-{number}", "above": 6} for number in range(4)]
    if every_kind:
        rules[4:8] = [
            {"kind": "speed", "above_px_s": 58.0},
            {"kind": "wrong-way", "allowed": [[0.0, 0.5], [1.0, 0.5]], "tolerance_deg": 150.0},
            {"kind": "stopped", "min_s": 10.0, "labels": ["person"]},
            {"kind": "abandoned", "min_s": 10.0, "labels": ["backpack"]},
        ]
        rules[14:16] = [{"kind": "removed", "labels": ["backpack"]}, {"kind": "left-scene"}]
        rules[18:20] = [
            {"kind": "crowd", "min_count": 6, "max_gap": 0.5},
            {"kind": "sequence", "zones": ["zone-0", "zone-1"], "within_s": 20.0},
        ]
    return RulesSettings.model_validate({"zones": zones, "tripwires": wires, "rules": rules})


def naive(
    settings: RulesSettings, holds: Callable[[object, float, float], bool], shapes: dict[str, object]
) -> Callable[[float, Tracks], int]:
    """The loop over objects and rules."""
    width, height = SIZE
    inside: dict[tuple[int, int], float] = {}
    before: dict[int, tuple[float, float]] = {}
    dwelling: set[tuple[int, int]] = set()

    def side(ax: float, ay: float, bx: float, by: float, x: float, y: float) -> float:
        return (bx - ax) * (y - ay) - (by - ay) * (x - ax)

    def update(time_s: float, objects: Tracks) -> int:
        alerts = 0
        occupied: dict[int, int] = {}
        for row in range(len(objects)):
            track = int(objects.ids[row])
            if objects.states[row] != TrackState.CONFIRMED:
                continue
            left, _, right, bottom = objects.boxes[row].tolist()
            x, y = (left + right) / 2 / width, bottom / height
            old = before.get(track, (x, y))
            for number, rule in enumerate(settings.rules):
                key = (number, track)
                if rule.kind == "tripwire":
                    (ax, ay), (bx, by) = settings.tripwires[rule.tripwire].points
                    if (
                        side(ax, ay, bx, by, *old) * side(ax, ay, bx, by, x, y) < 0
                        and side(*old, x, y, ax, ay) * side(*old, x, y, bx, by) < 0
                    ):
                        alerts += 1
                    continue
                if holds(shapes[rule.zone], x, y):
                    if key not in inside:
                        inside[key] = time_s
                        alerts += rule.kind == "zone"
                    if rule.kind == "occupancy":
                        occupied[number] = occupied.get(number, 0) + 1
                    if rule.kind == "dwell" and time_s - inside[key] >= rule.min_s and key not in dwelling:
                        dwelling.add(key)
                        alerts += 1
                elif key in inside:
                    del inside[key]
                    dwelling.discard(key)
                    alerts += rule.kind == "zone"
            before[track] = (x, y)
        for number, rule in enumerate(settings.rules):
            if rule.kind == "occupancy" and occupied.get(number, 0) > (rule.above or 0):
                alerts += 1
        return alerts

    return update


def naive_loops(settings: RulesSettings) -> dict[str, Callable[[float, Tracks], int]]:
    """The loop with each library that is installed."""
    loops: dict[str, Callable[[float, Tracks], int]] = {}
    if importlib.util.find_spec("shapely"):
        from shapely.geometry import Point, Polygon
        from shapely.prepared import prep

        prepared = {name: prep(Polygon(zone.points)) for name, zone in settings.zones.items()}
        loops["shapely loop"] = naive(settings, lambda shape, x, y: shape.covers(Point(x, y)), prepared)
    if importlib.util.find_spec("matplotlib"):
        from matplotlib.path import Path as Outline

        outlines = {name: Outline(zone.points) for name, zone in settings.zones.items()}
        loops["matplotlib loop"] = naive(settings, lambda shape, x, y: shape.contains_point((x, y)), outlines)
    return loops


def measure(
    updates: dict[str, Callable[[float, Tracks], int]], frames: list[tuple[float, Tracks]]
) -> dict[str, tuple[list[float], int]]:
    """Milliseconds of processor time of each frame and the number of alerts, by name.

    All take each frame in turn, so that what else the machine does falls on all alike; processor time of
    this thread leaves out the time in which it had to wait for a core.
    """
    times: dict[str, list[float]] = {name: [] for name in updates}
    alerts = dict.fromkeys(updates, 0)
    for time_s, objects in frames:
        for name, update in updates.items():
            begin_s = time.thread_time()
            alerts[name] += update(time_s, objects)
            times[name].append((time.thread_time() - begin_s) * 1000)
    return {name: (times[name], alerts[name]) for name in updates}


def engine(settings: RulesSettings) -> Callable[[float, Tracks], int]:
    """The project's rules behind the same door as the loops."""
    numbers = itertools.count()
    rules = RuleEngine(settings, labels=LABELS, new_id=lambda: str(next(numbers)))
    return lambda time_s, objects: len(rules.update(objects, time_s, 1.7e9 + time_s, SIZE))


def main() -> None:
    """Print the table."""
    frames = list(tracks(np.random.default_rng(7)))
    print(f"{OBJECTS} tracks, 20 rules, {FRAMES} frames of {FPS:g} a second; processor time, interleaved")
    basic = scene(np.random.default_rng(3), every_kind=False)
    every = scene(np.random.default_rng(3), every_kind=True)
    updates = {"zones, tripwires, dwell, occupancy": engine(basic), "every kind of rule": engine(every)}
    measured = measure({**updates, **naive_loops(basic)}, frames)
    fastest = statistics.median(measured["zones, tripwires, dwell, occupancy"][0])
    for name, (times, alerts) in measured.items():
        median = statistics.median(times)
        p10, p95 = np.percentile(times, (10, 95))
        print(
            f"  {name:<36} median {median:6.3f} ms  p10 {p10:6.3f}  p95 {p95:6.3f}"
            f"  {median / fastest:5.1f} × the first  {alerts} alerts"
        )


if __name__ == "__main__":
    main()
