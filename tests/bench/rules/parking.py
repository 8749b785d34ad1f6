"""A generated street where cars park, wait for their drivers and drive off: what is left, what is taken.

The script, in seconds: a red car stands there all the time and nobody comes near it. A blue car comes from
the left and parks at 10; its driver gets out at 12, walks out of the picture, is back beside it at 56 and
drives off at 60. A white van comes from the right and parks at 16; its driver stands beside it from 18 on and
drives off at 66. Passers-by walk past, one of them before the blue car. Pictures are rendered, the shipped
detector looks at them, and what is true follows from the script and the truth of each frame.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from agent.detect.detector import open_detector
from agent.detect.settings import DetectorSettings
from agent.records import Frame, Tracks
from agent.rules.settings import RulesSettings
from models.data.scene.backdrop import Place
from models.data.scene.camera import Camera
from models.data.scene.light import Light
from models.data.scene.motion import Action, Step, Trajectory
from models.data.scene.person import random_person
from models.data.scene.render import Actor, Renderer, Scene
from models.data.scene.truth import LABELS, FrameTruth
from models.data.scene.vehicle import Vehicle
from tests.bench.rules.alert_scenes import ROOT, AlertScene, detected, sight, tracked, tracks_of
from tests.bench.rules.happenings import Happening

SIZE = (480, 270)
FPS = 5.0
DURATION_S = 78.0
RED, BLUE, WHITE, OWNER, WAITER = 1, 2, 3, 4, 5
PARKED = {RED: (0.0, DURATION_S), BLUE: (10.0, 60.0), WHITE: (16.0, 66.0)}
REST_S, ALONE_S, SETTLED_S, ABSENT_S = 10.0, 15.0, 10.0, 3.0
RULES: dict[str, Any] = {
    "rules": [
        {"name": "parked", "kind": "stopped", "min_s": REST_S, "labels": ["car"]},
        {"name": "left-alone", "kind": "abandoned", "min_s": ALONE_S, "labels": ["car"]},
        {"name": "taken", "kind": "removed", "settled_s": SETTLED_S, "absent_s": ABSENT_S, "labels": ["car"]},
    ],
}


def script() -> Scene:
    """The street and who does what in it."""
    rng = np.random.default_rng(21)
    camera = Camera(SIZE, 5.0, math.radians(15.5), math.radians(24), math.radians(64))
    place = Place("street", (8.7, 11.0), (11.0, 18.0), 21.2)
    light = Light(to_sun=(-0.48, 0.74, -0.47), noise=1.1)

    def car(kind: str, *bgr: float) -> Vehicle:
        return Vehicle(kind, np.array(bgr, np.float32))

    def drive(x: float, z: float, speed_m_s: float = 6.0) -> Step:
        return Step(Action.DRIVE, (x, z), speed_m_s)

    def route(start: tuple[float, float], when_s: float, *steps: Step, heading: float = 0.0) -> Trajectory:
        return Trajectory(start, list(steps), start_s=when_s, heading=heading)

    def walk(x: float, z: float, speed_m_s: float = 1.4) -> Step:
        return Step(Action.WALK, (x, z), speed_m_s)

    east = math.pi / 2
    stay = Step(Action.PARK, for_s=DURATION_S + 1)
    paths = [
        (car("hatchback", 40, 35, 150), route((17.0, 12.3), 0.0, stay, heading=east)),
        (
            car("saloon", 160, 80, 40),
            route((-20.0, 12.3), 5.0, drive(10.0, 12.3), Step(Action.PARK, for_s=50.0), drive(46.0, 14.2)),
        ),
        (
            car("van", 232, 234, 234),
            route((34.0, 16.8), 11.0, drive(4.0, 16.8), Step(Action.PARK, for_s=50.0), drive(-36.0, 15.6)),
        ),
        (
            random_person(rng),
            route((9.5, 10.7), 12.0, walk(2.0, 9.6), walk(-8.0, 9.4), walk(-12.0, 9.4, 0.2), walk(9.5, 10.7)),
        ),
        (random_person(rng), route((4.0, 15.3), 18.0, Step(Action.STAND, for_s=47.5))),
        (random_person(rng), route((26.0, 9.6), 22.0, walk(-10.0, 9.6, 1.3))),
        (random_person(rng), route((-8.0, 20.0), 30.0, walk(30.0, 20.0, 1.5))),
    ]
    actors = tuple(Actor(number, figure, path) for number, (figure, path) in enumerate(paths, 1))
    return Scene(camera, light, place, (), actors, 21)


def happens(truths: list[FrameTruth]) -> list[Happening]:
    """What the rules should tell: one loop over the script, and distances from the truth of the frames."""
    true = []
    for car, (from_s, until_s) in PARKED.items():
        true.append(Happening("parked", "stopped", from_s, until_s, car))
        if until_s < DURATION_S:
            true.append(Happening("taken", "removed", until_s, until_s + ABSENT_S, car))
    owners = {RED: None, BLUE: OWNER, WHITE: WAITER}
    for car, owner in owners.items():
        from_s, until_s = PARKED[car]
        alone = [
            truth.time_s
            for truth in truths
            if from_s <= truth.time_s <= until_s and not _together(truth, car, owner)
        ]
        for first_s, last_s in _stretches(alone):
            if last_s - first_s >= ALONE_S:
                true.append(Happening("left-alone", "abandoned", first_s, last_s, car))
    return true


def _together(truth: FrameTruth, car: int, owner: int | None) -> bool:
    """Whether the gap between car and owner is at most the owner's height."""
    places = dict(zip(truth.ids.tolist(), truth.clipped_boxes(SIZE), strict=True))
    if owner not in places or car not in places:
        return False
    ours, theirs = places[car], places[owner]
    gap_x = max(theirs[0] - ours[2], ours[0] - theirs[2], 0.0)
    gap_y = max(theirs[1] - ours[3], ours[1] - theirs[3], 0.0)
    return math.hypot(gap_x, gap_y) <= theirs[3] - theirs[1]


def _stretches(times: list[float]) -> Iterator[tuple[float, float]]:
    """(first, last) of times that follow each other."""
    first = 0
    for row in range(1, len(times) + 1):
        if row == len(times) or times[row] - times[row - 1] > 1.5 / FPS:
            yield times[first], times[row - 1]
            first = row


@cache
def shots() -> tuple[list[Frame], list[FrameTruth]]:
    """Pictures and truth of every frame."""
    frames, truths = [], []
    for number, shot in enumerate(Renderer(script()).frames(DURATION_S, FPS)):
        time_s = number / FPS
        frames.append(Frame(shot.image, time_s, time_s, number))
        truths.append(shot.truth)
    return frames, truths


def _seen(truth: FrameTruth) -> np.ndarray:
    boxes = truth.clipped_boxes(SIZE)
    big = ((boxes[:, 2:] - boxes[:, :2]) > 4).all(axis=1)
    shown: np.ndarray = np.flatnonzero(big & (truth.visibility > 0.3))
    return shown


def parking() -> AlertScene:
    """The scene for the table."""
    frames, truths = shots()
    model = ROOT / "models" / "artefacts" / "street.tflite"
    detector = open_detector(DetectorSettings(model=model, min_score=0.1))
    order = [LABELS.index(label) for label in detector.labels]
    if order != list(range(len(LABELS))):
        raise SystemExit(f"{model}: expected the classes {LABELS}, got {detector.labels}")
    followed: dict[int, list[tuple[float, int]]] = {}
    born: dict[int, float] = {}

    def true_tracks() -> Iterator[tuple[float, Tracks]]:
        for truth in truths:
            rows = _seen(truth)
            ages = np.array([truth.time_s - born.setdefault(int(i), truth.time_s) for i in truth.ids[rows]])
            yield (
                truth.time_s,
                tracks_of(truth.clipped_boxes(SIZE)[rows], truth.ids[rows], truth.labels[rows], ages),
            )

    def annotated() -> Iterator[Any]:
        for truth in truths:
            rows = _seen(truth)
            yield truth.time_s, sight(truth.clipped_boxes(SIZE)[rows], truth.labels[rows])

    def watched(tracks: Iterator[tuple[float, Tracks]]) -> Iterator[tuple[float, Tracks]]:
        followed.clear()
        for (time_s, now), truth in zip(tracks, truths, strict=True):
            for i, box in zip(now.ids.tolist(), now.boxes, strict=True):
                middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
                boxes = truth.clipped_boxes(SIZE)
                holds = ((boxes[:, :2] <= middle) & (middle <= boxes[:, 2:])).all(axis=1)
                followed.setdefault(i, []).extend((time_s, int(who)) for who in truth.ids[holds])
            yield time_s, now

    def same(found: Happening, true: Happening) -> bool:
        until_s = found.begin_s if found.end_s is None else found.end_s
        return any(
            who == true.who and found.begin_s - 15.0 <= time_s <= until_s + 2.0
            for time_s, who in followed.get(found.who or 0, [])
        )

    pictures = detected(itertools.chain(frames), detector)
    sources = {
        "true tracks": watched(true_tracks()),
        "annotated boxes": watched(tracked(annotated(), SIZE)),
        "street.tflite": watched(tracked(pictures, SIZE, detector.score_levels)),
    }
    rules = RulesSettings.model_validate(RULES)
    return AlertScene("parking", rules, LABELS, SIZE, happens(truths), sources, same)
