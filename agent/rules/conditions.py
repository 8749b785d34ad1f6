"""The conditions that every rule may put on objects, for all rules and objects at once."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from agent.errors import ConfigError
from agent.records import BoolArray
from agent.rules.doings import Doings
from agent.rules.objects import ObjectTable
from agent.rules.rule_settings import RuleBase

_WAVERS_S = 2.0
"""An open incident outlasts a wrong size or action for so long: boxes and scores tremble at their limits."""


class Conditions:
    """Which objects each rule looks at.

    Class, best score and age belong to the object: what it did shortly before they were met is told once they
    are (see `Awaited`).
    Its size and its action belong to the moment: what happened while it was too small or did something else
    is not told. An incident that has begun ends once they were wrong for two seconds without a break.

    Args:
        names: of the rules.
        rules: their settings.
        labels: class names of the model; empty when they are not known.
        table: the objects.
        doings: what they do.

    Raises:
        ConfigError: a rule names a class that the model does not have.
    """

    def __init__(
        self,
        names: Sequence[str],
        rules: Sequence[RuleBase],
        labels: Sequence[str],
        table: ObjectTable,
        doings: Doings,
    ) -> None:
        self._table = table
        self._doings = doings
        self._rules = tuple(rules)
        self._labels = tuple(labels)
        for name, rule in zip(names, rules, strict=True):
            for label in rule.labels:
                check_label(f"rule {name} labels", label, labels)
        allowed = np.ones((len(self._rules), len(self._labels) + 1), np.bool_)
        for row, rule in enumerate(self._rules):
            if rule.labels:
                allowed[row] = [label in rule.labels for label in self._labels] + [False]
        self._allowed = allowed  # (R, L + 1); the last column is a class beyond the list
        self._min_score = np.array([[rule.min_score] for rule in self._rules]).reshape(-1, 1)
        self._min_age_s = np.array([[rule.min_age_s] for rule in self._rules]).reshape(-1, 1)
        self._min_area = np.array([[rule.min_area] for rule in self._rules]).reshape(-1, 1)
        self._max_area = np.array([[rule.max_area] for rule in self._rules]).reshape(-1, 1)
        self._any_score = bool((self._min_score > 0).any())
        self._any_age = bool((self._min_age_s > 0).any())
        self._any_area = bool((self._min_area > 0).any() or (self._max_area < 1).any())
        self._minds_moment = self._any_area or doings.asked
        self._sized_s = table.column(np.float64, -np.inf, len(self._rules) if self._minds_moment else 0)
        self.meant: BoolArray = np.zeros((len(self._rules), table.capacity), np.bool_)
        """(R, C) believed, and of the class, score and age that the rule asks for."""
        self.sized: BoolArray = self.meant
        """(R, C) of the size that the rule asks for, and doing what it asks for."""
        self.counted: BoolArray = self.meant
        """(R, C) both, and present."""
        self.lasting: BoolArray = self.counted
        """(R, C) the same, `sized` now or a moment ago; the same array where no rule asks for that."""

    def update(self) -> None:
        """Look at the objects of this frame."""
        table = self._table
        columns = np.where((table.labels >= 0) & (table.labels < len(self._labels)), table.labels, -1)
        self.meant = self._allowed[:, columns]
        self.meant &= table.believed
        if self._any_score:
            self.meant &= table.best_scores >= self._min_score - 1e-6  # scores are float32
        if self._any_age:
            self.meant &= table.time_s - table.first_s >= self._min_age_s
        if self._any_area:
            areas = self._areas()
            self.sized = (areas >= self._min_area) & (areas <= self._max_area)
        else:
            self.sized = np.ones_like(self.meant)
        if self._doings.asked:
            self.sized &= self._doings.suits()
        self.counted = self.lasting = self.meant & table.present
        if self._minds_moment:
            np.copyto(self._sized_s.data, table.time_s, where=self.sized)
            self.lasting = self.counted & (table.time_s - self._sized_s.data < _WAVERS_S - 1e-9)
            self.counted &= self.sized

    def _areas(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(C,) part of the picture that each box covers."""
        width, height = self._table.frame_size
        areas: np.ndarray[Any, np.dtype[np.float64]] = np.minimum(
            self._table.sizes**2 * (height / width), 1.0
        )
        return areas

    def unmet(self, row: int, slot: int) -> dict[str, Any]:
        """The conditions of one rule that one object does not meet, with its own values."""
        table, rule = self._table, self._rules[row]
        label = int(table.labels[slot])
        name = self._labels[label] if 0 <= label < len(self._labels) else str(label)
        score, age_s = float(table.best_scores[slot]), float(table.time_s - table.first_s[slot])
        area = float(self._areas()[slot])
        unmet: dict[str, Any] = {}
        if not table.believed[slot]:
            unmet["confirmed"] = False
        if rule.labels and name not in rule.labels:
            unmet["label"] = name
        if score < rule.min_score - 1e-6:
            unmet["best_score"] = score
        if age_s < rule.min_age_s:
            unmet["age_s"] = age_s
        if not rule.min_area <= area <= rule.max_area:
            unmet["area"] = area
        if rule.actions:
            action, score = self._doings.of(slot) or ("not known", 0.0)
            if action not in rule.actions or score < rule.min_action_score - 1e-6:
                unmet |= {"action": action, "action_score": score}
        return unmet


def check_label(where: str, label: str, labels: Sequence[str]) -> None:
    """Refuse a class that the model does not have.

    Raises:
        ConfigError: `labels` is not empty and `label` is not in it.
    """
    if not labels or label in labels:
        return
    near = difflib.get_close_matches(label, labels, 1)
    shown = ", ".join(labels[:8]) + (" …" if len(labels) > 8 else "")
    hint = f"did you mean {near[0]}?" if near else ""
    raise ConfigError(where, f"expected classes of the model ({shown}), got {label!r}", hint)
