from __future__ import annotations

import numpy as np

from models.data.scene.truth import FrameTruth, crossings, zone_changes

SIZE = (100, 100)


def _walk(places: list[tuple[float, float] | None]) -> list[FrameTruth]:
    """One person of 10×20 px whose feet are at each place (px); None where it is absent."""
    frames = []
    for index, place in enumerate(places):
        count = int(place is not None)
        x, y = place or (0.0, 0.0)
        number, whole = np.zeros(count, np.float32), np.zeros(count, np.int64)
        box = np.array([[x - 5, y - 20, x + 5, y]], np.float32)[:count]
        pair = np.zeros((count, 2), np.float32)
        frames.append(FrameTruth(index / 10, whole + 7, whole, box, number + 1, whole, pair, pair, number))
    return frames


def test_crossing_from_the_left_hand_to_the_right_is_a_to_b() -> None:
    """A wire drawn from left to right has A above it; who walks down the screen crosses from A to B."""
    frames = _walk([(50, 30 + 5 * step) for step in range(9)])
    events = crossings(frames, SIZE, "gate", ((0.1, 0.52), (0.9, 0.52)))
    assert [(event.actor, event.direction) for event in events] == [(7, "a-to-b")]
    assert events[0].time_s == 0.5
    back = crossings(frames, SIZE, "gate", ((0.9, 0.52), (0.1, 0.52)))
    assert [event.direction for event in back] == ["b-to-a"]


def test_passing_beside_the_wire_is_no_crossing() -> None:
    frames = _walk([(95, 30 + 5 * step) for step in range(9)])
    assert crossings(frames, SIZE, "gate", ((0.1, 0.52), (0.9, 0.52))) == []


def test_zone_is_left_by_leaving_the_picture() -> None:
    zone = ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))
    events = zone_changes(_walk([(50, 30), (50, 60), (50, 80), None]), SIZE, "yard", zone)
    assert [(event.kind, event.time_s) for event in events] == [("enter", 0.1), ("leave", 0.3)]
