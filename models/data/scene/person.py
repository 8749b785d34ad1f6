"""People: an articulated body of balls and limbs with a gait.

Segment lengths are fractions of the body's height (Winter, Biomechanics and Motor Control of Human
Movement, 4th ed., fig. 4.1). The stride fits the speed so that the standing foot does not slide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.records import FloatArray
from models.data.scene.camera import Camera
from models.data.scene.light import Light
from models.data.scene.motion import Action, Pose
from models.data.scene.shapes import Limb, Piece, hulls_of_balls, limbs, shadow_on_ground

_THIGH, _SHANK, _FOOT, _TRUNK, _NECK, _HEAD = 0.245, 0.246, 0.11, 0.288, 0.052, 0.065
_UPPER_ARM, _FOREARM, _SHOULDER, _HIP = 0.186, 0.19, 0.105, 0.052
_FALL_S = 0.8

_SKIN = np.array(
    [[185, 205, 235], [150, 180, 220], [110, 145, 195], [75, 105, 150], [45, 65, 95]], np.float32
)
_HAIR = np.array([[25, 25, 30], [35, 50, 75], [60, 100, 140], [90, 150, 190], [150, 150, 150]], np.float32)


@dataclass(frozen=True, slots=True)
class Person:
    """One person's body and clothes.

    Args:
        height_m: 1.1 (a child) to 2.0.
        girth: factor on the thickness of trunk and limbs.
        skin, hair, top, bottom, shoes: (3,) BGR 0..255.
        long_sleeves, long_legs, long_coat: how far the clothes reach.
        bag: (3,) BGR of a backpack, or None.
        cap: (3,) BGR of headwear, or None.
        phase: radians, where in its stride the person begins.
    """

    height_m: float
    girth: float
    skin: FloatArray
    hair: FloatArray
    top: FloatArray
    bottom: FloatArray
    shoes: FloatArray
    long_sleeves: bool = True
    long_legs: bool = True
    long_coat: bool = False
    bag: FloatArray | None = None
    cap: FloatArray | None = None
    phase: float = 0.0

    label = "person"

    def pieces(self, camera: Camera, light: Light, pose: Pose) -> list[Piece]:
        """The body in the picture, farthest parts first."""
        joints = self.joints(pose)
        glow = light.at(pose.x, pose.z)
        size = self.height_m * self.girth
        sleeve = self.top if self.long_sleeves else self.skin
        leg = self.bottom if self.long_legs else self.skin
        parts: list[Limb] = []

        def add(names: str, radii: tuple[float, ...], colour: FloatArray) -> None:
            ends = np.stack([joints[name] for name in names.split()])
            parts.append(Limb(ends, np.array(radii, np.float32) * size, colour))

        for side in "lr":
            add(f"{side}hip {side}knee", (0.052, 0.036), self.bottom)
            add(f"{side}knee {side}ankle", (0.034, 0.023), leg)
            add(f"{side}ankle {side}toe", (0.024, 0.017), self.shoes)
            add(f"{side}shoulder {side}elbow", (0.033, 0.026), self.top)
            add(f"{side}elbow {side}wrist", (0.025, 0.018), sleeve)
            add(f"{side}wrist {side}hand", (0.019, 0.017), self.skin)
        add("lshoulder rshoulder lwaist rwaist", (0.042, 0.042, 0.050, 0.050), self.top)
        if self.long_coat:
            add("lwaist rwaist lhem rhem", (0.052, 0.052, 0.056, 0.056), self.top)
        else:
            add("lwaist rwaist lhip rhip", (0.048, 0.048, 0.050, 0.050), self.bottom)
        add("neck head", (0.030, 0.042), self.skin)
        add("head face", (0.054, 0.046), self.skin)
        add("crown crown", (0.054, 0.054), self.hair if self.cap is None else self.cap)
        if self.bag is not None:
            add("bagtop bagend", (0.062, 0.066), self.bag)
        return limbs(camera, light, parts, glow)

    def shadow(self, camera: Camera, light: Light, pose: Pose) -> list[FloatArray]:
        """Outlines of the shadow on the ground, px."""
        joints = self.joints(pose)
        size = self.height_m * self.girth
        groups = []
        for names, radius in (
            ("lhip lknee", 0.045), ("lknee lankle", 0.03), ("rhip rknee", 0.045), ("rknee rankle", 0.03),
            ("lshoulder rshoulder lhip rhip", 0.05), ("neck head", 0.055), ("lshoulder lelbow", 0.03),
            ("rshoulder relbow", 0.03), ("lelbow lhand", 0.02), ("relbow rhand", 0.02),
        ):  # fmt: skip
            ends = shadow_on_ground(np.stack([joints[name] for name in names.split()]), light)
            groups.append((ends, np.full(len(ends), radius * size, np.float32)))
        return [outline for outline, _ in hulls_of_balls(camera, groups)]

    def joints(self, pose: Pose) -> dict[str, FloatArray]:
        """Joint positions in the world, (3,) metres each."""
        local = self._local_joints(pose)
        forward = np.array([math.sin(pose.heading), 0.0, math.cos(pose.heading)])
        right = np.array([math.cos(pose.heading), 0.0, -math.sin(pose.heading)])
        foot = np.array([pose.x, 0.0, pose.z])
        names = list(local)
        table = np.stack([local[name] for name in names]) * self.height_m  # (J, 3) right, up, forward
        table[:, 1] -= min(0.0, float(table[:, 1].min()))
        world = (
            foot + table[:, :1] * right + table[:, 1:2] * np.array([0.0, 1.0, 0.0]) + table[:, 2:] * forward
        )
        return {name: row.astype(np.float32) for name, row in zip(names, world, strict=True)}

    def _local_joints(self, pose: Pose) -> dict[str, FloatArray]:
        """Joints in fractions of the height: right, up, forward of the point between the feet."""
        gait = self._gait(pose)
        joints: dict[str, FloatArray] = {}
        lean = gait.lean
        up = np.array([0.0, math.cos(lean), math.sin(lean)])
        across = np.array([1.0, 0.0, 0.0])
        pelvis = np.zeros(3)
        shoulders = pelvis + up * _TRUNK
        for side, sign, phase in (("l", -1.0, gait.phase), ("r", 1.0, gait.phase + math.pi)):
            ahead, tilt = _stride(phase, gait)
            swing = math.asin(ahead) + gait.crouch
            bend = gait.knee_rest + gait.knee * max(0.0, math.sin(phase - math.pi)) ** 1.5 + 2 * gait.crouch
            hip = pelvis + across * sign * _HIP
            knee = hip + _THIGH * _down(swing)
            ankle = knee + _SHANK * _down(swing - bend)
            toe = ankle + _FOOT * np.array([0.0, math.sin(tilt) - 0.28, math.cos(tilt)])
            arm = -gait.arm * math.cos(phase) + lean * 0.4
            shoulder = shoulders + across * sign * _SHOULDER - up * 0.02
            elbow = shoulder + _UPPER_ARM * _down(arm) + across * sign * 0.012
            wrist = elbow + _FOREARM * 0.86 * _down(arm + gait.elbow)
            hand = wrist + _FOREARM * 0.24 * _down(arm + gait.elbow)
            joints |= {
                f"{side}hip": hip, f"{side}knee": knee, f"{side}ankle": ankle, f"{side}toe": toe,
                f"{side}shoulder": shoulder, f"{side}elbow": elbow,
                f"{side}wrist": wrist, f"{side}hand": hand,
                f"{side}waist": pelvis + up * 0.03 + across * sign * 0.048,
                f"{side}hem": (hip + knee) / 2 * np.array([0.75, 1.0, 1.0]),
            }  # fmt: skip
        joints["neck"] = shoulders + up * 0.01
        joints["head"] = shoulders + up * (_NECK + _HEAD * 0.75)
        joints["face"] = joints["head"] + np.array([0.0, -0.012, 0.012])
        joints["crown"] = joints["head"] + np.array([0.0, 0.026, -0.008])
        back = np.array([0.0, math.sin(lean), -math.cos(lean)])
        joints["bagtop"] = shoulders + back * 0.085 - up * 0.05
        joints["bagend"] = shoulders + back * 0.09 - up * 0.19
        floor = min(float(joints[name][1]) for name in ("lankle", "rankle", "ltoe", "rtoe")) - 0.018
        lift = -floor + gait.flight * abs(math.sin(gait.phase))
        for name in joints:
            joints[name] = joints[name] + np.array([0.0, lift, 0.0])
        return _fallen(joints, gait.fallen) if gait.fallen > 0 else joints

    def _gait(self, pose: Pose) -> _Gait:
        """How far each joint swings at a pose."""
        leg = _THIGH + _SHANK
        if pose.action is Action.FALL:
            part = min(pose.action_s / _FALL_S, 1.0)
            return _Gait(self.phase, 0.12, 0.1, 0.12, 0.3, 0.5, crouch=0.35 * math.sin(part * math.pi / 2),
                         fallen=part * part * (3 - 2 * part))  # fmt: skip
        if pose.speed_m_s < 0.15:
            sway = 0.03 * math.sin(pose.action_s * 1.1 + self.phase)
            return _Gait(self.phase, 0.04, 0.03, 0.0, 0.05, 0.15 + 2 * abs(sway), lean=sway)
        running = pose.speed_m_s > 2.3
        stride = self.height_m * (
            (0.55 + 0.31 * pose.speed_m_s) if not running else (0.62 + 0.33 * pose.speed_m_s)
        )
        phase = self.phase + 2 * math.pi * pose.distance_m / stride
        reach = min(stride / self.height_m / (4 * leg) * (0.75 if running else 1.0), 0.7)
        if running:
            return _Gait(phase, reach, 0.25, 1.6, 0.7, 1.5, lean=0.16, flight=0.035)
        return _Gait(phase, reach, 0.06, 0.95, 0.30 + 0.12 * pose.speed_m_s, 0.30, lean=0.04)


@dataclass(frozen=True, slots=True)
class _Gait:
    """Angles in radians; flight as a fraction of the height; fallen 0 (upright) to 1 (on the ground).

    `reach` is the sine of the largest hip angle: how far the foot comes before the hip, in leg lengths.
    """

    phase: float
    reach: float
    knee_rest: float
    knee: float
    arm: float
    elbow: float
    lean: float = 0.0
    crouch: float = 0.0
    flight: float = 0.0
    fallen: float = 0.0


def _stride(phase: float, gait: _Gait) -> tuple[float, float]:
    """Where the ankle is before the hip, in leg lengths, and how far the foot points up, radians.

    In the first half of the cycle the foot stands: the ankle moves back at a steady speed, the body's own,
    and at the end the heel lifts. In the second half the leg swings forward.
    """
    part = (phase / math.pi) % 2.0
    if part < 1.0:
        return gait.reach * (1 - 2 * part), -0.8 * gait.reach * max(0.0, part - 0.7) / 0.3
    part -= 1.0
    return -gait.reach * math.cos(math.pi * part), gait.reach * (1.2 * part - 0.8)


def _down(angle: float) -> FloatArray:
    """(3,) unit vector hanging down, swung forward by an angle."""
    return np.array([0.0, -math.cos(angle), math.sin(angle)])


def _fallen(joints: dict[str, FloatArray], part: float) -> dict[str, FloatArray]:
    """Tip the body forward about the feet until it lies."""
    angle = part * math.radians(86)
    cos, sin = math.cos(angle), math.sin(angle)
    tipped = {
        name: np.array([right, up * cos - ahead * sin, up * sin + ahead * cos])
        for name, (right, up, ahead) in joints.items()
    }
    low = min(float(joint[1]) for joint in tipped.values())
    lift = max(0.0, 0.035 * part - low)
    return {name: joint + np.array([0.0, lift, 0.0]) for name, joint in tipped.items()}


def random_person(rng: np.random.Generator) -> Person:
    """A person with body and clothes drawn at random."""
    child = rng.random() < 0.08
    vivid = rng.random() < 0.45

    def cloth() -> FloatArray:
        grey = rng.uniform(15, 225)
        spread = 75 if vivid else 18
        return np.clip(grey + rng.uniform(-spread, spread, 3), 8, 245).astype(np.float32)

    return Person(
        height_m=float(rng.uniform(1.1, 1.4) if child else np.clip(rng.normal(1.72, 0.09), 1.5, 2.0)),
        girth=float(rng.uniform(0.92, 1.3)),
        skin=_SKIN[rng.integers(len(_SKIN))],
        hair=_HAIR[rng.integers(len(_HAIR))],
        top=cloth(),
        bottom=cloth() * (0.7 if rng.random() < 0.6 else 1.0),
        shoes=cloth() * 0.6,
        long_sleeves=bool(rng.random() < 0.7),
        long_legs=bool(rng.random() < 0.8),
        long_coat=bool(rng.random() < 0.2),
        bag=cloth() if rng.random() < 0.25 else None,
        cap=cloth() if rng.random() < 0.2 else None,
        phase=float(rng.uniform(0, 2 * math.pi)),
    )
