"""Every rule on the ground truth of PETS09-S2L1, its counts worked out here in another way.

The oracles are loops over one person at a time: paths are sampled finely instead of cut exactly, headings and
speeds come from numpy.polyfit, groups from a search. Nothing of agent.rules is used in them.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.data

ZONES = {
    "square": [[0.3, 0.4], [0.7, 0.4], [0.7, 0.8], [0.3, 0.8]],
    "corner": [[0.0, 0.3], [0.35, 0.25], [0.3, 0.6], [0.1, 0.55], [0.0, 0.8]],
    "notched": [[0.4, 0.2], [0.95, 0.2], [0.95, 0.95], [0.7, 0.5], [0.45, 0.9]],
}
LINES = {
    "across": [[-1.0, 0.5], [2.0, 0.5]],  # drawn beyond the picture in the oracle; cut to it in the settings
    "slant": [[0.2, 0.9], [0.8, 0.1]],
    "short": [[0.45, 0.3], [0.5, 0.7]],
}
FINE = 20


def holds(polygon: np.ndarray, x: float, y: float) -> bool:
    """Crossing number, one side after the other."""
    inside = False
    corners = polygon.tolist()
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            inside = not inside
    return inside


def feet(piece: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.stack(
        (np.clip((piece[:, 2] + piece[:, 4]) / 2, 0, size[0]), np.clip(piece[:, 5], 0, size[1])), axis=1
    )


def visits(piece: np.ndarray, pets: Any, zone: str, leave_after_s: float) -> list[tuple[float, float]]:
    """(entered, left) in s of every visit of one person, on a path sampled 20 times between frames."""
    polygon = np.array(ZONES[zone]) * pets.size
    times = piece[:, 0] / pets.fps
    fine = np.linspace(times[0], times[-1], (len(piece) - 1) * FINE + 1)
    spots = feet(piece, pets.size)
    xs, ys = np.interp(fine, times, spots[:, 0]), np.interp(fine, times, spots[:, 1])
    found: list[list[float]] = []
    for time_s, x, y in zip(fine.tolist(), xs.tolist(), ys.tolist(), strict=True):
        if holds(polygon, x, y):
            if found and time_s - found[-1][1] < leave_after_s:
                found[-1][1] = time_s
            else:
                found.append([time_s, time_s])
    return [(first, last) for first, last in found]


def settings(**more: Any) -> dict[str, Any]:
    return {"zones": {name: {"points": points} for name, points in ZONES.items()}, "rejoin_s": 0.0, **more}


@pytest.mark.parametrize("zone", list(ZONES))
def test_enter_and_leave(pets: Any, zone: str) -> None:
    played = pets.play(settings(rules=[{"kind": "zone", "zone": zone, "when": ["enter", "leave"]}]))
    expected = sorted(
        (track, first, last)
        for track, piece in pets.pieces()
        for first, last in visits(piece, pets, zone, 0.5)
    )
    enters, leaves = played.told(kind="enter"), played.told(kind="leave")
    told = sorted((alert.track.id, alert.evidence["at_s"]) for alert in enters)
    assert [track for track, _ in told] == [track for track, _, _ in expected]
    assert [at_s for _, at_s in told] == pytest.approx([first for _, first, _ in expected], abs=0.01)
    assert len(expected) > 5
    # Whoever is inside in the last frame has not left.
    last_frame = 795 / pets.fps
    gone = [last for _, _, last in expected if last < last_frame - 0.5]
    assert sorted(alert.evidence["at_s"] for alert in leaves) == pytest.approx(sorted(gone), abs=0.01)


@pytest.mark.parametrize("name", list(LINES))
def test_crossings(pets: Any, name: str) -> None:
    drawn = np.clip(LINES[name], 0.0, 1.0).tolist()
    scene = settings(tripwires={name: {"points": drawn}}, rules=[{"kind": "tripwire", "tripwire": name}])
    played = pets.play(scene)
    (ax, ay), (bx, by) = np.array(LINES[name]) * pets.size
    length = math.hypot(bx - ax, by - ay)
    expected = {"a-to-b": 0, "b-to-a": 0}
    for _, piece in pets.pieces():
        x, y = (piece[:, 2] + piece[:, 4]) / 2, piece[:, 5]
        margin = 0.1 * np.sqrt((piece[:, 4] - piece[:, 2]) * (piece[:, 5] - piece[:, 3]))
        right = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / length
        # The sides that a person was on by the margin, in order, with those of the first and last sight.
        sides = [
            (row, float(np.sign(right[row])))
            for row in range(len(piece))
            if row in (0, len(piece) - 1) or abs(right[row]) >= margin[row]
        ]
        for (first, before), (last, after) in itertools.pairwise(sides):
            if before == after:
                continue
            # Where the path between them goes through the prolonged line: within the segment or beside it?
            through = 0
            for row in range(first, last):
                if right[row] * right[row + 1] < 0:
                    part = right[row] / (right[row] - right[row + 1])
                    px, py = x[row] + part * (x[row + 1] - x[row]), y[row] + part * (y[row + 1] - y[row])
                    along = ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length**2
                    through += int(0 <= along <= 1)
            if through % 2:
                expected["a-to-b" if after > 0 else "b-to-a"] += 1
    told = dict.fromkeys(expected, 0)
    for alert in played.told(kind="cross"):
        told[alert.evidence["direction"]] += 1
    assert told == expected
    assert sum(told.values()) > 3
    counted = played.engine.counts()["tripwires"][name]["total"]
    assert {way: counted.get(way, {}).get("person", 0) for way in expected} == expected


@pytest.mark.parametrize("min_s", [2.0, 6.0])
def test_dwell(pets: Any, min_s: float) -> None:
    played = pets.play(settings(rules=[{"kind": "dwell", "zone": "square", "min_s": min_s}]))
    expected = []
    for track, piece in pets.pieces():
        for first, last in visits(piece, pets, "square", 0.5):
            if last - first >= min_s:
                expected.append((track, math.ceil((first + min_s) * pets.fps - 1e-6) / pets.fps))
    started = played.told(phase="start")
    told = [(alert.track.id, alert.time_s) for alert in started]
    assert [track for track, _ in sorted(told)] == [track for track, _ in sorted(expected)]
    assert [t for _, t in sorted(told)] == pytest.approx([t for _, t in sorted(expected)], abs=0.15)
    assert len(told) > 3
    ends = {alert.incident: alert for alert in played.told(phase="end")}
    assert set(ends) == {alert.incident for alert in started}


def people_inside(pets: Any, zone: str) -> np.ndarray:
    polygon = np.array(ZONES[zone]) * pets.size
    counts = np.zeros(796, int)
    for _, piece in pets.pieces():
        for frame, (x, y) in zip(piece[:, 0].astype(int), feet(piece, pets.size).tolist(), strict=True):
            counts[frame] += holds(polygon, x, y)
    return counts


def incidents(holding: np.ndarray, fps: float, for_s: float, clear_s: float) -> list[list[int]]:
    """[frame of start, frame of end] of a condition by frame, with hysteresis."""
    found: list[list[int]] = []
    lasting, since = False, 0
    for frame in range(1, 796):
        if holding[frame] != holding[frame - 1]:
            since = frame
        waited = (frame - since) / fps
        if not lasting and holding[frame] and waited >= for_s - 1e-9:
            lasting = True
            found.append([frame, 795])
        elif lasting and not holding[frame] and waited >= clear_s - 1e-9:
            lasting = False
            found[-1][1] = frame
    return found


@pytest.mark.parametrize(("zone", "above"), [("square", 2), ("square", 3), ("corner", 0)])
def test_occupancy_over_time(pets: Any, zone: str, above: int) -> None:
    scene = settings(
        rules=[{"kind": "occupancy", "zone": zone, "above": above, "for_s": 1.0, "clear_s": 1.0}]
    )
    scene["zones"][zone]["leave_after_s"] = 0.0
    played = pets.play(scene)
    expected = incidents(people_inside(pets, zone) > above, pets.fps, 1.0, 1.0)
    starts, ends = played.told(phase="start"), played.told(phase="end")
    assert [round(alert.time_s * pets.fps) for alert in starts] == [first for first, _ in expected]
    assert [round(alert.time_s * pets.fps) for alert in ends] == [last for _, last in expected]
    assert len(expected) >= 2


def test_crowd(pets: Any) -> None:
    played = pets.play(
        settings(rules=[{"kind": "crowd", "min_count": 3, "max_gap": 0.8, "for_s": 1.0, "clear_s": 1.0}])
    )
    crowded = np.zeros(796, bool)
    for frame in range(1, 796):
        rows = pets.rows[pets.rows[:, 0] == frame]
        spots = np.stack(((rows[:, 2] + rows[:, 4]) / 2, rows[:, 5]), axis=1)
        heights = rows[:, 5] - rows[:, 3]
        left = set(range(len(rows)))
        while left:
            group, pending = set(), [left.pop()]
            while pending:
                row = pending.pop()
                group.add(row)
                near = {
                    o for o in left if math.dist(spots[row], spots[o]) <= 0.8 * max(heights[row], heights[o])
                }
                left -= near
                pending += near
            crowded[frame] |= len(group) >= 3
    expected = incidents(crowded, pets.fps, 1.0, 1.0)
    assert [round(alert.time_s * pets.fps) for alert in played.told(phase="start")] == [
        first for first, _ in expected
    ]
    assert [round(alert.time_s * pets.fps) for alert in played.told(phase="end")] == [
        last for _, last in expected
    ]
    assert len(expected) >= 2


def fitted(piece: np.ndarray, row: int, pets: Any, window_s: float) -> tuple[float, float] | None:
    """Velocity of the box centre in px/s over the last seconds; None when not seen for half of them."""
    times = piece[: row + 1, 0] / pets.fps
    used = times[row] - times <= window_s
    if times[row] - times[used][0] < window_s / 2:
        return None
    x, y = (piece[: row + 1, 2] + piece[: row + 1, 4]) / 2, (piece[: row + 1, 3] + piece[: row + 1, 5]) / 2
    return float(np.polyfit(times[used], x[used], 1)[0]), float(np.polyfit(times[used], y[used], 1)[0])


@pytest.mark.parametrize("limit", [45.0, 60.0])
def test_speed(pets: Any, limit: float) -> None:
    rule = {"kind": "speed", "above_px_s": limit, "window_s": 1.05, "clear_s": 0.0}
    played = pets.play(settings(rules=[rule]))
    expected = []
    for track, piece in pets.pieces():
        before = False
        for row in range(len(piece)):
            velocity = fitted(piece, row, pets, 1.05)
            fast = velocity is not None and math.hypot(*velocity) > limit
            if fast and not before:
                expected.append((track, int(piece[row, 0])))
            before = fast
    told = [(alert.track.id, round(alert.time_s * pets.fps)) for alert in played.told(phase="start")]
    assert sorted(told) == sorted(expected)
    assert len(expected) >= 2


def test_wrong_way(pets: Any) -> None:
    rule = {
        "kind": "wrong-way",
        "allowed": [[0.2, 0.5], [0.8, 0.5]],
        "tolerance_deg": 120.0,
        "window_s": 1.05,
    }
    played = pets.play(settings(rules=[rule | {"for_s": 0.0, "clear_s": 0.0}]))
    expected = []
    for track, piece in pets.pieces():
        before = False
        for row in range(len(piece)):
            velocity = fitted(piece, row, pets, 1.05)
            wrong = False
            if velocity is not None:
                size = math.sqrt((piece[row, 4] - piece[row, 2]) * (piece[row, 5] - piece[row, 3]))
                off = abs(math.degrees(math.atan2(velocity[1], velocity[0])))
                wrong = math.hypot(*velocity) * 1.05 >= 0.5 * size and off > 120.0
            if wrong and not before:
                expected.append((track, int(piece[row, 0])))
            before = wrong
    told = [(alert.track.id, round(alert.time_s * pets.fps)) for alert in played.told(phase="start")]
    assert sorted(told) == sorted(expected)
    assert len(expected) >= 5


def test_stopped(pets: Any) -> None:
    played = pets.play(settings(rules=[{"kind": "stopped", "min_s": 4.0, "max_move": 0.3}]))
    told = {(alert.track.id, round(alert.started_s, 1)) for alert in played.told(phase="start")}
    # Whoever stayed well within the tolerance for five seconds must be told of, and nobody who did not stay
    # roughly there for three.
    stayed_long, stayed_short = set(), set()
    for track, piece in pets.pieces():
        centres = np.stack(((piece[:, 2] + piece[:, 4]) / 2, (piece[:, 3] + piece[:, 5]) / 2), axis=1)
        sizes = np.sqrt((piece[:, 4] - piece[:, 2]) * (piece[:, 5] - piece[:, 3]))
        for frames, reach, found in ((35, 0.15, stayed_long), (21, 0.6, stayed_short)):
            for first in range(len(piece) - frames):
                span = slice(first, first + frames + 1)
                if (np.hypot(*(centres[span] - centres[first]).T) <= reach * sizes[span]).all():
                    found.add(track)
    assert stayed_long <= {track for track, _ in told} <= stayed_short
    assert stayed_long


def test_sequence(pets: Any) -> None:
    rule = {"kind": "sequence", "zones": ["corner", "square"], "within_s": 6.0}
    played = pets.play(settings(rules=[rule]))
    expected = []
    for track, piece in pets.pieces():
        first_zone = visits(piece, pets, "corner", 0.5)
        used = -1.0
        for entered, _ in visits(piece, pets, "square", 0.5):
            before = [(begin, end) for begin, end in first_zone if used < begin < entered]
            if before and entered - min(before[-1][1], entered) <= 6.0:
                expected.append(track)
                used = entered
    assert sorted(alert.track.id for alert in played.told(kind="sequence")) == sorted(expected)
    assert expected


def test_left_scene(pets: Any) -> None:
    played = pets.play(settings(rules=[{"kind": "left-scene"}]))
    expected = sorted(track for track, piece in pets.pieces() if piece[-1, 0] < 795)
    assert sorted(alert.track.id for alert in played.told()) == expected
