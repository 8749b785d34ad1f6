"""Why a rule fired or did not: a bounded record of what decided."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Decision:
    """One step of a rule's reasoning.

    Args:
        time_s: monotonic time of the frame.
        rule: name.
        track: id of the object's track; None for a whole zone or camera.
        step: what happened: "entered", "crossed", "waits", "told", "silent" …
        values: times, places and conditions that decided, JSON types only.
    """

    time_s: float
    rule: str
    track: int | None
    step: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        values = ", ".join(f"{key} {_shown(value)}" for key, value in self.values.items())
        who = "" if self.track is None else f" track {self.track}"
        return f"{self.time_s:.3f} s {self.rule}{who}: {self.step}" + (f" ({values})" if values else "")


class Trace:
    """The last decisions of all rules of a camera.

    Args:
        length: how many are kept.
    """

    def __init__(self, length: int = 10_000) -> None:
        self._decisions: deque[Decision] = deque(maxlen=length)

    def add(self, decision: Decision) -> None:
        """Keep one more, dropping the oldest when full."""
        self._decisions.append(decision)

    def __len__(self) -> int:
        return len(self._decisions)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._decisions)

    def of(self, rule: str, track: int | None = None, until_s: float = float("inf")) -> list[Decision]:
        """The decisions of one rule, of one track only if given, up to a time."""
        return [
            decision
            for decision in self._decisions
            if decision.rule == rule
            and (track is None or decision.track in (track, None))
            and decision.time_s <= until_s
        ]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return str(value)
