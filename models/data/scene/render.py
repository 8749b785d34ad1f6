"""From a scene to frames: shadows, actors and things from far to near, then the camera's noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.records import BoolArray, FloatArray, ImageArray, IntArray
from models.data.scene.backdrop import Backdrop, Place, paint_backdrop
from models.data.scene.camera import Camera
from models.data.scene.light import Light
from models.data.scene.motion import ACTIONS, Pose, Trajectory
from models.data.scene.person import Person
from models.data.scene.props import Prop
from models.data.scene.shapes import Sprite, paint
from models.data.scene.truth import LABELS, FrameTruth
from models.data.scene.vehicle import Vehicle


@dataclass(frozen=True, slots=True)
class Actor:
    """A figure and how it moves.

    Args:
        id: 1, 2, 3 …
        figure: what it looks like.
        trajectory: where it goes.
    """

    id: int
    figure: Person | Vehicle
    trajectory: Trajectory


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a generated video shows.

    Args:
        camera, light, place: how it is seen, lit and built.
        props: things that stand still.
        parked: vehicles that never move; they hide actors like props and are actors in the truth.
        actors: those that move, parked vehicles included.
        seed: of textures and noise.
    """

    camera: Camera
    light: Light
    place: Place
    props: tuple[Prop, ...]
    actors: tuple[Actor, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Shot:
    """One rendered frame.

    Args:
        image: (H, W, 3) uint8 BGR.
        truth: what it shows.
    """

    image: ImageArray
    truth: FrameTruth


class Renderer:
    """Renders the frames of one scene; the still parts are painted once.

    Args:
        scene: what to render.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        rng = np.random.default_rng([scene.seed, 1])
        backdrop = paint_backdrop(scene.camera, scene.light, scene.place, rng)
        self._still, self._props = self._with_props(backdrop)
        self._ground = backdrop.ground
        self._noise = _noise_pool(rng, scene.camera.size, scene.light)
        width, height = scene.camera.size
        self._limit_px = 2 * max(width, height)
        self._rows = np.zeros((height, width), np.uint8)

    def frame(self, time_s: float) -> Shot:
        """The picture and the truth at a scene time.

        The same time gives the same frame, whatever was rendered before.
        """
        scene = self.scene
        present = [
            (actor, pose) for actor in scene.actors if (pose := actor.trajectory.at(time_s)) is not None
        ]
        image = self._still.copy()
        self._cast_shadows(image, present)
        # Things (None) are in the still picture already; one is painted again only over an actor behind it.
        sprites: list[tuple[Sprite, tuple[Actor, Pose] | None]] = [(sprite, None) for sprite in self._props]
        for actor, pose in present:
            pieces = actor.figure.pieces(scene.camera, scene.light, pose)
            depth = float(scene.camera.project(np.array([[pose.x, 0, pose.z]], np.float32))[1][0])
            sprite = paint(pieces, depth, self._limit_px)
            if sprite is not None:
                sprites.append((sprite, (actor, pose)))
        sprites.sort(key=lambda item: -item[0].depth_m)
        owner = self._rows
        owner[:] = 0
        order: list[tuple[Sprite, Actor, Pose]] = []
        touched: list[tuple[int, int, int, int]] = []
        for sprite, shown in sprites:
            place = _overlap(sprite, scene.camera.size)
            if place is None:
                continue
            if shown is not None:
                touched.append(place)
                order.append((sprite, *shown))
                _lay(image, owner, sprite, place, len(order))
            elif any(_meet(place, other) for other in touched):
                _lay(image, owner, sprite, place, 0)
        counts = np.bincount(owner.ravel(), minlength=len(order) + 1)
        truth = self._truth(time_s, order, counts)
        return Shot(self._with_noise(image, time_s), truth)

    def frames(self, duration_s: float, rate_hz: float, start_s: float = 0.0) -> Iterator[Shot]:
        """Frames at a steady rate."""
        for index in range(round(duration_s * rate_hz)):
            yield self.frame(start_s + index / rate_hz)

    def _with_props(self, backdrop: Backdrop) -> tuple[ImageArray, list[Sprite]]:
        """The still picture with all things in it, and the things as sprites."""
        scene = self.scene
        image = backdrop.image.copy()
        if scene.light.shadow > 0:
            mask = np.zeros(image.shape[:2], np.uint8)
            for prop in scene.props:
                _fill(mask, prop.shadow(scene.camera, scene.light))
            _darken(image, mask, backdrop.ground, scene.light.shadow, (0, 0, image.shape[1], image.shape[0]))
        sprites = []
        for prop in scene.props:
            depth = float(scene.camera.project(np.array([[prop.x, 0, prop.z]], np.float32))[1][0])
            sprite = paint(prop.pieces(scene.camera, scene.light), depth, 4 * max(scene.camera.size))
            if sprite is not None and _overlap(sprite, scene.camera.size):
                sprites.append(sprite)
        sprites.sort(key=lambda sprite: -sprite.depth_m)
        unused = np.zeros(image.shape[:2], np.uint8)
        for sprite in sprites:
            place = _overlap(sprite, scene.camera.size)
            if place is not None:
                _lay(image, unused, sprite, place, 0)
                left, top, right, bottom = place
                cut = (slice(top, bottom), slice(left, right))
                alpha = sprite.alpha[
                    top - sprite.top : bottom - sprite.top, left - sprite.left : right - sprite.left
                ]
                backdrop.ground[cut] &= alpha < 128
        return image, sprites

    def _cast_shadows(self, image: ImageArray, present: list[tuple[Actor, Pose]]) -> None:
        """Darken the ground where actors stand in the light."""
        scene = self.scene
        width, height = scene.camera.size
        for actor, pose in present:
            outlines = actor.figure.shadow(scene.camera, scene.light, pose)
            corners = np.concatenate(outlines)
            left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 3, 0)
            right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 4, (width, height))
            if right - left < 2 or bottom - top < 2:
                continue
            mask = np.zeros((bottom - top, right - left), np.uint8)
            offset = np.array([left, top], np.float32)
            _fill(mask, [outline - offset for outline in outlines])
            _darken(image, mask, self._ground, scene.light.shadow, (left, top, right, bottom))

    def _truth(self, time_s: float, order: list[tuple[Sprite, Actor, Pose]], counts: IntArray) -> FrameTruth:
        rows = sorted(range(len(order)), key=lambda row: order[row][1].id)
        poses = [order[row][2] for row in rows]
        boxes, visibility = [], []
        for row in rows:
            sprite = order[row][0]
            solid = sprite.alpha > 127
            x, y, width, height = cv2.boundingRect(solid.astype(np.uint8))
            boxes.append([sprite.left + x, sprite.top + y, sprite.left + x + width, sprite.top + y + height])
            visibility.append(counts[row + 1] / max(int(np.count_nonzero(solid)), 1))
        places = np.array([[pose.x, pose.z] for pose in poses], np.float32).reshape(-1, 2)
        ground = np.stack([places[:, 0], np.zeros(len(places), np.float32), places[:, 1]], axis=1)
        return FrameTruth(
            time_s=time_s,
            ids=np.array([order[row][1].id for row in rows], np.int64),
            labels=np.array([LABELS.index(order[row][1].figure.label) for row in rows], np.int64),
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            visibility=np.minimum(np.array(visibility, np.float32), 1.0),
            actions=np.array([ACTIONS.index(pose.action) for pose in poses], np.int64),
            feet=self.scene.camera.project(ground)[0],
            places=places,
            speeds_m_s=np.array([pose.speed_m_s for pose in poses], np.float32),
        )

    def _with_noise(self, image: ImageArray, time_s: float) -> ImageArray:
        """Sensor noise; grey for infrared."""
        if self.scene.light.infrared:
            gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            image = np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)
        # The place in the pool follows from the time, so that a frame does not depend on those before it.
        rng = np.random.default_rng([self.scene.seed, 2, round(time_s * 1e4)])
        height, width = image.shape[:2]
        top, left = rng.integers(0, _NOISE_MARGIN, 2)
        noise = self._noise[top : top + height, left : left + width]
        if rng.random() < 0.5:
            noise = noise[:, ::-1]
        return np.asarray(cv2.add(image, np.ascontiguousarray(noise), dtype=cv2.CV_8U), np.uint8)


_NOISE_MARGIN = 96


def _noise_pool(rng: np.random.Generator, size: tuple[int, int], light: Light) -> NDArray[np.int16]:
    """(H + margin, W + margin, 3) int16 noise, a little smooth as after a camera's own denoising."""
    shape = (size[1] + _NOISE_MARGIN, size[0] + _NOISE_MARGIN)
    luma: FloatArray = _smooth(rng.normal(0, 1, (*shape, 1)), 0.55)[..., None]
    chroma = _smooth(rng.normal(0, 1, (*shape, 3)), 1.0)
    noise = luma / luma.std() if light.infrared else luma / luma.std() + 0.4 * chroma / chroma.std()
    pool: NDArray[np.int16] = np.round(np.broadcast_to(noise, (*shape, 3)) * light.noise).astype(np.int16)
    return pool


def _smooth(noise: NDArray[np.float64], sigma_px: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(noise.astype(np.float32), (0, 0), sigma_px), np.float32)


def _fill(mask: ImageArray, outlines: list[FloatArray]) -> None:
    """Paint outlines into a mask; a cast outline may be far larger than the picture, which OpenCV clips."""
    for outline in outlines:
        bounded = np.clip(outline, -4000, 4000)
        cv2.fillConvexPoly(mask, np.round(bounded * 16).astype(np.int32), (255,), cv2.LINE_8, 4)


def _darken(
    image: ImageArray, mask: ImageArray, ground: BoolArray, depth: float, place: tuple[int, int, int, int]
) -> None:
    """Darken the ground under a mask with soft edges, in place."""
    left, top, right, bottom = place
    cut = (slice(top, bottom), slice(left, right))
    soft = cv2.GaussianBlur(mask, (5, 5), 0)
    soft[~ground[cut]] = 0
    factor = 255 - soft.astype(np.uint16) * round(depth * 255) // 255
    image[cut] = (image[cut] * factor[..., None] // 255).astype(np.uint8)


def _overlap(sprite: Sprite, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the part that lies in the picture; None when there is none."""
    height, width = sprite.alpha.shape
    left, top = max(sprite.left, 0), max(sprite.top, 0)
    right, bottom = min(sprite.left + width, size[0]), min(sprite.top + height, size[1])
    return (left, top, right, bottom) if right > left and bottom > top else None


def _meet(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _lay(
    image: ImageArray, owner: ImageArray, sprite: Sprite, place: tuple[int, int, int, int], number: int
) -> None:
    """Lay a sprite over the picture and note whose pixels they are now, in place."""
    left, top, right, bottom = place
    inner = (slice(top - sprite.top, bottom - sprite.top), slice(left - sprite.left, right - sprite.left))
    cut = (slice(top, bottom), slice(left, right))
    alpha = sprite.alpha[inner]
    under = image[cut] * (255 - alpha[..., None].astype(np.uint16))
    image[cut] = sprite.colour[inner] + ((under + 127) // 255).astype(np.uint8)
    owner[cut][alpha > 127] = number
