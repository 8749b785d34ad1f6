"""Things that stand still and hide the actors behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agent.records import FloatArray
from models.data.scene.camera import Camera
from models.data.scene.light import Light
from models.data.scene.shapes import Limb, Piece, hull, limbs, prism, shadow_on_ground

PropKind = Literal["tree", "bush", "lamp", "bin", "bollard", "box", "planter", "table", "pillar"]


@dataclass(frozen=True, slots=True)
class Prop:
    """One thing.

    Args:
        kind: of thing.
        x, z: metres on the ground.
        size_m: its height.
        colour: (3,) BGR 0..255.
        seed: of its leaves.
    """

    kind: PropKind
    x: float
    z: float
    size_m: float
    colour: FloatArray
    seed: int = 0

    def pieces(self, camera: Camera, light: Light) -> list[Piece]:
        """The thing in the picture, in the order of painting."""
        glow = light.at(self.x, self.z)
        match self.kind:
            case "tree":
                return self._trunk(camera, light, glow) + self._leaves(camera, light, glow, 0.62, 0.36, 520)
            case "bush":
                return self._leaves(camera, light, glow, 0.5, 0.52, 260)
            case "lamp":
                return self._lamp(camera, light, glow)
            case "table":
                legs = [
                    piece
                    for side in (-0.7, 0.7)
                    for piece in self._block(
                        camera, light, glow, (side - 0.04, side + 0.04), (0, 0.7), 0.3, 0.5
                    )
                ]
                return legs + self._block(camera, light, glow, (-0.8, 0.8), (0.7, 0.76), 0.42)
            case "planter":
                pot = self._block(camera, light, glow, (-0.45, 0.45), (0, self.size_m * 0.4), 0.25)
                return pot + self._leaves(camera, light, glow, 0.66, 0.34, 160)
            case "pillar":
                return self._block(camera, light, glow, (-0.2, 0.2), (0, self.size_m), 0.2)
            case _:
                half = {"bin": 0.3, "bollard": 0.09, "box": 0.5}[self.kind]
                body = self._block(camera, light, glow, (-half, half), (0, self.size_m), half * 0.8)
                lid = (self.size_m, self.size_m + 0.07)
                return body + self._block(
                    camera, light, glow, (-half * 1.08, half * 1.08), lid, half * 0.9, 0.6
                )

    def shadow(self, camera: Camera, light: Light) -> list[FloatArray]:
        """Outlines of the shadow on the ground, px."""
        high = self.size_m
        if self.kind in ("tree", "bush", "planter"):
            rng = np.random.default_rng(self.seed)
            low, spread = (0.62, 0.36) if self.kind == "tree" else (0.5, 0.5)
            centres = self._blobs(rng, low, spread, 26)
            outlines = []
            for centre in centres:
                rim = centre + spread * high * 0.3 * _BALL
                outlines.append(hull(camera.project(shadow_on_ground(rim, light))[0]))
            if self.kind == "tree":
                outlines.append(self._pole_shadow(camera, light, 0.12, high * 0.6))
            return outlines
        width = {"lamp": 0.06, "bin": 0.3, "bollard": 0.09, "box": 0.5, "table": 0.7, "pillar": 0.2}[
            self.kind
        ]
        return [self._pole_shadow(camera, light, width, high)]

    def _pole_shadow(self, camera: Camera, light: Light, half: float, high: float) -> FloatArray:
        corners = [
            [self.x + side_x * half, y, self.z + side_z * half * 0.8]
            for side_x in (-1, 1) for side_z in (-1, 1) for y in (0.0, high)
        ]  # fmt: skip
        return hull(camera.project(shadow_on_ground(np.array(corners, np.float32), light))[0])

    def _block(
        self, camera: Camera, light: Light, glow: FloatArray,
        across: tuple[float, float], up: tuple[float, float], half_deep: float, tone: float = 1.0,
    ) -> list[Piece]:  # fmt: skip
        """A cuboid around the prop's place."""
        near, far = self.z - half_deep, self.z + half_deep
        corners = np.array([[up[0], near], [up[1], near], [up[1], far], [up[0], far]], np.float32)  # y, z
        left, right = (
            np.stack([np.full(4, self.x + side, np.float32), corners[:, 0], corners[:, 1]], axis=1)
            for side in across
        )
        faces = prism(camera, light, left, right, np.repeat((self.colour * tone)[None], 6, axis=0), glow)
        return sorted(faces, key=lambda piece: -piece.depth_m)

    def _trunk(self, camera: Camera, light: Light, glow: FloatArray) -> list[Piece]:
        ends = np.array([[self.x, 0.05, self.z], [self.x, self.size_m * 0.6, self.z]], np.float32)
        bark = np.array([48, 62, 78], np.float32)
        thick = np.array([0.15, 0.09], np.float32) * self.size_m / 5
        return limbs(camera, light, [Limb(ends, thick, bark)], glow)

    def _blobs(self, rng: np.random.Generator, middle: float, spread: float, count: int) -> FloatArray:
        """(count, 3) places of leaves in a ball."""
        direction = rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        reach = rng.random((count, 1)) ** (1 / 2.2)
        offsets = direction * reach * np.array([1.0, 0.95, 1.0]) * spread * self.size_m
        middle_m = np.array([self.x, self.size_m * (middle + spread * 0.1), self.z])
        centres: FloatArray = (offsets + middle_m).astype(np.float32)
        centres[:, 1] = np.maximum(centres[:, 1], 0.06 * self.size_m)
        return centres

    def _leaves(
        self, camera: Camera, light: Light, glow: FloatArray, middle: float, spread: float, count: int
    ) -> list[Piece]:
        rng = np.random.default_rng(self.seed)
        centres = self._blobs(rng, middle, spread, count)
        sizes = rng.uniform(0.06, 0.14, count).astype(np.float32) * spread * self.size_m
        sun = np.array(light.to_sun, np.float32)
        heart = centres.mean(axis=0)
        pieces = []
        for index in np.argsort(-(centres @ camera.axes[2])):
            facing = float((centres[index] - heart) @ sun) / (spread * self.size_m)
            shade = np.array(light.ambient, np.float32) * (0.75 + 0.25 * facing) + glow
            shade = shade + np.array(light.direct, np.float32) * max(0.0, 0.45 + 0.55 * facing)
            pixels, depth = camera.project(centres[index][None])
            reach = sizes[index] * camera.focal_px / depth[0]
            angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
            bumps = rng.uniform(0.65, 1.15, 9)
            rim = pixels[0] + reach * bumps[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            colour = self.colour * rng.uniform(0.72, 1.25) * shade
            pieces.append(Piece(hull(rim), colour, float(depth[0])))
        return pieces

    def _lamp(self, camera: Camera, light: Light, glow: FloatArray) -> list[Piece]:
        top = self.size_m
        pole = np.array([[self.x, 0.0, self.z], [self.x, top, self.z]], np.float32)
        arm = np.array([[self.x, top, self.z], [self.x, top + 0.15, self.z - 0.9]], np.float32)
        head = np.array([[self.x, top + 0.15, self.z - 0.8], [self.x, top + 0.15, self.z - 1.3]], np.float32)
        thin = np.array([0.07, 0.045], np.float32)
        parts = [Limb(pole, thin, self.colour), Limb(arm, thin * 0.6, self.colour)]
        pieces = limbs(camera, light, [*parts, Limb(head, np.full(2, 0.08, np.float32), self.colour)], glow)
        if light.is_night and not light.infrared:
            shine = np.array(light.lamp_colour, np.float32) / max(light.lamp_colour) * 255
            pixels = camera.project(head - np.array([0.0, 0.1, 0.0], np.float32))[0]
            pieces.append(Piece(hull(pixels.repeat(4, axis=0) + np.tile(_LENS_PX, (2, 1))), shine, 0.0))
        return pieces


_LENS_PX = np.array([[-2, -1], [-2, 1], [2, -1], [2, 1]], np.float32)
_ANGLES = np.linspace(0, 2 * np.pi, 8, endpoint=False)
_BALL = np.stack([np.cos(_ANGLES), np.sin(_ANGLES), 0.6 * np.cos(_ANGLES + 0.8)], axis=1).astype(np.float32)

PROP_SIZES: dict[PropKind, tuple[float, float]] = {
    "tree": (4.0, 7.0), "bush": (0.7, 1.5), "lamp": (4.5, 6.5), "bin": (0.85, 1.2), "bollard": (0.7, 1.1),
    "box": (0.6, 1.5), "planter": (0.8, 1.5), "table": (0.76, 0.76), "pillar": (3.0, 3.0),
}  # fmt: skip
"""Range of heights in metres."""


def random_prop(rng: np.random.Generator, kind: PropKind, x: float, z: float) -> Prop:
    """A thing of random size and colour at a place."""
    green = np.array([50, 92, 62]) * rng.uniform(0.7, 1.25) + rng.normal(0, 8, 3)
    grey = np.full(3, rng.uniform(40, 150)) + rng.normal(0, 18, 3)
    colour = green if kind in ("tree", "bush", "planter") else grey
    return Prop(
        kind, x, z, float(rng.uniform(*PROP_SIZES[kind])), np.clip(colour, 10, 240).astype(np.float32),
        int(rng.integers(2**31)),
    )  # fmt: skip
