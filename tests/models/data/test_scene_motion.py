from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from models.data.scene.motion import Action, Step, Trajectory
from models.data.scene.person import random_person


def test_trajectory_keeps_speed_and_reaches_its_end() -> None:
    path = Trajectory((0.0, 5.0), [Step(Action.WALK, (6.0, 5.0), 1.5)], start_s=2.0)
    assert path.at(1.99) is None
    assert path.at(6.0) is None
    middle, last = path.at(4.0), path.at(5.99)
    assert middle is not None
    assert last is not None
    assert middle.speed_m_s == pytest.approx(1.5, rel=0.01)
    assert middle.x == pytest.approx(3.0, abs=0.02)
    assert middle.heading == pytest.approx(math.pi / 2, abs=0.01)
    assert last.x == pytest.approx(6.0, abs=0.1)


def test_trajectory_tells_how_long_an_action_lasts() -> None:
    steps = [
        Step(Action.WALK, (1.0, 0.0), 1.0),
        Step(Action.FALL, (1.2, 0.0), 0.5),
        Step(Action.FALL, for_s=2.0),
    ]
    pose = Trajectory((0.0, 0.0), steps).at(2.4)
    assert pose is not None
    assert pose.action is Action.FALL
    assert pose.action_s == pytest.approx(1.4, abs=1e-6)


def test_trajectory_turns_smoothly_round_a_corner() -> None:
    path = Trajectory((0.0, 0.0), [Step(Action.WALK, (3.0, 0.0), 1.5), Step(Action.WALK, (3.0, 3.0), 1.5)])
    poses = [path.at(time) for time in np.arange(0.1, 3.9, 0.02)]
    turns = [abs(after.heading - before.heading) for before, after in pairwise(poses) if before and after]
    assert max(turns) < 0.15


def test_trajectory_refuses_a_step_without_duration() -> None:
    with pytest.raises(ValueError, match="expected a duration above 0"):
        Trajectory((0.0, 0.0), [Step(Action.STAND)])


@pytest.mark.parametrize("speed", [0.9, 1.4, 1.8])
def test_standing_foot_stays_behind_while_the_body_passes(speed: float) -> None:
    """The point that touches the ground, heel or toe, moves far less than the body that it carries."""
    walker = random_person(np.random.default_rng(1))
    path = Trajectory((0.0, 8.0), [Step(Action.WALK, (12.0, 8.0), speed)])
    slid, travelled = 0.0, 0.0
    touching, before, body = "", 0.0, 0.0
    for time in np.arange(1.0, 4.0, 0.02):
        pose = path.at(float(time))
        assert pose is not None
        joints = walker.joints(pose)
        lowest = min(("lankle", "ltoe", "rankle", "rtoe"), key=lambda name: joints[name][1])
        if lowest == touching:
            slid += abs(float(joints[lowest][0]) - before)
            travelled += pose.x - body
        touching, before, body = lowest, float(joints[lowest][0]), pose.x
    assert travelled > 0.8 * speed * 3.0
    assert slid < 0.25 * travelled


def test_fallen_person_lies_on_the_ground() -> None:
    walker = random_person(np.random.default_rng(2))
    path = Trajectory((0.0, 8.0), [Step(Action.FALL, for_s=3.0)])
    before, after = path.at(0.0), path.at(2.5)
    assert before is not None
    assert after is not None
    assert walker.joints(before)["head"][1] > 0.8 * walker.height_m
    lying = walker.joints(after)
    assert lying["head"][1] < 0.25 * walker.height_m
    assert min(joint[1] for joint in lying.values()) >= -1e-4
