"""A pinhole camera above a ground plane."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.records import FloatArray

NEAREST_M = 0.3
"""Points nearer than this to the camera's plane are projected as if they were this far."""


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the camera hangs and what it sees.

    Args:
        size: (width, height) of the picture in px.
        height_m: above the ground; the camera stands at x = z = 0.
        pitch: radians below the horizon.
        yaw: radians to the right of the z axis.
        field_of_view: horizontal, radians.
    """

    size: tuple[int, int]
    height_m: float
    pitch: float
    yaw: float = 0.0
    field_of_view: float = math.radians(60)

    @property
    def focal_px(self) -> float:
        """Focal length in px."""
        return self.size[0] / 2 / math.tan(self.field_of_view / 2)

    @property
    def axes(self) -> FloatArray:
        """(3, 3) rows: the camera's right, down and forward in world coordinates."""
        sin_yaw, cos_yaw = math.sin(self.yaw), math.cos(self.yaw)
        sin_pitch, cos_pitch = math.sin(self.pitch), math.cos(self.pitch)
        return np.array(
            [
                [cos_yaw, 0.0, -sin_yaw],
                [-sin_yaw * sin_pitch, -cos_pitch, -cos_yaw * sin_pitch],
                [sin_yaw * cos_pitch, -sin_pitch, cos_yaw * cos_pitch],
            ],
            np.float32,
        )

    @property
    def position(self) -> FloatArray:
        """(3,) in world coordinates."""
        return np.array([0.0, self.height_m, 0.0], np.float32)

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Project world points to the picture.

        Args:
            points: (N, 3) in metres.

        Returns:
            (N, 2) x, y in px, and (N,) depth along the optical axis in metres.
        """
        local = (points - self.position) @ self.axes.T  # (N, 3) right, down, forward
        depth = np.maximum(local[:, 2], NEAREST_M)
        centre = np.array(self.size, np.float32) / 2
        pixels = local[:, :2] * (self.focal_px / depth)[:, None] + centre
        return pixels.astype(np.float32), depth.astype(np.float32)

    def rays(self, per_px: int = 1) -> FloatArray:
        """Viewing direction of every pixel.

        Args:
            per_px: samples along each side of a pixel.

        Returns:
            (H · per_px, W · per_px, 3) float32, not normalised: depth 1 along the optical axis.
        """
        width, height = self.size
        x = ((np.arange(width * per_px, dtype=np.float32) + 0.5) / per_px - width / 2) / self.focal_px
        y = ((np.arange(height * per_px, dtype=np.float32) + 0.5) / per_px - height / 2) / self.focal_px
        right, down, forward = self.axes
        directions: FloatArray = x[None, :, None] * right + y[:, None, None] * down + forward
        return directions

    def on_ground(self, fractions: FloatArray) -> FloatArray:
        """Ground points under picture positions.

        Args:
            fractions: (N, 2) of the picture's width and height; must lie below the horizon.

        Returns:
            (N, 2) x, z in metres.
        """
        width, height = self.size
        x = (fractions[:, 0] - 0.5) * width / self.focal_px
        y = (fractions[:, 1] - 0.5) * height / self.focal_px
        right, down, forward = self.axes
        direction = x[:, None] * right + y[:, None] * down + forward
        if np.any(direction[:, 1] >= 0):
            raise ValueError(f"expected positions below the horizon, got {fractions.tolist()}")
        reach = -self.height_m / direction[:, 1]
        ground: FloatArray = (direction * reach[:, None])[:, [0, 2]].astype(np.float32)
        return ground
