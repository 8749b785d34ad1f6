"""Scenes drawn at random: another street, yard or room for every seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from agent.records import FloatArray
from models.data.scene import light as light_of
from models.data.scene.backdrop import Place, PlaceKind
from models.data.scene.camera import Camera
from models.data.scene.motion import Action, Step, Trajectory
from models.data.scene.person import Person, random_person
from models.data.scene.props import Prop, PropKind, random_prop
from models.data.scene.render import Actor, Scene
from models.data.scene.vehicle import Vehicle, random_vehicle

_MARGIN_M = 0.5


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """What random scenes are made of.

    Args:
        size: (width, height) px.
        duration_s: routes fill this time.
        places: kinds to choose from.
        night_part: 0..1, part of the scenes that are dark.
        people: (least, most) in a scene.
        vehicles: (least, most) in a street; fewer elsewhere.
    """

    size: tuple[int, int] = (320, 192)
    duration_s: float = 12.0
    places: tuple[PlaceKind, ...] = ("street", "street", "yard", "indoor")
    night_part: float = 0.25
    people: tuple[int, int] = (0, 7)
    vehicles: tuple[int, int] = (0, 4)


def random_scene(seed: int, options: SceneOptions | None = None) -> Scene:
    """A scene that follows from its seed."""
    options = options or SceneOptions()
    rng = np.random.default_rng([seed, 0])
    kind = options.places[int(rng.integers(len(options.places)))]
    camera = _camera(rng, kind, options.size)
    place = _place(rng, kind, camera)
    if rng.random() >= options.night_part:
        light = light_of.daylight(rng)
    else:
        lamps = tuple(
            (float(x), place.road[0] - 0.5)
            for x in np.arange(-40, 41, rng.uniform(9, 16)) + rng.uniform(0, 9)
        )
        light = light_of.night(rng, lamps if kind == "street" else ())
    if kind == "indoor":
        level = float(rng.uniform(0.55, 0.95))
        light = replace(light, ambient=(level,) * 3, direct=(level * 0.25,) * 3, shadow=0.15)
    props = _props(rng, place, camera)
    figures: list[tuple[Person | Vehicle, Trajectory]] = []
    _add_vehicles(rng, place, camera, options, figures)
    _add_people(rng, place, camera, options, figures)
    actors = tuple(Actor(number, figure, path) for number, (figure, path) in enumerate(figures, 1))
    return Scene(camera, light, place, props, actors, seed)


def _camera(rng: np.random.Generator, kind: PlaceKind, size: tuple[int, int]) -> Camera:
    height = float(rng.uniform(2.1, 2.8) if kind == "indoor" else rng.uniform(2.2, 6.5))
    field_of_view = math.radians(float(rng.uniform(48, 92)))
    # Steeper where the camera hangs higher, so that the ground fills most of the picture.
    pitch = math.radians(float(rng.uniform(6, 16)) + 2.2 * height)
    yaw = math.radians(float(rng.uniform(-38, 38)))
    return Camera(size, height, pitch, yaw * (0.5 if kind == "indoor" else 1.0), field_of_view)


def _place(rng: np.random.Generator, kind: PlaceKind, camera: Camera) -> Place:
    near = camera.height_m * float(rng.uniform(0.5, 1.3))
    if kind == "indoor":
        wall = float(rng.uniform(5.5, 11))
        return Place(
            kind, (0.0, wall), (0.0, 0.0), wall, (-float(rng.uniform(2.5, 6)), float(rng.uniform(2.5, 6)))
        )
    left = float(rng.uniform(-4, 8))
    drive = (left, left + float(rng.uniform(3, 5))) if rng.random() < 0.5 else (0.0, 0.0)
    if kind == "yard":
        path = near + float(rng.uniform(0, 5))
        return Place(
            kind,
            (path, path + float(rng.uniform(1.2, 3))),
            (0.0, 0.0),
            path + float(rng.uniform(5, 14)),
            drive=drive,
        )
    kerb = near + float(rng.uniform(1.5, 5))
    across = kerb + float(rng.uniform(5.5, 8))
    return Place(kind, (near, kerb), (kerb, across), across + float(rng.uniform(2, 5)), drive=drive)


def _visible(rng: np.random.Generator, camera: Camera, z_range: tuple[float, float]) -> tuple[float, float]:
    """A ground point between two depths that lies in the picture, if there is one."""
    x, z = 0.0, z_range[1]
    for _ in range(20):
        z = float(rng.uniform(*z_range))
        reach = z * math.tan(camera.field_of_view / 2 + abs(camera.yaw))
        x = float(rng.uniform(-reach, reach))
        pixel = camera.project(np.array([[x, 0.0, z]], np.float32))[0][0]
        if -0.05 < pixel[0] / camera.size[0] < 1.05 and pixel[1] / camera.size[1] < 1.15:
            break
    return x, z


def _props(rng: np.random.Generator, place: Place, camera: Camera) -> tuple[Prop, ...]:
    kinds: tuple[PropKind, ...] = {
        "street": ("tree", "lamp", "bin", "bollard", "bush", "planter"),
        "yard": ("tree", "bush", "box", "bin", "planter"),
        "indoor": ("table", "box", "planter", "pillar"),
    }[place.kind]  # type: ignore[assignment]
    props = []
    for _ in range(int(rng.integers(0, 7 if place.kind != "indoor" else 4))):
        kind = kinds[int(rng.integers(len(kinds)))]
        x, z = _visible(rng, camera, (camera.height_m * 1.1 + 1.0, place.wall - 0.4))
        if place.road[0] - 0.2 < z < place.road[1] + 0.2:
            z = place.road[0] - 0.5 if rng.random() < 0.4 else min(place.road[1] + 0.5, place.wall - 0.3)
        if place.side_walls[1]:
            x = float(np.clip(x, place.side_walls[0] + 0.5, place.side_walls[1] - 0.5))
        # A tree right before the camera would hide the whole scene.
        if kind in ("tree", "lamp", "pillar") and z < camera.height_m * 1.6:
            continue
        props.append(random_prop(rng, kind, x, z))
    return tuple(props)


def _add_vehicles(
    rng: np.random.Generator, place: Place, camera: Camera, options: SceneOptions,
    figures: list[tuple[Person | Vehicle, Trajectory]],
) -> None:  # fmt: skip
    """Cars on the road, at the kerb and on the drive."""
    duration = options.duration_s
    if place.kind == "street":
        for _ in range(int(rng.integers(options.vehicles[0], options.vehicles[1] + 1))):
            vehicle = random_vehicle(rng)
            start, end = place.road
            if rng.random() < 0.4:
                near = rng.random() < 0.5
                z = start + 1.1 if near else end - 1.1
                x, _ = _visible(rng, camera, (z, z))
                heading = (1 if near else -1) * math.pi / 2 + float(rng.normal(0, 0.03))
                path = Trajectory((x, z), [Step(Action.PARK, for_s=duration)], heading=heading)
            else:
                sign = 1.0 if rng.random() < 0.5 else -1.0
                z = (start * 0.72 + end * 0.28) if sign > 0 else (start * 0.28 + end * 0.72)
                z += float(rng.normal(0, 0.2))
                speed = float(rng.uniform(3, 13))
                x, _ = _visible(rng, camera, (z, z))
                when = float(rng.uniform(0, duration))
                path = Trajectory(
                    (x - sign * speed * when, z),
                    [Step(Action.DRIVE, (x + sign * speed * (duration - when + 0.1), z), speed)],
                )
            figures.append((vehicle, path))
    if place.drive[1] and rng.random() < 0.5:
        z = float(
            rng.uniform(camera.height_m * 1.2 + 2, max(camera.height_m * 1.2 + 3, place.near_pavement[0]))
        )
        x = (place.drive[0] + place.drive[1]) / 2
        heading = float(rng.choice([0.0, math.pi])) + float(rng.normal(0, 0.08))
        figures.append(
            (random_vehicle(rng), Trajectory((x, z), [Step(Action.PARK, for_s=duration)], heading=heading))
        )


def _add_people(
    rng: np.random.Generator, place: Place, camera: Camera, options: SceneOptions,
    figures: list[tuple[Person | Vehicle, Trajectory]],
) -> None:  # fmt: skip
    """People who pass, run, stand, loiter or fall; some in company."""
    limits = np.array([[-60.0, camera.height_m * 0.55 + 1.2], [60.0, place.wall - _MARGIN_M]])
    if place.side_walls[1]:
        limits[:, 0] = place.side_walls[0] + _MARGIN_M, place.side_walls[1] - _MARGIN_M
    for _ in range(int(rng.integers(options.people[0], options.people[1] + 1))):
        x, z = _visible(rng, camera, (float(limits[0, 1]), float(limits[1, 1])))
        # People cross roads less often than they walk beside them.
        if place.road[0] < z < place.road[1] and rng.random() < 0.6:
            z = (
                float(rng.uniform(place.road[1], limits[1, 1]))
                if rng.random() < 0.5
                else float(rng.uniform(limits[0, 1], max(place.road[0], limits[0, 1])))
            )
        here = np.clip([x, z], limits[0], limits[1])
        path = random_route(rng, here, limits, options.duration_s)
        figures.append((random_person(rng), path))
        if rng.random() < 0.2:
            beside = np.clip(here + rng.normal(0, 0.6, 2), limits[0], limits[1])
            figures.append((random_person(rng), random_route(rng, beside, limits, options.duration_s)))


def random_route(
    rng: np.random.Generator, here: FloatArray, limits: FloatArray, duration_s: float, behaviour: str = ""
) -> Trajectory:
    """A route that leads through a place.

    Args:
        here: (2,) x, z in metres.
        limits: (2, 2) least and largest x, z that a person may stand on.
        duration_s: length of the route.
        behaviour: "pass", "run", "stand", "pause", "loiter" or "fall"; drawn when empty.
    """
    behaviour = behaviour or str(
        rng.choice(["pass", "run", "stand", "pause", "loiter", "fall"], p=[0.42, 0.12, 0.14, 0.14, 0.1, 0.08])
    )
    heading = float(rng.uniform(-math.pi, math.pi))
    direction = (
        math.copysign(math.pi / 2, heading) + float(rng.normal(0, 0.35)) if rng.random() < 0.6 else heading
    )
    ahead = np.array([math.sin(direction), math.cos(direction)])

    def point(where: FloatArray) -> tuple[float, float]:
        bounded = np.clip(where, limits[0], limits[1])
        return float(bounded[0]), float(bounded[1])

    if behaviour == "stand":
        return Trajectory(point(here), [Step(Action.STAND, for_s=duration_s)], heading=heading)
    if behaviour == "loiter":
        steps: list[Step] = []
        left, now = duration_s, point(here)
        while left > 0:
            wait = float(rng.uniform(0.6, 2.5))
            target = point(here + rng.normal(0, 0.9, 2))
            length = math.dist(now, target)
            steps.append(Step(Action.LOITER, for_s=wait))
            left -= wait
            if length > 0.2:
                speed = float(rng.uniform(0.5, 0.9))
                steps.append(Step(Action.LOITER, target, speed))
                left -= length / speed
                now = target
        return Trajectory(point(here), steps, heading=heading)
    running = behaviour == "run" or (behaviour == "fall" and rng.random() < 0.3)
    speed = float(rng.uniform(2.6, 4.2) if running else rng.uniform(0.8, 1.8))
    action = Action.RUN if running else Action.WALK
    when = float(rng.uniform(0.15, 0.85)) * duration_s
    start = point(here - ahead * speed * when)
    steps = []
    if math.dist(start, here) > 0.3:
        steps.append(Step(action, point(here), speed))
    used = math.dist(start, here) / speed
    if behaviour == "pause":
        wait = float(rng.uniform(1.0, 4.0))
        steps.append(Step(Action.STAND, for_s=wait))
        used += wait
    if behaviour == "fall":
        slide = point(here + ahead * speed * 0.25)
        if math.dist(slide, here) > 0.1:
            steps.append(Step(Action.FALL, slide, speed * 0.6))
        steps.append(Step(Action.FALL, for_s=max(duration_s - used, 1.0)))
        return Trajectory(start, steps, heading=heading)
    rest = max(duration_s - used, 0.5)
    goal = point(here + ahead * speed * rest)
    if math.dist(goal, here) > 0.3:
        steps.append(Step(action, goal, speed))
        rest -= math.dist(goal, here) / speed
    if rest > 0.05:
        steps.append(Step(Action.STAND, for_s=rest))
    return Trajectory(start, steps, heading=heading)
