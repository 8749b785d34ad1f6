"""From a rule's section to the rule."""

from __future__ import annotations

from agent.rules.rule import Rule, Scene
from agent.rules.rule_settings import RuleBase, TripwireRule, ZoneRule
from agent.rules.settings import RulesSettings
from agent.rules.tripwire import Tripwire
from agent.rules.zone import Zone


def make_rule(
    row: int, name: str, rule: RuleBase, scene: Scene, settings: RulesSettings, labels: tuple[str, ...]
) -> Rule:
    """The rule that a section describes.

    Args:
        row, name: among the camera's rules.
        rule: its section.
        scene: the shared facts.
        settings: of the whole camera.
        labels: class names of the model.
    """
    match rule:
        case ZoneRule():
            return Zone(row, name, rule, scene)
        case TripwireRule():
            return Tripwire(row, name, rule, scene)
    raise TypeError(f"rule {name}: expected a kind of rule, got {type(rule).__name__}")
