"""What the objects do, as the action model says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.errors import ConfigError
from agent.geometry.polygons import Float64Array
from agent.records import Actions, BoolArray, IntArray, Tracks
from agent.rules.objects import ObjectTable
from agent.rules.rule_settings import RuleBase


class Doings:
    """The last known action of every object, and which rules it suits.

    Args:
        names: of the rules.
        rules: their settings.
        labels: names of the actions; empty where the camera has no action model.
        table: the objects.

    Raises:
        ConfigError: a rule names an action that the model does not know.
    """

    def __init__(
        self, names: Sequence[str], rules: Sequence[RuleBase], labels: Sequence[str], table: ObjectTable
    ) -> None:
        self._table = table
        self._rules = tuple(rules)
        self.labels = tuple(labels)
        for name, rule in zip(names, rules, strict=True):
            for action in rule.actions:
                if action not in self.labels:
                    known = ", ".join(self.labels) or "none: the camera has no `actions`"
                    raise ConfigError(
                        f"rule {name} actions", f"expected actions of the model ({known}), got {action!r}"
                    )
        self.asked = any(rule.actions for rule in rules)
        """Whether any rule minds what objects do."""
        self._allowed = np.array(
            [[not rule.actions or label in rule.actions for label in (*labels, "")] for rule in rules],
            np.bool_,
        ).reshape(
            len(self._rules), len(self.labels) + 1
        )  # (R, A + 1); the last column is an action that is not known
        self._min_score = np.array([[rule.min_action_score * bool(rule.actions)] for rule in rules])
        self._min_score = self._min_score.reshape(-1, 1)
        self._actions = table.column(np.int64, -1)
        self._scores = table.column(np.float64, 0)

    def observe(self, tracks: Tracks, actions: Actions) -> None:
        """Take in what the tracks of this frame do, after the table has taken in the tracks."""
        rows, slots = (tracks.ids[:, None] == self._table.ids).nonzero()  # an id stands in one slot at most
        self._actions.data[slots] = actions.labels[rows]
        self._scores.data[slots] = actions.scores[rows]

    def suits(self) -> BoolArray:
        """(R, C) objects that do what each rule asks for."""
        suited: BoolArray = self._allowed[:, self.actions]
        suited &= self.scores >= self._min_score - 1e-6  # scores are float32
        return suited

    @property
    def actions(self) -> IntArray:
        """(C,) index into `labels`; -1 where nothing is known."""
        data: IntArray = self._actions.data
        return data

    @property
    def scores(self) -> Float64Array:
        """(C,) of the action."""
        data: Float64Array = self._scores.data
        return data

    def of(self, slot: int) -> tuple[str, float] | None:
        """Action and score of one object; None where nothing is known."""
        action = int(self.actions[slot])
        return (self.labels[action], float(self.scores[slot])) if action >= 0 else None
