"""Daylight, lamps at night and infrared: how bright a place is, and which way shadows fall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.records import FloatArray


@dataclass(frozen=True, slots=True)
class Light:
    """The light of a scene.

    Args:
        to_sun: unit vector towards the sun or moon; its second part is above 0.
        ambient: (3,) BGR factor of light from everywhere.
        direct: (3,) BGR factor of light from the sun.
        shadow: 0..1, how dark cast shadows are.
        lamps: (N, 2) x, z of street lamps in metres; N may be 0.
        lamp_colour: (3,) BGR factor at a lamp's foot.
        lamp_reach_m: distance at which a lamp's light has fallen to a half.
        infrared: the picture is grey, as of a camera that lights the scene itself.
        noise: standard deviation of the sensor noise, grey levels of 255.
    """

    to_sun: tuple[float, float, float]
    ambient: tuple[float, float, float] = (0.55, 0.53, 0.50)
    direct: tuple[float, float, float] = (0.55, 0.58, 0.62)
    shadow: float = 0.45
    lamps: tuple[tuple[float, float], ...] = ()
    lamp_colour: tuple[float, float, float] = (0.35, 0.60, 0.80)
    lamp_reach_m: float = 4.5
    infrared: bool = False
    noise: float = 1.6

    @property
    def is_night(self) -> bool:
        """Lamps are on, windows are lit, vehicles drive with headlights."""
        return self.infrared or bool(self.lamps)

    def lamps_at(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """Light of all lamps on the ground.

        Returns:
            (…, 3) BGR factors for ground points of the shape of `x`.
        """
        strength = np.zeros_like(x, dtype=np.float32)
        for lamp_x, lamp_z in self.lamps:
            distance = ((x - lamp_x) ** 2 + (z - lamp_z) ** 2) / self.lamp_reach_m**2
            strength += 1.0 / (1.0 + distance**1.5)
        return strength[..., None] * np.array(self.lamp_colour, np.float32)

    def shade(self, normal: FloatArray) -> FloatArray:
        """Lambert shading without lamps.

        Args:
            normal: (…, 3) unit vectors.

        Returns:
            (…, 3) BGR factors.
        """
        facing = np.maximum(normal @ np.array(self.to_sun, np.float32), 0.0)
        return np.array(self.ambient, np.float32) + facing[..., None] * np.array(self.direct, np.float32)

    def at(self, x: float, z: float) -> FloatArray:
        """(3,) BGR factor by which the lamps brighten an object that stands at a place."""
        glow: FloatArray = self.lamps_at(np.array([x], np.float32), np.array([z], np.float32))[0]
        return glow


def daylight(rng: np.random.Generator) -> Light:
    """Sun or overcast, from the front-left to the front-right of the scene."""
    azimuth = rng.uniform(-2.6, -0.5) if rng.random() < 0.5 else rng.uniform(0.5, 2.6)
    height = rng.uniform(0.6, 1.2)
    to_sun = np.array([np.sin(azimuth), height, -np.cos(azimuth)])
    to_sun /= np.linalg.norm(to_sun)
    cloud = rng.uniform(0.0, 1.0)
    direct = (1.0 - 0.85 * cloud) * np.array([0.52, 0.58, 0.63])
    ambient = (0.50 + 0.32 * cloud) * np.array([1.03, 1.0, 0.97])
    return Light(
        to_sun=(float(to_sun[0]), float(to_sun[1]), float(to_sun[2])),
        ambient=_triple(ambient),
        direct=_triple(direct),
        shadow=float(0.12 + 0.4 * (1.0 - cloud)),
        noise=float(rng.uniform(0.8, 2.5)),
    )


def night(rng: np.random.Generator, lamps: tuple[tuple[float, float], ...]) -> Light:
    """Street lamps, or the camera's own infrared light."""
    if not lamps or rng.random() < 0.4:
        level = float(rng.uniform(0.45, 0.75))
        return Light(
            to_sun=(0.0, 0.8, -0.6),
            ambient=(level * 0.6,) * 3,
            direct=(level * 0.5,) * 3,
            shadow=0.08,
            infrared=True,
            noise=float(rng.uniform(2.5, 5.0)),
        )
    warm = rng.uniform(0.0, 1.0)
    return Light(
        to_sun=(0.3, 0.9, -0.3),
        ambient=_triple(rng.uniform(0.16, 0.28) * np.array([1.15, 1.0, 0.9])),
        direct=(0.04, 0.04, 0.04),
        shadow=0.15,
        lamps=lamps,
        lamp_colour=_triple(rng.uniform(0.7, 1.0) * np.array([0.85 - 0.5 * warm, 0.92 - 0.2 * warm, 0.95])),
        lamp_reach_m=float(rng.uniform(4.0, 6.5)),
        noise=float(rng.uniform(3.0, 6.0)),
    )


def _triple(values: FloatArray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
