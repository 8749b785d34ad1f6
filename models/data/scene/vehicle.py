"""Vehicles: two prisms (body and cabin) with windows, wheels and lamps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.records import FloatArray
from models.data.scene.camera import Camera
from models.data.scene.light import Light
from models.data.scene.motion import Pose
from models.data.scene.shapes import Piece, hull, prism, shadow_on_ground

# Side views in fractions of length (from the rear, 0..1) and of height (0..1), clockwise from rear bottom.
_BODIES = {
    "hatchback": (
        ((0.0, 0.16), (0.0, 0.55), (0.03, 0.62), (0.74, 0.62), (0.97, 0.50), (1.0, 0.36), (1.0, 0.14)),
        ((0.02, 0.60), (0.09, 0.97), (0.50, 1.0), (0.56, 0.98), (0.77, 0.60)),
    ),
    "saloon": (
        ((0.0, 0.16), (0.0, 0.58), (0.03, 0.64), (0.74, 0.63), (0.97, 0.52), (1.0, 0.36), (1.0, 0.14)),
        ((0.13, 0.62), (0.27, 0.97), (0.50, 1.0), (0.56, 0.98), (0.75, 0.61)),
    ),
    "van": (
        ((0.0, 0.12), (0.0, 0.52), (0.02, 0.54), (0.90, 0.54), (0.98, 0.48), (1.0, 0.34), (1.0, 0.10)),
        ((0.0, 0.52), (0.01, 0.97), (0.03, 1.0), (0.76, 1.0), (0.94, 0.52)),
    ),
}
_SIZES = {"hatchback": (4.0, 1.76, 1.48), "saloon": (4.6, 1.82, 1.45), "van": (5.3, 1.98, 2.25)}
_PAINTS = np.array(
    [[235, 235, 235], [30, 30, 32], [120, 122, 125], [190, 190, 188], [140, 70, 30], [40, 35, 150],
     [60, 90, 45], [70, 130, 190], [95, 60, 25], [180, 160, 130]], np.float32,
)  # fmt: skip
_GLASS = np.array([78, 66, 56], np.float32)
_RUBBER = np.array([28, 28, 28], np.float32)


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One car or van.

    Args:
        kind: "hatchback", "saloon" or "van".
        paint: (3,) BGR 0..255.
        scale: factor on its size.
    """

    kind: str
    paint: FloatArray
    scale: float = 1.0

    label = "car"

    @property
    def size_m(self) -> tuple[float, float, float]:
        """Length, width, height in metres."""
        length, width, height = _SIZES[self.kind]
        return length * self.scale, width * self.scale, height * self.scale

    def pieces(self, camera: Camera, light: Light, pose: Pose) -> list[Piece]:
        """The vehicle in the picture, in the order of painting."""
        glow = light.at(pose.x, pose.z)
        length, width, height = self.size_m
        body, cabin = _BODIES[self.kind]
        half = width / 2
        inset = half * (0.96 if self.kind == "van" else 0.84)
        colours = np.repeat(self.paint[None], len(body) + 2, axis=0)
        colours[-3] = colours[-3] * 0.3  # the underside
        pieces = self._wheels(camera, light, pose, glow, inside=True)
        pieces += prism(
            camera, light, self._profile(pose, body, -half, -half), self._profile(pose, body, half, half),
            colours, glow,
        )  # fmt: skip
        pieces += self._lamps(camera, light, pose, glow)
        pieces += self._wheels(camera, light, pose, glow, inside=False)
        roof = np.repeat(self.paint[None], len(cabin) + 2, axis=0)
        left = self._profile(pose, cabin, -half, -inset)
        right = self._profile(pose, cabin, half, inset)
        faces = prism(camera, light, left, right, roof, glow)
        pieces += sorted(faces, key=lambda piece: -piece.depth_m)
        pieces += self._windows(camera, light, pose, glow, inset)
        del length, height
        return pieces

    def shadow(self, camera: Camera, light: Light, pose: Pose) -> list[FloatArray]:
        """Outlines of the shadow on the ground, px."""
        half = self.size_m[1] / 2
        outlines = []
        for profile, width in ((_BODIES[self.kind][0], half), (_BODIES[self.kind][1], half * 0.85)):
            ends = np.concatenate([self._profile(pose, profile, side, side) for side in (-width, width)])
            under = ends * np.array([1.0, 0.0, 1.0], np.float32)
            points = np.concatenate([shadow_on_ground(ends, light), under])
            outlines.append(hull(camera.project(points)[0]))
        return outlines

    def _world(self, pose: Pose, along: FloatArray, up: FloatArray, across: FloatArray) -> FloatArray:
        """(N, 3) world points from metres along the vehicle (its middle is 0), up and to its right."""
        sin, cos = math.sin(pose.heading), math.cos(pose.heading)
        points = [pose.x + along * sin + across * cos, up, pose.z + along * cos - across * sin]
        world: FloatArray = np.stack(points, axis=1).astype(np.float32)
        return world

    def _profile(
        self, pose: Pose, outline: tuple[tuple[float, float], ...], low: float, high: float
    ) -> FloatArray:
        """(N, 3) corners of a side view that leans from `low` at its foot to `high` at its top (metres)."""
        length, _, height = self.size_m
        points = np.array(outline, np.float32)
        rise = (points[:, 1] - points[:, 1].min()) / np.ptp(points[:, 1])
        return self._world(
            pose, (points[:, 0] - 0.5) * length, points[:, 1] * height, low + (high - low) * rise
        )

    def _facing(self, camera: Camera, pose: Pose, along: float, across: float) -> bool:
        """Whether the side with this outward direction (vehicle's frame) faces the camera."""
        length, width, _ = self.size_m
        origin = self._world(
            pose, *(np.array([value], np.float32) for value in (along * length / 2, 0.7, across * width / 2))
        )[0]
        tip = self._world(
            pose,
            *(
                np.array([value], np.float32)
                for value in (along * (length / 2 + 1), 0.7, across * (width / 2 + 1))
            ),
        )[0]
        return float((tip - origin) @ (camera.position - origin)) > 0

    def _quad(self, camera: Camera, pose: Pose, corners: FloatArray, colour: FloatArray) -> Piece:
        """A patch from (N, 3) corners along, up, across in metres."""
        points = self._world(pose, corners[:, 0], corners[:, 1], corners[:, 2])
        outline, depth = camera.project(points)
        return Piece(hull(outline), colour, float(depth.mean()))

    def _windows(
        self, camera: Camera, light: Light, pose: Pose, glow: FloatArray, inset: float
    ) -> list[Piece]:
        """Glass on the cabin's sides that face the camera."""
        length, width, height = self.size_m
        cabin = np.array(_BODIES[self.kind][1], np.float32)
        low, high = float(cabin[:, 1].min()), 1.0
        shine = np.array(light.ambient, np.float32) + glow + 0.25 * np.array(light.direct, np.float32)
        colour = _GLASS * shine * 1.3
        pieces = []

        def at(along: float, rise: float, side: float, in_from_edge: float = 0.0) -> list[float]:
            reach = width / 2 + (inset - width / 2) * rise
            return [
                (along - 0.5) * length,
                (low + (high - low) * rise) * height,
                side * (reach - in_from_edge),
            ]

        rear, front = cabin[0], cabin[-1]
        roof_rear, roof_front = cabin[1], cabin[-2]

        def edge(first: FloatArray, second: FloatArray, rise: float) -> float:
            part = (low + (high - low) * rise - first[1]) / (second[1] - first[1])
            return float(first[0] + part * (second[0] - first[0]))

        for side in (-1.0, 1.0):
            if not self._facing(camera, pose, 0.0, side):
                continue
            back = edge(rear, roof_rear, 0.15) + 0.035
            ahead = edge(front, roof_front, 0.15) - 0.03
            back_top = edge(rear, roof_rear, 0.82) + 0.04
            ahead_top = edge(front, roof_front, 0.82) - 0.025
            middle = (back + ahead) / 2 + 0.02
            if self.kind == "van":
                back = back_top = middle + 0.12
                middle = (back + ahead) / 2 - 0.05
            for start, stop, start_top, stop_top in (
                (back, middle - 0.008, back_top, middle - 0.008),
                (middle + 0.008, ahead, middle + 0.008, ahead_top),
            ):
                corners = [
                    at(start, 0.15, side),
                    at(stop, 0.15, side),
                    at(stop_top, 0.82, side),
                    at(start_top, 0.82, side),
                ]
                pieces.append(self._quad(camera, pose, np.array(corners, np.float32), colour))
        for first, second, along in ((front, roof_front, 1.0), (rear, roof_rear, -1.0)):
            if not self._facing(camera, pose, along, 0.0) or (self.kind == "van" and along < 0):
                continue
            shift = 0.006 * along
            corners = [
                at(edge(first, second, rise) + shift, rise, side, 0.06)
                for rise, side in ((0.12, -1.0), (0.12, 1.0), (0.86, 1.0), (0.86, -1.0))
            ]
            pieces.append(self._quad(camera, pose, np.array(corners, np.float32), colour * 1.15))
        return pieces

    def _wheels(
        self, camera: Camera, light: Light, pose: Pose, glow: FloatArray, *, inside: bool
    ) -> list[Piece]:
        """Tyres and rims; those of the far side (`inside`) are painted before the body."""
        length, width, _ = self.size_m
        radius = 0.32 * self.scale
        angle = np.linspace(0, 2 * math.pi, 14, endpoint=False)
        shine = np.array(light.ambient, np.float32) + glow + 0.3 * np.array(light.direct, np.float32)
        pieces = []
        for side in (-1.0, 1.0):
            if self._facing(camera, pose, 0.0, side) == inside:
                continue
            for along in (-0.31, 0.31):
                for reach, colour in ((1.0, _RUBBER), (0.58, np.array([140, 140, 140], np.float32))):
                    rim = np.stack(
                        [
                            along * length + radius * reach * np.cos(angle),
                            radius + radius * reach * np.sin(angle),
                            np.full_like(angle, side * width / 2 * (0.8 if inside else 1.005)),
                        ],
                        axis=1,
                    ).astype(np.float32)
                    pieces.append(self._quad(camera, pose, rim, colour * shine))
        return pieces

    def _lamps(self, camera: Camera, light: Light, pose: Pose, glow: FloatArray) -> list[Piece]:
        """Head and tail lamps and number plates on the ends that face the camera."""
        length, width, height = self.size_m
        shine = np.array(light.ambient, np.float32) + glow + 0.5 * np.array(light.direct, np.float32)
        on = light.is_night and pose.speed_m_s > 0.2
        pieces = []
        for along, colour, lit, rise in (
            (1.0, [225, 235, 240], [250, 255, 255], 0.38),
            (-1.0, [40, 40, 170], [60, 60, 255], 0.47),
        ):
            if not self._facing(camera, pose, along, 0.0):
                continue
            bright = np.array(lit if on else colour, np.float32)
            bright = bright if on else bright * shine
            end = along * length / 2 * 1.002
            for side in (-1.0, 1.0):
                inner, outer = side * width * 0.30, side * width * 0.47
                corners = [
                    [end, height * (rise - 0.05), inner], [end, height * (rise - 0.05), outer],
                    [end, height * (rise + 0.05), outer], [end, height * (rise + 0.05), inner],
                ]  # fmt: skip
                pieces.append(self._quad(camera, pose, np.array(corners, np.float32), bright))
            plate = [
                [end, height * 0.24, -width * 0.14], [end, height * 0.24, width * 0.14],
                [end, height * 0.31, width * 0.14], [end, height * 0.31, -width * 0.14],
            ]  # fmt: skip
            pieces.append(
                self._quad(
                    camera, pose, np.array(plate, np.float32), np.array([205, 225, 230], np.float32) * shine
                )
            )
        return pieces


def random_vehicle(rng: np.random.Generator) -> Vehicle:
    """A vehicle of random kind, paint and size."""
    kind = str(rng.choice(["hatchback", "saloon", "van"], p=[0.45, 0.35, 0.2]))
    paint = np.clip(_PAINTS[rng.integers(len(_PAINTS))] + rng.normal(0, 10, 3), 10, 245).astype(np.float32)
    return Vehicle(kind, paint, float(rng.uniform(0.94, 1.06)))
