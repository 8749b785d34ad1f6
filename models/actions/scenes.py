"""Scenes in which all actions are about equally frequent, and where their actors are, without rendering."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from agent.records import FloatArray, IntArray
from models.data.scene.backdrop import Place
from models.data.scene.camera import Camera
from models.data.scene.compose import SceneOptions, random_route, random_scene
from models.data.scene.motion import ACTIONS, Pose
from models.data.scene.person import Person
from models.data.scene.render import Actor, Scene
from models.data.scene.truth import LABELS
from models.data.scene.vehicle import Vehicle

_BEHAVIOURS = ("pass", "run", "run", "stand", "pause", "loiter", "fall", "fall")
"""Who runs is soon out of the picture, and who falls walks before."""
_BODY_RADIUS = 0.04
_HEAD_RADIUS = 0.054
"""Thickness of limbs round their joints, as parts of the body's height times its girth."""
OPTIONS = SceneOptions(size=(640, 360), duration_s=14.0, people=(2, 6), vehicles=(0, 3))


def action_scene(seed: int, options: SceneOptions = OPTIONS) -> Scene:
    """A random scene whose people do everything about equally often."""
    scene = random_scene(seed, options)
    rng = np.random.default_rng([seed, 3])
    limits = _limits(scene.place, scene.camera)

    def changed(actor: Actor) -> Actor:
        pose = actor.trajectory.at(float(rng.uniform(0.3, 0.7)) * options.duration_s)
        if not isinstance(actor.figure, Person) or pose is None:
            return actor
        here, behaviour = np.array([pose.x, pose.z], np.float32), str(rng.choice(_BEHAVIOURS))
        return replace(actor, trajectory=random_route(rng, here, limits, options.duration_s, behaviour))

    return replace(scene, actors=tuple(map(changed, scene.actors)))


def _limits(place: Place, camera: Camera) -> FloatArray:
    """(2, 2) least and largest x, z that a person may stand on."""
    limits = np.array([[-60.0, camera.height_m * 0.55 + 1.2], [60.0, place.wall - 0.5]], np.float32)
    if place.side_walls[1]:
        limits[:, 0] = place.side_walls[0] + 0.5, place.side_walls[1] - 0.5
    return limits


@dataclass(frozen=True, slots=True, eq=False)
class SceneBoxes:
    """Where the actors of a scene are, at steady moments.

    Args:
        size: (width, height) px.
        times_s: (T,).
        boxes: (T, A, 4) float32 xyxy px, also where they are hidden or out of the picture; NaN where absent.
        depths_m: (T, A) float32, from the camera; NaN where absent.
        actions: (T, A) int64, index into `models.data.scene.motion.ACTIONS`; -1 where absent.
        labels: (A,) int64, index into `models.data.scene.truth.LABELS`.
    """

    size: tuple[int, int]
    times_s: FloatArray
    boxes: FloatArray
    depths_m: FloatArray
    actions: IntArray
    labels: IntArray


def scene_boxes(scene: Scene, duration_s: float, rate_hz: float = 8.0) -> SceneBoxes:
    """Boxes from the projected bodies: within a few px of those of the rendered figures, at a tenth of the
    time.
    """
    times = np.arange(round(duration_s * rate_hz)) / rate_hz
    shape = len(times), len(scene.actors)
    boxes = np.full((*shape, 4), np.nan, np.float32)
    depths = np.full(shape, np.nan, np.float32)
    actions = np.full(shape, -1, np.int64)
    for column, actor in enumerate(scene.actors):
        for row, time_s in enumerate(times.tolist()):
            pose = actor.trajectory.at(time_s)
            if pose is None:
                continue
            boxes[row, column], depths[row, column] = _box(scene, actor, pose)
            actions[row, column] = ACTIONS.index(pose.action)
    labels = np.array([LABELS.index(actor.figure.label) for actor in scene.actors], np.int64)
    return SceneBoxes(scene.camera.size, times.astype(np.float32), boxes, depths, actions, labels)


def _box(scene: Scene, actor: Actor, pose: Pose) -> tuple[FloatArray, float]:
    """(4,) xyxy in px, and how far away."""
    camera, figure = scene.camera, actor.figure
    depth = float(camera.project(np.array([[pose.x, 0, pose.z]], np.float32))[1][0])
    if isinstance(figure, Vehicle):
        pixels, _ = camera.project(_corners(figure, pose))
        return np.concatenate((pixels.min(axis=0), pixels.max(axis=0))), depth
    joints = figure.joints(pose)
    pixels, depths = camera.project(np.stack(list(joints.values())))
    radii = [_HEAD_RADIUS if name in ("crown", "head") else _BODY_RADIUS for name in joints]
    reach = np.array(radii) * figure.height_m * figure.girth * camera.focal_px / depths
    reach = np.minimum(reach, 0.2 * (pixels[:, 1].max() - pixels[:, 1].min() + 1))[:, None]
    return np.concatenate(((pixels - reach).min(axis=0), (pixels + reach).max(axis=0))), depth


def _corners(vehicle: Vehicle, pose: Pose) -> FloatArray:
    """(8, 3) of the box round a vehicle, in metres."""
    length, width, height = vehicle.size_m
    sin, cos = math.sin(pose.heading), math.cos(pose.heading)
    signs = np.array([[x, z] for x in (-0.5, 0.5) for z in (-0.5, 0.5)]) * (width, length)
    ground = np.array([pose.x, pose.z]) + signs @ np.array([[cos, -sin], [sin, cos]])
    high = np.repeat([0.0, height], 4)
    corners: FloatArray = np.stack((np.tile(ground[:, 0], 2), high, np.tile(ground[:, 1], 2)), axis=1)
    return corners.astype(np.float32)
