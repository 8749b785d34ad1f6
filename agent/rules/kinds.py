"""From a rule's section to the rule."""

from __future__ import annotations

from agent.rules.abandoned import Abandoned
from agent.rules.crowd import Crowd
from agent.rules.dwell import Dwell
from agent.rules.left_scene import LeftScene
from agent.rules.occupancy import Occupancy
from agent.rules.removed import Removed
from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import (
    AbandonedRule,
    CrowdRule,
    DwellRule,
    LeftSceneRule,
    OccupancyRule,
    RemovedRule,
    RuleBase,
    SequenceRule,
    SpeedRule,
    StoppedRule,
    TripwireRule,
    WrongWayRule,
    ZoneRule,
)
from agent.rules.scene_settings import Ground
from agent.rules.sequence import Sequence
from agent.rules.speed import Speed
from agent.rules.stopped import Stopped
from agent.rules.tripwire import Tripwire
from agent.rules.wrong_way import WrongWay
from agent.rules.zone import Zone


def make_rule(
    row: int, name: str, rule: RuleBase, scene: Scene, *, ground: Ground | None, labels: tuple[str, ...]
) -> Rule:
    """The rule that a section describes.

    Args:
        row, name: among the camera's rules.
        rule: its section.
        scene: the shared facts.
        ground: of the camera.
        labels: class names of the model.

    Raises:
        ConfigError: it names a class that the model does not have.
    """
    match rule:
        case ZoneRule():
            return Zone(row, name, rule, scene)
        case TripwireRule():
            return Tripwire(row, name, rule, scene)
        case DwellRule():
            return Dwell(row, name, rule, scene)
        case OccupancyRule():
            return Occupancy(row, name, rule, scene)
        case CrowdRule():
            return Crowd(row, name, rule, scene)
        case WrongWayRule():
            return WrongWay(row, name, rule, scene)
        case SpeedRule():
            return Speed(row, name, rule, scene, ground)
        case StoppedRule():
            return Stopped(row, name, rule, scene)
        case AbandonedRule():
            return Abandoned(row, name, rule, scene, labels)
        case RemovedRule():
            return Removed(row, name, rule, scene)
        case SequenceRule():
            return Sequence(row, name, rule, scene)
        case LeftSceneRule():
            return LeftScene(row, name, rule, scene)
    raise TypeError(f"rule {name}: expected a kind of rule, got {type(rule).__name__}")
