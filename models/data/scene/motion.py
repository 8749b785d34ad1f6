"""How an actor moves: a route of steps, turned into a smooth trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from agent.records import FloatArray, IntArray


class Action(StrEnum):
    """What an actor does."""

    STAND = "stand"
    WALK = "walk"
    RUN = "run"
    LOITER = "loiter"
    FALL = "fall"
    DRIVE = "drive"
    PARK = "park"


ACTIONS = tuple(Action)
"""All of them; truth arrays hold positions in this tuple."""


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a route.

    Args:
        action: what the actor does meanwhile.
        to: x, z in metres to move to; None to stay.
        speed_m_s: while moving.
        for_s: how long to stay.
    """

    action: Action
    to: tuple[float, float] | None = None
    speed_m_s: float = 1.3
    for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pose:
    """Where an actor is at one moment.

    Args:
        x, z: metres on the ground.
        heading: radians; 0 looks along z, π/2 along x.
        speed_m_s: on the ground.
        distance_m: travelled so far; drives gait and wheels.
        action: what it does.
        action_s: seconds since it began to do so.
    """

    x: float
    z: float
    heading: float
    speed_m_s: float
    distance_m: float
    action: Action
    action_s: float


_SAMPLE_S = 0.02
_TURN_S = 0.24
_MIN_SPEED_M_S = 0.08


class Trajectory:
    """Positions over time along a route; corners and changes of speed are smoothed over half a second.

    Args:
        start: x, z in metres.
        steps: at least one.
        start_s: scene time at which the route begins.
        heading: where the actor looks until it moves, radians.
    """

    def __init__(
        self, start: tuple[float, float], steps: list[Step], *, start_s: float = 0.0, heading: float = 0.0
    ) -> None:
        times, places = [0.0], [start]
        marks: list[tuple[float, Action]] = []
        for step in steps:
            marks.append((times[-1], step.action))
            end = step.to or places[-1]
            length = float(np.hypot(end[0] - places[-1][0], end[1] - places[-1][1]))
            duration = length / step.speed_m_s if step.to else step.for_s
            if duration <= 0:
                raise ValueError(f"step {step}: expected a duration above 0, got {duration}")
            times.append(times[-1] + duration)
            places.append(end)
        self.start_s = start_s
        self.end_s = start_s + times[-1]
        self._times: FloatArray = np.arange(0.0, times[-1] + _SAMPLE_S, _SAMPLE_S)
        corners = np.array(places)
        reach = int(_TURN_S / _SAMPLE_S)
        kernel = np.hanning(2 * reach + 3)[1:-1]
        kernel /= kernel.sum()
        self._x, self._z = (
            np.convolve(
                np.pad(np.interp(self._times, times, corners[:, axis]), reach, "edge"), kernel, "valid"
            )
            for axis in (0, 1)
        )
        steps_x, steps_z = np.diff(self._x, prepend=self._x[0]), np.diff(self._z, prepend=self._z[0])
        lengths = np.hypot(steps_x, steps_z)
        self._distance = np.cumsum(lengths)
        self._speed = np.convolve(lengths / _SAMPLE_S, kernel, "same")
        self._heading = _headings(steps_x, steps_z, lengths, heading, kernel)
        self._mark_times = np.array([time for time, _ in marks])
        self._actions: IntArray = np.array([ACTIONS.index(action) for _, action in marks], np.int64)

    def at(self, time_s: float) -> Pose | None:
        """The pose at a scene time; None before the route begins and after it ends."""
        if not self.start_s <= time_s < self.end_s:
            return None
        local = time_s - self.start_s
        index = int(np.searchsorted(self._mark_times, local, side="right")) - 1
        action = ACTIONS[self._actions[index]]
        first = index
        while first > 0 and self._actions[first - 1] == self._actions[index]:
            first -= 1

        def value(samples: FloatArray) -> float:
            return float(np.interp(local, self._times, samples))

        return Pose(
            x=value(self._x),
            z=value(self._z),
            heading=value(self._heading),
            speed_m_s=value(self._speed),
            distance_m=value(self._distance),
            action=action,
            action_s=local - float(self._mark_times[first]),
        )


def _headings(
    steps_x: FloatArray, steps_z: FloatArray, lengths: FloatArray, first: float, kernel: FloatArray
) -> FloatArray:
    """Direction of travel at every sample; kept while the actor stands, turned smoothly."""
    moving = lengths / _SAMPLE_S > _MIN_SPEED_M_S
    if not moving.any():
        return np.full(len(lengths), first)
    raw = np.arctan2(steps_x, steps_z)
    latest = np.maximum.accumulate(np.where(moving, np.arange(len(raw)), 0))
    if not moving[0]:
        latest[latest == 0] = int(np.argmax(moving))
    unwrapped = np.unwrap(raw[latest])
    reach = len(kernel) // 2
    smooth: FloatArray = np.convolve(np.pad(unwrapped, reach, "edge"), kernel, "valid")
    return smooth
