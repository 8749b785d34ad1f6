"""Recorded tracks through the rules again: the same recording and settings give the same alerts."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator

from agent.recording import RecordedFrame
from agent.records import Alert
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings
from agent.rules.trace import Decision, Trace


def numbered_ids() -> Callable[[], str]:
    """Incident ids that a replay gives again: numbers in the form of a ULID."""
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):026d}"


def replay(
    frames: Iterable[RecordedFrame],
    settings: RulesSettings,
    labels: tuple[str, ...],
    *,
    new_id: Callable[[], str] | None = None,
    trace: Trace | None = None,
    actions: tuple[str, ...] = (),
    blind_after_s: float | None = None,
) -> Iterator[Alert]:
    """What the rules make of recorded tracks; incidents that are open at the end are ended.

    Args:
        frames: with tracks, in the order of time.
        settings: zones, tripwires and rules.
        labels: class names of the recording.
        new_id: of incidents; None: `numbered_ids`.
        trace: where to keep the reasoning, or None.
        actions: names of the actions in the recording; empty when it has none.
        blind_after_s: see `RuleEngine`.

    Raises:
        ValueError: a frame has no tracks.
        ConfigError: a rule names a class or an action that the recording does not have.
    """
    engine = RuleEngine(
        settings,
        labels=labels,
        new_id=new_id or numbered_ids(),
        trace=trace,
        actions=actions,
        blind_after_s=blind_after_s,
    )
    frame = None
    for frame in frames:
        if frame.tracks is None:
            raise ValueError(f"frame {frame.index}: expected tracks, got detections only; track them first")
        yield from engine.update(frame.tracks, frame.time_s, frame.wall_s, frame.size, frame.actions)
    if frame is not None:
        yield from engine.close(frame.time_s, frame.wall_s)


def alert_line(alert: Alert) -> str:
    """One alert as one line of JSON, keys sorted: equal alerts give equal lines."""
    return json.dumps(dataclasses.asdict(alert), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def explain_alert(trace: Trace, alert: Alert) -> list[Decision]:
    """The decisions that led to an alert, oldest first: those of its rule about its track, up to its time."""
    return trace.of(alert.rule, None if alert.track is None else alert.track.id, alert.time_s)
