"""A small street that the tests of generated data share."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.data.scene.backdrop import Place
from models.data.scene.camera import Camera
from models.data.scene.light import Light
from models.data.scene.motion import Action, Step, Trajectory
from models.data.scene.person import random_person
from models.data.scene.props import Prop
from models.data.scene.render import Actor, Scene
from models.data.scene.vehicle import Vehicle


@pytest.fixture(scope="session")
def camera() -> Camera:
    return Camera((320, 192), 4.5, math.radians(17), math.radians(12), math.radians(62))


@pytest.fixture(scope="session")
def street(camera: Camera) -> Scene:
    """One walker (id 1), a car (id 2) and a pillar that the walker passes behind at 2 s."""
    walker = random_person(np.random.default_rng(4))
    actors = (
        Actor(1, walker, Trajectory((-1.0, 11.0), [Step(Action.WALK, (7.4, 11.0), 1.4)])),
        Actor(
            2,
            Vehicle("hatchback", np.array([40, 40, 170], np.float32)),
            Trajectory((10.0, 15.0), [Step(Action.DRIVE, (-10.0, 15.0), 5.0)]),
        ),
    )
    pillar = Prop("pillar", 1.6, 9.6, 3.0, np.array([90, 90, 90], np.float32))
    light = Light(to_sun=(-0.4, 0.8, -0.45), noise=0.0, shadow=0.0)
    return Scene(camera, light, Place("street", (8.0, 12.0), (12.0, 18.0), 21.0), (pillar,), actors, 3)
