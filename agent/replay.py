"""`edgetrack-agent replay`: a recording through the rules again, and why they fired or did not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent.actions.recognizer import ActionRecognizer
from agent.assembly import blind_after_s, build_actions, build_tracker
from agent.config import CameraSettings, load_config
from agent.errors import ConfigError, DataError
from agent.recording import RecordedFrame, Recording, RecordingHeader
from agent.rules.masks import DetectionMasks
from agent.rules.replay import alert_line, explain_alert, replay
from agent.rules.settings import rule_names
from agent.rules.trace import Trace

_ALL = 10_000_000  # decisions kept for --explain: more than an hour-long recording makes


def replay_recording(
    path: Path,
    config: Path,
    camera: str | None,
    *,
    retrack: bool,
    explain: int | None,
    explain_rule: str | None,
) -> None:
    """Print the alerts, one JSON object a line; or, instead, the reasons of one alert or one rule.

    The same recording and configuration print the same bytes; incidents are numbered from 1. Rules are armed
    as the configuration says: a recording does not hold what was armed or disarmed by command meanwhile.

    Args:
        path: made by `run --record`.
        config: whose zones, tripwires and rules (and, to track again, tracker and masks) are used.
        camera: whose; None for that of the recording.
        retrack: track the recorded detections again instead of taking the recorded tracks and actions.
        explain: number of an incident whose reasons to print.
        explain_rule: name of a rule whose decisions to print, also those against an alert.

    Raises:
        ConfigError: the configuration, or it has no such camera, incident or rule.
        DataError: the recording.
    """
    recording = Recording(path)
    name = camera or recording.header.camera
    settings = load_config(config).cameras.get(name)
    if settings is None:
        hint = "name one with --camera"
        raise ConfigError(str(config), f"expected a camera {name!r} as in the recording, got none", hint)
    if explain_rule is not None:
        _check_rule(explain_rule, settings)
    header = recording.header
    labels = header.labels
    frames: Iterator[RecordedFrame] = iter(recording)
    if retrack:
        frames = _tracked_again(frames, settings, header, path)
    trace = Trace(_ALL) if explain is not None or explain_rule is not None else None
    found = explain is None
    seen = _with_tracks(frames, path)
    actions = header.actions
    if settings.actions is not None and (retrack or not actions):
        recognizer = build_actions(settings.actions, labels)
        if recognizer is not None:
            seen, actions = _with_actions(seen, recognizer), recognizer.labels
    blind_s = blind_after_s(settings)
    for alert in replay(seen, settings, labels, trace=trace, actions=actions, blind_after_s=blind_s):
        if trace is None:
            print(alert_line(alert))
        elif explain is not None and int(alert.incident) == explain:
            found = True
            print(alert_line(alert), *explain_alert(trace, alert), sep="\n")
    if not found:
        raise ConfigError(
            "--explain", f"expected the number of an incident, got {explain}", "replay without it first"
        )
    if explain_rule is not None and trace is not None:
        decisions = [str(decision) for decision in trace.of(explain_rule)]
        print(*decisions or [_silence(explain_rule, settings)], sep="\n")


def _check_rule(name: str, settings: CameraSettings) -> None:
    names = rule_names(settings.rules)
    if name not in names:
        known = ", ".join(names) or "none: the camera has no rules"
        raise ConfigError("--explain-rule", f"expected one of {known}, got {name}")


def _silence(name: str, settings: CameraSettings) -> str:
    """Why a rule decided nothing at all."""
    rule = settings.rules[rule_names(settings.rules).index(name)]
    if not rule.armed:
        return f"{name}: no decisions; it is not armed in the configuration"
    on_duty = " while it was on duty" if rule.schedule is not None else ""
    return f"{name}: no decisions; no object did what it looks for{on_duty}"


def _with_tracks(frames: Iterator[RecordedFrame], path: Path) -> Iterator[RecordedFrame]:
    for frame in frames:
        if frame.tracks is None:
            raise DataError(str(path), "expected tracks, got detections only", "add --retrack")
        yield frame


def _tracked_again(
    frames: Iterator[RecordedFrame], settings: CameraSettings, header: RecordingHeader, path: Path
) -> Iterator[RecordedFrame]:
    tracker = build_tracker(settings.tracker, header.score_levels)
    masks = DetectionMasks(settings.masks, header.labels)
    for frame in frames:
        if frame.detections is None:
            raise DataError(str(path), "expected detections, got tracks only", "leave out --retrack")
        detections = masks.apply(frame.detections, frame.size)
        tracks = tracker.update(detections, frame.time_s, frame.size)
        yield replace(frame, tracks=tracks, actions=None)


def _with_actions(frames: Iterator[RecordedFrame], recognizer: ActionRecognizer) -> Iterator[RecordedFrame]:
    for frame in frames:
        if frame.tracks is not None:
            yield replace(frame, actions=recognizer.update(frame.tracks, frame.time_s, frame.size))
