"""The demo: a quiet street from a wall-mounted camera, with a known number of crossings and entries.

The actors are kept apart in the picture, so that a detector without a model (motion) can follow them too.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from agent.records import FloatArray
from models.data.scene.backdrop import Place
from models.data.scene.camera import Camera
from models.data.scene.light import Light
from models.data.scene.motion import Action, Step, Trajectory
from models.data.scene.person import Person, random_person
from models.data.scene.props import Prop
from models.data.scene.render import Actor, Renderer, Scene, Shot
from models.data.scene.truth import crossings, zone_changes
from models.data.scene.vehicle import Vehicle
from models.data.video_file import write_video

SIZE = (640, 360)
RATE_HZ = 15.0
DURATION_S = 14.6
SEED = 11
TRIPWIRE_NAME, ZONE_NAME = "street", "drive"
_WIRE_GROUND = np.array([[10.5, 18.6], [10.5, 8.3]], np.float32)
_ZONE_GROUND = np.array([[2.0, 8.5], [6.5, 8.5]], np.float32)
_ZONE_AT_EDGE = ((0.879, 1.0), (0.437, 1.0))
"""Where the drive's sides leave the picture at its lower edge."""


def demo_scene(seed: int = SEED) -> Scene:
    """A street with a drive: a car, a runner, three people on foot and a van."""
    rng = np.random.default_rng(seed)
    camera = Camera(SIZE, 5.0, math.radians(15.5), math.radians(24), math.radians(64))
    place = Place("street", (8.7, 11.0), (11.0, 18.0), 21.2, drive=(2.0, 6.5))
    light = Light(to_sun=(-0.48, 0.74, -0.47), noise=1.1)

    def walker(height_m: float, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Person:
        return replace(
            random_person(rng), height_m=height_m, girth=1.12, long_coat=False,
            top=np.array(top, np.float32), bottom=np.array(bottom, np.float32),
        )  # fmt: skip

    def route(start: tuple[float, float], when_s: float, *steps: Step) -> Trajectory:
        return Trajectory(start, list(steps), start_s=when_s)

    def walk(x: float, z: float, speed_m_s: float) -> Step:
        return Step(Action.WALK, (x, z), speed_m_s)

    car = Vehicle("hatchback", np.array([42, 40, 165], np.float32))
    van = Vehicle("van", np.array([232, 234, 234], np.float32))
    visitor = walker(1.68, (60, 150, 225), (95, 60, 40))
    runner = walker(1.76, (190, 190, 60), (50, 45, 42))
    neighbour = walker(1.66, (70, 50, 170), (110, 95, 80))
    courier = walker(1.66, (215, 215, 210), (130, 80, 45))
    actors = (
        Actor(1, car, route((-6.0, 12.8), 0.3, Step(Action.DRIVE, (34.0, 12.8), 8.0))),
        Actor(2, visitor, route((12.6, 7.5), 0.3, walk(4.6, 7.3, 1.55), walk(3.2, 4.0, 1.55))),
        Actor(3, runner, route((27.0, 20.2), 0.8, Step(Action.RUN, (-8.0, 20.2), 3.2))),
        Actor(4, neighbour, route((16.4, 9.3), 4.2, walk(4.6, 9.3, 1.5), walk(3.9, 4.0, 1.5))),
        Actor(5, courier, route((-2.6, 9.3), 3.9, walk(3.5, 9.3, 1.45), walk(2.7, 4.0, 1.45))),
        Actor(6, van, route((32.0, 16.2), 7.3, Step(Action.DRIVE, (-12.0, 16.2), 7.5))),
    )
    green = np.array([52, 98, 66], np.float32)
    iron = np.array([62, 60, 58], np.float32)
    props = (
        Prop("tree", 24.5, 20.6, 6.4, green, 5),
        Prop("tree", 1.2, 20.7, 5.2, green * 1.1, 6),
        Prop("lamp", 14.0, 18.6, 5.6, iron),
        Prop("bin", 5.9, 20.9, 1.05, np.array([70, 105, 52], np.float32)),
        Prop("bush", 8.0, 6.0, 0.8, green * 0.9, 7),
    )
    return Scene(camera, light, place, props, actors, seed)


def _fractions(camera: Camera, ground: FloatArray) -> tuple[tuple[float, float], ...]:
    """Picture fractions of ground points x, z, cut at the picture's edge."""
    points = np.stack([ground[:, 0], np.zeros(len(ground), np.float32), ground[:, 1]], axis=1)
    pixels = camera.project(points)[0] / np.array(camera.size, np.float32)
    return tuple((round(float(x), 3), round(float(y), 3)) for x, y in np.clip(pixels, 0.0, 1.0))


def write_demo_clip(folder: Path, seed: int = SEED) -> dict[str, object]:
    """Write `street.mp4` and `street.json` (tripwire, zone and the events that happen).

    Args:
        folder: must exist.
        seed: of clothes, textures and noise; the routes stay.

    Returns:
        What was written to `street.json`.
    """
    scene = demo_scene(seed)
    renderer = Renderer(scene)
    shots: list[Shot] = list(renderer.frames(DURATION_S, RATE_HZ))
    write_video(folder / "street.mp4", (shot.image for shot in shots), SIZE, RATE_HZ, quality=21)
    truths = [shot.truth for shot in shots]
    wire = _fractions(scene.camera, _WIRE_GROUND)
    zone = _fractions(scene.camera, _ZONE_GROUND) + _ZONE_AT_EDGE
    crossed = crossings(truths, SIZE, TRIPWIRE_NAME, (wire[0], wire[1]))
    changed = zone_changes(truths, SIZE, ZONE_NAME, zone)
    events = sorted(crossed + changed, key=lambda event: event.time_s)
    content: dict[str, object] = {
        "video": "street.mp4",
        "made_by": f"edgetrack-models scene demo --seed {seed}",
        "licence": "Apache-2.0",
        "size": list(SIZE),
        "rate_hz": RATE_HZ,
        "frames": len(shots),
        "tripwires": {TRIPWIRE_NAME: {"points": wire}},
        "zones": {ZONE_NAME: {"points": zone}},
        "expected": {
            "crossings": len(crossed),
            "a_to_b": sum(event.direction == "a-to-b" for event in crossed),
            "b_to_a": sum(event.direction == "b-to-a" for event in crossed),
            "entries": sum(event.kind == "enter" for event in changed),
        },
        "events": [{**asdict(event), "time_s": round(event.time_s, 3)} for event in events],
    }
    (folder / "street.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content
