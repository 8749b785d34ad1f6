"""What figures are made of: flat convex pieces in the picture, cut from limbs and prisms in the world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from agent.records import FloatArray, ImageArray
from models.data.scene.camera import Camera
from models.data.scene.light import Light

_CIRCLE = np.stack(
    [
        np.cos(np.linspace(0, 2 * math.pi, 12, endpoint=False)),
        np.sin(np.linspace(0, 2 * math.pi, 12, endpoint=False)),
    ],
    axis=1,
).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Piece:
    """One convex patch of colour.

    Args:
        outline: (N, 2) float32 x, y in px.
        colour: (3,) BGR 0..255, light included.
        depth_m: pieces are painted from the largest to the smallest.
    """

    outline: FloatArray
    colour: FloatArray
    depth_m: float


def hull(points: FloatArray) -> FloatArray:
    """(M, 2) corners of the convex hull of (N, 2) points."""
    return np.asarray(cv2.convexHull(points.astype(np.float32)), np.float32)[:, 0]


@dataclass(frozen=True, slots=True)
class Limb:
    """A rounded part of a body: the convex hull of balls; a leg is two, a torso four.

    Args:
        centres: (N, 3) in metres.
        radii: (N,) in metres.
        colour: (3,) BGR 0..255 of the material.
    """

    centres: FloatArray
    radii: FloatArray
    colour: FloatArray


def hulls_of_balls(
    camera: Camera, groups: list[tuple[FloatArray, FloatArray]]
) -> list[tuple[FloatArray, float]]:
    """Outlines of many groups of balls; all of them are projected at once.

    Args:
        groups: (N, 3) centres and (N,) radii in metres each.

    Returns:
        (M, 2) outline in px and mean depth in metres of each group.
    """
    pixels, depth = camera.project(np.concatenate([centres for centres, _ in groups]))
    reach = np.concatenate([radii for _, radii in groups]) * camera.focal_px / depth
    rims = pixels[:, None] + reach[:, None, None] * _CIRCLE  # (balls, 12, 2)
    outlines, start = [], 0
    for centres, _ in groups:
        stop = start + len(centres)
        outlines.append(
            (hull(rims[start:stop].reshape(-1, 2)), float(depth[start:stop].sum()) / (stop - start))
        )
        start = stop
    return outlines


def limbs(camera: Camera, light: Light, parts: list[Limb], glow: FloatArray) -> list[Piece]:
    """Rounded limbs, each with a lit side, farthest first.

    Args:
        parts: at least one.
        glow: (3,) BGR factor of lamps at this place.
    """
    away = np.array(light.ambient, np.float32) + glow
    lit = away + 0.9 * np.array(light.direct, np.float32)
    dim = away + 0.35 * np.array(light.direct, np.float32)
    to_sun = np.array(light.to_sun, np.float32)
    whole = [(part.centres, part.radii) for part in parts]
    bright = [(part.centres + to_sun * (0.45 * part.radii[:, None]), part.radii * 0.62) for part in parts]
    outlines = hulls_of_balls(camera, whole + bright)
    order = sorted(range(len(parts)), key=lambda index: -outlines[index][1])
    pieces = []
    for index in order:
        depth = outlines[index][1]
        colour = parts[index].colour
        pieces.append(Piece(outlines[index][0], colour * dim, depth))
        pieces.append(Piece(outlines[len(parts) + index][0], colour * lit, depth))
    return pieces


def prism(
    camera: Camera, light: Light, left: FloatArray, right: FloatArray, colours: FloatArray, glow: FloatArray
) -> list[Piece]:
    """The sides of a convex prism that face the camera.

    Args:
        left, right: (N, 3) the two ends' corners, in metres, in the same order; seen from the left end's
            outside they run clockwise.
        colours: (N + 2, 3) BGR 0..255: of each side, then of the left and the right end.
        glow: (3,) BGR factor of lamps at this place.

    Returns:
        Pieces; those that face away are left out.
    """
    count = len(left)
    faces = [
        np.stack([left[i], left[(i + 1) % count], right[(i + 1) % count], right[i]]) for i in range(count)
    ]
    faces += [left[::-1], right]
    middle = np.concatenate([left, right]).mean(axis=0)
    pieces = []
    for face, colour in zip(faces, colours, strict=True):
        normal = np.cross(face[1] - face[0], face[2] - face[1])
        length = float(np.linalg.norm(normal))
        if length < 1e-9:
            continue
        normal = normal / length
        centre = face.mean(axis=0)
        if float(normal @ (centre - middle)) < 0:
            normal = -normal
        if float(normal @ (camera.position - centre)) <= 0:
            continue
        outline, depth = camera.project(face)
        pieces.append(Piece(outline, colour * (light.shade(normal) + glow), float(depth.mean())))
    return pieces


def shadow_on_ground(points: FloatArray, light: Light) -> FloatArray:
    """(N, 3) where the sun throws (N, 3) points on the ground."""
    sun = np.array(light.to_sun, np.float32)
    thrown: FloatArray = points - points[:, 1:2] / sun[1] * sun
    thrown[:, 1] = 0.0
    return thrown


_SHIFT = 4
_UNIT = 1 << _SHIFT


@dataclass(frozen=True, slots=True)
class Sprite:
    """A painted figure: a cut-out of the picture.

    Args:
        left, top: its place in the picture, px; may be outside of it.
        colour: (h, w, 3) uint8 BGR, multiplied by alpha / 255.
        alpha: (h, w) uint8.
        depth_m: of its foot; nearer sprites cover farther ones.
    """

    left: int
    top: int
    colour: ImageArray
    alpha: ImageArray
    depth_m: float


def paint(pieces: list[Piece], depth_m: float, limit_px: int) -> Sprite | None:
    """Paint pieces with soft edges, in the order given.

    Args:
        depth_m: of the sprite.
        limit_px: a figure larger than this (too near to the camera) is not painted.

    Returns:
        None when there is nothing to paint or it is too large.
    """
    if not pieces:
        return None
    corners = np.concatenate([piece.outline for piece in pieces])
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 1
    width, height = int(high[0] - low[0]), int(high[1] - low[1])
    if width > limit_px or height > limit_px:
        return None
    # Twice the size, then halved: soft edges for colour and alpha alike.
    canvas = np.zeros((height * 2, width * 2, 4), np.uint8)
    for piece in pieces:
        outline = np.round(((piece.outline - low) * 2 - 0.5) * _UNIT).astype(np.int32)
        blue, green, red = (min(max(float(value), 0.0), 255.0) for value in piece.colour)
        cv2.fillConvexPoly(canvas, outline, (blue, green, red, 255.0), cv2.LINE_8, _SHIFT)
    painted = np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return Sprite(int(low[0]), int(low[1]), painted[..., :3], painted[..., 3], depth_m)
