"""The still picture behind the actors: a street, a yard or a room, cast ray by ray.

Every surface is a plane: the ground, fronts of houses, walls. Its colour is a function of metres on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from agent.records import BoolArray, FloatArray, ImageArray
from models.data.scene import texture
from models.data.scene.camera import Camera
from models.data.scene.houses import house_fronts, lit_windows
from models.data.scene.light import Light
from models.data.scene.texture import Noise, between, lines, mix

PlaceKind = Literal["street", "yard", "indoor"]
_PER_PX = 2


@dataclass(frozen=True, slots=True)
class Place:
    """What stands where; all in metres from the camera along z unless the name says otherwise.

    Args:
        kind: of place.
        near_pavement: (start, end) of the paving before the road; a yard's path; a room's whole floor.
        road: (start, end); (0, 0) where there is none.
        wall: z of the house fronts, the fence or the back wall.
        side_walls: x of the room's left and right wall; (0, 0) where there are none.
        drive: (left, right) x of a paved drive from the near edge to the road; (0, 0) where there is none.
    """

    kind: PlaceKind
    near_pavement: tuple[float, float]
    road: tuple[float, float]
    wall: float
    side_walls: tuple[float, float] = (0.0, 0.0)
    drive: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Backdrop:
    """The painted place.

    Args:
        image: (H, W, 3) uint8 BGR, light included.
        ground: (H, W) bool, where shadows can fall.
    """

    image: ImageArray
    ground: BoolArray


def paint_backdrop(camera: Camera, light: Light, place: Place, rng: np.random.Generator) -> Backdrop:
    """Cast the place's surfaces into the picture."""
    rays = camera.rays(_PER_PX)
    noise = Noise(rng)
    down = np.minimum(rays[..., 1], -1e-6)
    to_ground = np.where(rays[..., 1] < -1e-4, -camera.height_m / down, np.inf).astype(np.float32)
    to_wall = np.where(rays[..., 2] > 1e-4, place.wall / np.maximum(rays[..., 2], 1e-4), np.inf)
    is_ground = to_ground <= to_wall
    reach = np.where(is_ground, to_ground, 0).astype(np.float32)
    x, z = rays[..., 0] * reach, rays[..., 2] * reach
    blur = reach / camera.focal_px * np.where(is_ground, np.clip(reach / camera.height_m, 1, 20), 1)
    picture = _sky(noise, rays, light)
    picture[is_ground] = _ground(noise, place, light, rng, x, z, blur)[is_ground]
    reach = np.where(np.isfinite(to_wall), np.minimum(to_wall, 400.0), 400.0).astype(np.float32)
    wall_x, wall_y = rays[..., 0] * reach, camera.height_m + rays[..., 1] * reach
    front, solid = _wall(noise, place, light, rng, wall_x, wall_y, reach / camera.focal_px)
    solid &= ~is_ground & np.isfinite(to_wall)
    picture[solid] = front[solid]
    ground = is_ground
    if place.kind == "indoor":
        picture, ground = _side_walls(noise, place, light, camera, rays, picture, is_ground)
    size = camera.size
    image = cv2.resize(np.clip(picture, 0, 255).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    part = cv2.resize(ground.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    return Backdrop(np.clip(image + 0.5, 0, 255).astype(np.uint8), part > 127)


def _sky(noise: Noise, rays: FloatArray, light: Light) -> FloatArray:
    """(H, W, 3) clouds over a gradient; black to orange at night."""
    rise = np.clip(rays[..., 1] / np.maximum(np.abs(rays[..., 2]), 0.2), 0, 1.2)
    far = 1.0 / (rise + 0.12)
    clouds = np.clip(noise(rays[..., 0] * far * 3, far * 3, 1.6, 4) * 1.6 + 0.3, 0, 1)
    if light.infrared:
        return np.full((*rays.shape[:2], 3), 12, np.float32)
    if light.is_night:
        return mix(
            np.full((*rays.shape[:2], 3), (38, 26, 20), np.float32), (50, 48, 52), clouds * (1 - rise / 1.3)
        )
    blue = np.broadcast_to(np.array([222, 190, 150], np.float32), (*rays.shape[:2], 3))
    sky = mix(blue, (238, 228, 218), np.exp(-rise * 3.5))
    return mix(sky, (245, 243, 240), clouds * 0.8) * min(
        1.1, sum(light.ambient) / 3 + 0.62 * sum(light.direct) / 3 + 0.12
    )


def _ground(
    noise: Noise,
    place: Place,
    light: Light,
    rng: np.random.Generator,
    x: FloatArray,
    z: FloatArray,
    blur: FloatArray,
) -> FloatArray:
    """(H, W, 3) the ground, lit."""
    tone = float(rng.uniform(135, 175))
    slab = float(rng.choice([0.3, 0.4, 0.5, 0.6]))
    if place.kind == "indoor":
        surface = _floor(noise, rng, x, z, blur)
    elif place.kind == "yard":
        surface = texture.grass(noise, x, z, blur, float(rng.uniform(0, 0.8)))
        path = between(z + noise(x, z, 2.0) * 0.15, *place.near_pavement, blur)
        surface = mix(surface, texture.paving(noise, x, z, blur, tone, slab), path)
    else:
        surface = texture.paving(noise, x, z, blur, tone, slab)
        surface = mix(
            surface,
            texture.grass(noise, x, z, blur, float(rng.uniform(0, 0.6))),
            between(z, -50, place.near_pavement[0], blur),
        )
        surface = _road(noise, place, rng, surface, x, z, blur)
    if place.drive != (0.0, 0.0):
        end = place.road[0] if place.road[1] else place.wall
        inside = between(x, *place.drive, blur) * between(z, -50, end - 0.15, blur)
        surface = mix(surface, texture.asphalt(noise, x + 50, z, blur, float(rng.uniform(105, 130))), inside)
        edge = (
            lines(x - place.drive[0], place.drive[1] - place.drive[0], 0.12, blur)
            * between(x, place.drive[0] - 0.2, place.drive[1] + 0.2, blur)
            * between(z, -50, end, blur)
        )
        surface = mix(surface, (150, 155, 158), edge)
    shade = light.shade(np.array([0.0, 1.0, 0.0], np.float32)) + light.lamps_at(x, z)
    foot = np.exp(-np.maximum(place.wall - z, 0) / 0.5) * 0.35
    lit: FloatArray = surface * shade * (1 - foot)[..., None]
    return lit


def _road(
    noise: Noise,
    place: Place,
    rng: np.random.Generator,
    surface: FloatArray,
    x: FloatArray,
    z: FloatArray,
    blur: FloatArray,
) -> FloatArray:
    """Asphalt with kerbs, gutters and lane marks over the paving."""
    start, end = place.road
    tone = float(rng.uniform(82, 118))
    on_road = between(z, start, end, blur)
    road = texture.asphalt(noise, x, z, blur, tone)
    tracks = sum(
        np.exp(-(((z - start) / (end - start) - at) ** 2) / 0.004) for at in (0.17, 0.36, 0.64, 0.83)
    )
    road = road * (1 - 0.06 * np.asarray(tracks, np.float32))[..., None]
    middle = (start + end) / 2
    worn = np.clip(0.75 + 0.5 * noise(x, z, 0.35, 2), 0.25, 1)
    dashes = between(z, middle - 0.07, middle + 0.07, blur) * lines(x, 6.0, 3.0, blur)
    road = mix(road, (205, 210, 212), dashes * worn)
    sides = np.maximum(between(z, start + 0.35, start + 0.45, blur), between(z, end - 0.45, end - 0.35, blur))
    road = mix(road, (190, 195, 198), sides * worn * float(rng.random() < 0.6))
    surface = mix(surface, road, on_road)
    for low, high, colour in (
        (start - 0.16, start, (172, 176, 178)), (end, end + 0.16, (160, 165, 168)),
        (start, start + 0.10, (58, 58, 58)), (end - 0.06, end, (52, 52, 52)),
    ):  # fmt: skip
        joints = lines(x, 1.0, 0.02, blur) * 0.4
        surface = mix(
            surface, np.asarray(colour, np.float32) * 1.0, between(z, low, high, blur) * (1 - joints)
        )
    return surface


def _floor(
    noise: Noise, rng: np.random.Generator, x: FloatArray, z: FloatArray, blur: FloatArray
) -> FloatArray:
    """Tiles, boards or carpet."""
    kind = int(rng.integers(3))
    tone = float(rng.uniform(110, 200))
    if kind == 0:
        return texture.paving(noise, x, z, blur, tone, float(rng.choice([0.45, 0.6, 0.9])))
    if kind == 1:
        board = np.floor(x / 0.14)
        each = np.mod(np.sin(board * 12.9) * 4375.8, 1.0) - 0.5
        grain = (0.16 * each + 0.10 * noise(x * 6, z * 0.5, 0.5, 3)).astype(np.float32)
        wood = texture.plain(x.shape, (tone * 0.48, tone * 0.68, tone * 0.88), grain, 1.0)
        return mix(wood, (30, 40, 52), lines(x, 0.14, 0.008, blur) * 0.6)
    colour = rng.uniform(40, 130, 3)
    grain = 0.12 * noise(x, z, 0.03) * np.clip(1 - blur * 8, 0, 1) + 0.06 * noise(x, z, 1.5, 3)
    return texture.plain(x.shape, (float(colour[0]), float(colour[1]), float(colour[2])), grain, 1.0)


def _wall(
    noise: Noise,
    place: Place,
    light: Light,
    rng: np.random.Generator,
    x: FloatArray,
    y: FloatArray,
    blur: FloatArray,
) -> tuple[FloatArray, BoolArray]:
    """(H, W, 3) the wall across the view, lit, and (H, W) where it stands."""
    if place.kind == "indoor":
        colour = rng.uniform(140, 225, 3) * np.array([0.95, 1.0, 1.02])
        surface = texture.plaster(noise, x, y, colour.astype(np.float32))
        surface = mix(surface, (60, 62, 66), between(y, -1, 0.09, blur))
        for _ in range(int(rng.integers(1, 4))):
            left, low = float(rng.uniform(-6, 5)), float(rng.uniform(0.9, 1.4))
            picture = between(x, left, left + float(rng.uniform(0.6, 1.8)), blur) * between(
                y, low, low + float(rng.uniform(0.5, 1.1)), blur
            )
            surface = mix(surface, rng.uniform(30, 220, 3).astype(np.float32), picture)
        door = float(rng.uniform(-5, 4))
        surface = mix(
            surface,
            rng.uniform(40, 140, 3).astype(np.float32),
            between(x, door, door + 0.9, blur) * between(y, -1, 2.05, blur),
        )
        solid = np.ones(x.shape, bool)
        height = 3.0
        ceiling = y > height
        surface[ceiling] = (205, 208, 210)
    elif place.kind == "yard":
        height = float(rng.uniform(1.5, 2.2))
        wood = np.array([70, 105, 135], np.float32) * float(rng.uniform(0.7, 1.3))
        board = np.floor(x / 0.16)
        each = np.mod(np.sin(board * 9.1) * 7151.3, 1.0) - 0.5
        surface = (
            wood
            * (1 + 0.22 * each * np.clip(1.3 - blur * 9, 0, 1) + 0.12 * noise(x * 3, y * 0.4, 0.5, 3))[
                ..., None
            ]
        )
        surface = mix(surface, wood * 0.35, lines(x, 0.16, 0.018, blur))
        top = height + 0.03 * np.sign(np.mod(board, 2) - 0.5)
        solid = y < top
        hedge = height * (1.35 + 0.35 * noise(x, y * 0, 2.6, 3))
        leaves = np.array([40, 78, 58], np.float32) * (1 + 0.55 * noise(x, y, 0.22, 3))[..., None]
        behind = (y >= top) & (y < hedge + 0.12 * noise(x, y, 0.18, 2))
        surface = np.where(behind[..., None], leaves, surface)
        solid |= behind
    else:
        surface, solid = house_fronts(noise, rng, x, y, blur)
    shade = light.shade(np.array([0.0, 0.0, -1.0], np.float32))
    spill = light.lamps_at(x, np.full_like(x, place.wall)) * np.exp(-np.maximum(y, 0) / 3.5)[..., None] * 0.8
    foot = (1 - 0.3 * np.exp(-np.maximum(y, 0) / 0.35))[..., None]
    lit = surface * (shade + spill) * foot
    if place.kind == "street" and light.is_night and not light.infrared:
        glow = lit_windows(x, y, rng)
        lit = mix(lit, (120, 190, 235), glow * 0.75)
    return lit.astype(np.float32), solid


def _side_walls(
    noise: Noise,
    place: Place,
    light: Light,
    camera: Camera,
    rays: FloatArray,
    picture: FloatArray,
    is_ground: BoolArray,
) -> tuple[FloatArray, BoolArray]:
    """The left and right wall of a room, where they hide the floor and the back wall."""
    colour = picture[~is_ground].mean(axis=0) if (~is_ground).any() else np.full(3, 150, np.float32)
    ground = is_ground.copy()
    for at, sign in ((place.side_walls[0], -1.0), (place.side_walls[1], 1.0)):
        reach = np.where(
            rays[..., 0] * sign > 1e-4, at / np.where(rays[..., 0] * sign > 1e-4, rays[..., 0], 1.0), np.inf
        )
        reach = np.minimum(reach, 1e4)
        y, z = camera.height_m + rays[..., 1] * reach, rays[..., 2] * reach
        seen = (reach < 1e4) & (y >= 0) & (z > 0) & (z <= place.wall)
        shade = 0.9 if sign * light.to_sun[0] < 0 else 1.05
        surface = (
            texture.plaster(noise, z.astype(np.float32), y.astype(np.float32), colour.astype(np.float32))
            * shade
        )
        surface = mix(surface, colour * 0.35, between(y, -1.0, 0.09, 0.02))
        surface[y > 3.0] = picture.max(axis=(0, 1)) * 0.9
        picture = np.where(seen[..., None], surface, picture)
        ground &= ~seen
    return picture.astype(np.float32), ground
