"""What alerts tell of, and how much of it is true: precision and recall."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from agent.records import Alert, Phase, Tracks
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings

WITHIN_S = 1.5
MIN_OVERLAP = 0.5
_FAR = 1e6


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened, or an alert says so.

    Args:
        rule: its name.
        kind: of the alert.
        begin_s: when; for what lasts, its begin.
        end_s: its end; None for what is told at once. A true one that is told at once may have an end: the
            time until which it may be told.
        who: id of the object, of the truth or of a track; None where nobody says.
    """

    rule: str
    kind: str
    begin_s: float
    end_s: float | None = None
    who: int | None = None


Frames = Iterable[tuple[float, Tracks]]
SamePerson = Callable[[Happening, Happening], bool]
"""Of a found and a true one."""


def told(
    frames: Frames, rules: RulesSettings, labels: tuple[str, ...], size: tuple[int, int]
) -> list[Happening]:
    """What the rules tell; incidents that are open at the end last until then."""
    numbers = itertools.count()
    engine = RuleEngine(rules, labels=labels, new_id=lambda: str(next(numbers)))
    alerts: list[Alert] = []
    time_s = 0.0
    for time_s, tracks in frames:
        alerts += engine.update(tracks, time_s, time_s, size)
    alerts += engine.close(time_s, time_s)
    ends = {alert.incident: alert.time_s for alert in alerts if alert.phase == Phase.END}
    found = []
    for alert in alerts:
        who = alert.track.id if alert.track is not None else None
        if alert.phase == Phase.INSTANT:
            found.append(Happening(alert.rule, alert.kind, _moment(alert), None, who))
        elif alert.phase == Phase.START:
            found.append(
                Happening(alert.rule, alert.kind, alert.started_s, ends.get(alert.incident, time_s), who)
            )
    return found


def _moment(alert: Alert) -> float:
    """When it happened: its own time where the rule waited for certainty."""
    for key in ("at_s", "last_seen_s"):
        if key in alert.evidence:
            return float(alert.evidence[key])
    return alert.time_s


def right(found: list[Happening], true: list[Happening], same: SamePerson) -> int:
    """How many of `found` are true, each of `true` used once.

    What happens at once must be told within 1.5 s; what lasts must share half of the time that both take up
    together (temporal IoU, as action detection is scored).
    """
    if not found or not true:
        return 0
    cost = np.array([[_cost(alert, other, same) for other in true] for alert in found])
    pairs = linear_sum_assignment(cost)
    return int((cost[pairs] < _FAR).sum())


def _cost(found: Happening, true: Happening, same: SamePerson) -> float:
    if found.who is not None and true.who is not None and not same(found, true):
        return _FAR
    if found.end_s is None:
        latest_s = true.begin_s if true.end_s is None else true.end_s
        apart_s = max(true.begin_s - found.begin_s, found.begin_s - latest_s, 0.0)
        return apart_s if apart_s <= WITHIN_S else _FAR
    if true.end_s is None:
        return _FAR
    shared = min(found.end_s, true.end_s) - max(found.begin_s, true.begin_s)
    together = max(found.end_s, true.end_s) - min(found.begin_s, true.begin_s)
    return 1.0 - shared / together if shared >= MIN_OVERLAP * together else _FAR
