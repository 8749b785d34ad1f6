"""Which alerts of a device did not come, by their numbers."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.client_events import SequenceGap

GRACE_S = 10.0
"""More than a device waits before it sends an alert again (`broker.redeliver_after_s`)."""
_MAX_TOLD = 1_000
_MAX_HOLES = 100_000


@dataclass(slots=True)
class _Hole:
    """Numbers first to last, both included, that did not come."""

    first: int
    last: int
    seen_s: float
    told: bool = False
    """Whether a gap told of it; the oldest of these are given up first."""


@dataclass(slots=True)
class _Lane:
    """The alerts of one camera: they come in order."""

    last: int
    arrived_s: float


@dataclass(slots=True)
class _Device:
    highest: int
    holes: list[_Hole] = field(default_factory=list)
    """In order."""
    lanes: dict[str, _Lane] = field(default_factory=dict)
    """By camera."""


class SequenceCheck:
    """Finds gaps in the numbers of each device.

    The numbers count a device's alerts, and order holds for each of its cameras: with `broker.acknowledge:
    receiver`, or where the broker refuses some, cameras overtake each other. So a number that was passed over
    counts as missing until it comes, and is told of only after a grace, which begins anew whenever an alert
    comes of a camera that may yet bring it.

    Args:
        grace_s: how long.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._devices: dict[str, _Device] = {}
        self._lost: list[SequenceGap] = []
        self._look_s = 0.0
        self.missing = 0
        """Numbers that were passed over and have not come, told or not."""

    def see(self, device: str, camera: str, sequence: int, time_s: float) -> None:
        """Take the number of a new alert.

        The first alert of a device sets the beginning: smaller numbers of other cameras are no losses. A
        number that is not above the last one of the same camera, and was not missing, means that the device
        lost its outbox and counts anew.

        Args:
            device, camera: whose.
            sequence: its number.
            time_s: monotonic, of the same clock as in `due`.
        """
        known = self._devices.get(device)
        if known is None:
            known = self._devices[device] = _Device(sequence)
        elif not self._fill(known, sequence):
            lane = known.lanes.get(camera)
            if lane is not None and sequence <= lane.last:
                self._give_up(device, known.holes)
                known = self._devices[device] = _Device(sequence)
            elif sequence > known.highest:
                self._pass_over(device, known, sequence, time_s)
        before = known.lanes.get(camera)
        known.lanes[camera] = _Lane(max(sequence, before.last) if before else sequence, time_s)

    def due(self, time_s: float) -> list[SequenceGap]:
        """Gaps that are to be told now, each once."""
        due, self._lost = self._lost, []
        for name, device in self._devices.items():
            for hole, since_s in _hoped_for(device):
                if not hole.told and time_s >= since_s + self._grace_s:
                    hole.told = True
                    due.append(SequenceGap(name, hole.first, hole.last))
            _forget_told(device)
        return due

    def due_by_now(self, time_s: float) -> list[SequenceGap]:
        """As `due`, for one who asks in a loop: it looks once a second, or ten times within a short grace,
        since it goes through all that is missing."""
        if time_s < self._look_s:
            return []
        self._look_s = time_s + min(1.0, self._grace_s / 10)
        return self.due(time_s)

    def _pass_over(self, name: str, device: _Device, sequence: int, time_s: float) -> None:
        """Go on to a number that may leave some out."""
        if sequence > device.highest + 1:
            device.holes.append(_Hole(device.highest + 1, sequence - 1, time_s))
            self.missing += sequence - 1 - device.highest
        device.highest = sequence
        if len(device.holes) > _MAX_HOLES:
            self._give_up(name, device.holes[:1])
            del device.holes[0]

    def _fill(self, device: _Device, sequence: int) -> bool:
        """Take a number that was missing; False if it was not."""
        place = bisect_right(device.holes, sequence, key=lambda hole: hole.first) - 1
        if place < 0 or device.holes[place].last < sequence:
            return False
        hole = device.holes[place]
        sides = ((hole.first, sequence - 1), (sequence + 1, hole.last))
        device.holes[place : place + 1] = [
            _Hole(first, last, hole.seen_s, hole.told) for first, last in sides if first <= last
        ]
        self.missing -= 1
        return True

    def _give_up(self, name: str, holes: list[_Hole]) -> None:
        """Numbers that will not be known again when they come."""
        self._lost += [SequenceGap(name, hole.first, hole.last) for hole in holes if not hole.told]


def _hoped_for(device: _Device) -> Iterator[tuple[_Hole, float]]:
    """Each hole, and when a camera that may yet bring numbers of it last brought an alert."""
    lanes = deque(sorted(device.lanes.values(), key=lambda lane: lane.last))
    arrived_s = -math.inf
    for hole in device.holes:
        while lanes and lanes[0].last < hole.last:
            arrived_s = max(arrived_s, lanes.popleft().arrived_s)
        yield hole, max(hole.seen_s, arrived_s)


def _forget_told(device: _Device) -> None:
    """Keep the newest of the holes that were told, and all others: their numbers may come."""
    given_up = [hole.last for hole in device.holes if hole.told][:-_MAX_TOLD]
    if given_up:
        device.holes = [hole for hole in device.holes if not hole.told or hole.last > given_up[-1]]
