"""Scripted objects and ground-truth tracks, put through the rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from agent.records import Alert, Tracks, TrackState
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings
from agent.rules.trace import Trace

SIZE = (1000, 500)
LABELS = ("person", "car", "backpack")
WALL_S = 1_700_000_000.0


@dataclass
class Walk:
    """An object whose feet go along a path.

    Args:
        path: (time in s, x, y) in px of a 1000 × 500 picture; straight lines between, at rest outside.
        id, label, box: of its track; box is (width, height).
        hidden: stretches of time in which its track is lost.
        tentative_s: how long its track is tentative.
        lost_s: how long its track is lost after the path's end, before it is removed.
        score: of its detections.
    """

    path: Sequence[tuple[float, float, float]]
    id: int = 1
    label: int = 0
    box: tuple[float, float] = (20.0, 40.0)
    hidden: Sequence[tuple[float, float]] = ()
    tentative_s: float = 0.0
    lost_s: float = 0.0
    score: float = 0.8

    def at(self, time_s: float) -> tuple[float, float]:
        times, xs, ys = zip(*self.path, strict=True)
        return float(np.interp(time_s, times, xs)), float(np.interp(time_s, times, ys))

    def state(self, time_s: float) -> TrackState | None:
        begin, end = self.path[0][0], self.path[-1][0]
        if time_s < begin - 1e-9 or time_s > end + self.lost_s + 1.0:
            return None
        if time_s > end + self.lost_s + 1e-9:
            return TrackState.REMOVED
        if time_s > end + 1e-9 or any(first <= time_s < last for first, last in self.hidden):
            return TrackState.LOST
        return TrackState.TENTATIVE if time_s - begin < self.tentative_s - 1e-9 else TrackState.CONFIRMED


def _tracks(
    rows: Sequence[tuple[int, TrackState, float, float, float, float, int, float, float]],
) -> Tracks:
    """Rows of (id, state, x of feet, y of feet, width, height, label, score, age)."""
    count = len(rows)
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in range(9)]
    ids, states, x, y, width, height, labels, scores, ages = (
        np.array(column, np.float64) for column in columns
    )
    boxes = np.stack((x - width / 2, y - height, x + width / 2, y), axis=1) if count else np.zeros((0, 4))
    return Tracks(
        ids=ids.astype(np.int64),
        boxes=boxes.astype(np.float32),
        velocities=np.zeros((count, 2), np.float32),
        scores=scores.astype(np.float32),
        labels=labels.astype(np.int64),
        states=states.astype(np.int64),
        age_s=ages.astype(np.float32),
        since_seen_s=np.where(states == TrackState.LOST, 0.1, 0.0).astype(np.float32),
    )


Frames: TypeAlias = Iterator[tuple[float, Tracks]]


def frames_of(walks: Sequence[Walk], fps: float, until_s: float) -> Frames:
    """Tracks of all walks at a frame rate."""
    reported: set[int] = set()
    waiting = sorted(walks, key=lambda walk: -walk.path[0][0])
    living: list[Walk] = []
    for number in range(int(until_s * fps + 1e-6) + 1):
        time_s = number / fps
        while waiting and waiting[-1].path[0][0] <= time_s + 1e-9:
            living.append(waiting.pop())
        living = [walk for walk in living if time_s <= walk.path[-1][0] + walk.lost_s + 1.0]
        rows = []
        for walk in living:
            state = walk.state(time_s)
            if state is None or (state == TrackState.REMOVED and walk.id in reported):
                continue
            if state == TrackState.REMOVED:
                reported.add(walk.id)
            x, y = walk.at(time_s)
            age_s = time_s - walk.path[0][0]
            rows.append((walk.id, state, x, y, *walk.box, walk.label, walk.score, age_s))
        yield time_s, _tracks(rows)


@dataclass
class Played:
    """What came of a scene."""

    alerts: list[Alert]
    ends: list[Alert]
    engine: RuleEngine
    trace: Trace
    errors: list[str] = field(default_factory=list)

    def told(self, **wanted: Any) -> list[Alert]:
        """Alerts, those at the end included, with certain properties."""
        return [
            alert
            for alert in (*self.alerts, *self.ends)
            if all(getattr(alert, key) == value for key, value in wanted.items())
        ]

    @property
    def story(self) -> list[tuple[str, str, float]]:
        """(kind, phase, time) of every alert."""
        return [
            (alert.kind, alert.phase.value, round(alert.time_s, 2)) for alert in (*self.alerts, *self.ends)
        ]


Play: TypeAlias = Callable[..., Played]


def play_frames(
    settings: Mapping[str, Any],
    frames: Frames,
    *,
    size: tuple[int, int] = SIZE,
    labels: tuple[str, ...] = LABELS,
    wall_s: float = WALL_S,
    each: Callable[[RuleEngine, float], None] | None = None,
) -> Played:
    """Put tracks through rules."""
    numbers = itertools.count(1)
    trace = Trace()
    engine = RuleEngine(
        RulesSettings.model_validate({"rejoin_s": 0.0, **settings}),
        labels=labels,
        new_id=lambda: f"{next(numbers):04d}",
        trace=trace,
    )
    alerts: list[Alert] = []
    time_s = 0.0
    for time_s, tracks in frames:
        alerts += engine.update(tracks, time_s, wall_s + time_s, size)
        if each is not None:
            each(engine, time_s)
    return Played(alerts, engine.close(time_s, wall_s + time_s), engine, trace)


@pytest.fixture
def play() -> Play:
    """`play(settings, walks, fps=15, until_s=…)`: scripted objects through the rules."""

    def run(
        settings: Mapping[str, Any],
        walks: Sequence[Walk],
        fps: float = 15.0,
        until_s: float | None = None,
        **more: Any,
    ) -> Played:
        end_s = max(walk.path[-1][0] + walk.lost_s for walk in walks) + 0.2 if until_s is None else until_s
        return play_frames(settings, frames_of(walks, fps, end_s), **more)

    return run


@pytest.fixture
def make_tracks() -> Callable[..., Tracks]:
    """Rows of (id, state, x of feet, y of feet, width, height, label, score, age) as tracks."""
    return _tracks


@pytest.fixture
def walk() -> type[Walk]:
    """Scripted objects."""
    return Walk


@dataclass
class GroundTruth:
    """Tracks of PETS09-S2L1: people in a square, 795 frames at 7 a second, 480 × 360 px.

    Args:
        rows: (N, 6): frame, id, left, top, right, bottom.
    """

    rows: np.ndarray
    fps: float = 7.0
    size: tuple[int, int] = (480, 360)

    def frames(self) -> Frames:
        """All frames, every person confirmed."""
        born: dict[float, int] = {}
        for number in range(1, 796):
            now = self.rows[self.rows[:, 0] == number]
            rows = [
                (
                    int(i),
                    TrackState.CONFIRMED,
                    (left + right) / 2,
                    bottom,
                    right - left,
                    bottom - top,
                    0,
                    0.9,
                    (number - born.setdefault(i, number)) / self.fps,
                )
                for _, i, left, top, right, bottom in now.tolist()
            ]
            yield number / self.fps, _tracks(rows)

    def pieces(self) -> list[tuple[int, np.ndarray]]:
        """(id, (M, 6) rows) of every unbroken stretch of frames in which a person is seen."""
        found = []
        for track in np.unique(self.rows[:, 1]).tolist():
            own = self.rows[self.rows[:, 1] == track]
            own = own[np.argsort(own[:, 0])]
            breaks = np.flatnonzero(np.diff(own[:, 0]) > 1) + 1
            found += [(int(track), piece) for piece in np.split(own, breaks)]
        return found

    def play(self, settings: Mapping[str, Any]) -> Played:
        """Put them through rules."""
        return play_frames(settings, self.frames(), size=self.size)


@pytest.fixture(scope="session")
def pets(shared_data: Path) -> GroundTruth:
    """The ground truth of PETS09-S2L1."""
    rows = np.loadtxt(shared_data / "pets09_s2l1" / "gt" / "gt.txt", delimiter=",")[:, :6]
    rows[:, 4:6] += rows[:, 2:4]
    return GroundTruth(rows.astype(np.float32).astype(np.float64))
