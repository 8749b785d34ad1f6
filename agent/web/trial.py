"""What a rule would have told on the tracks of the last minutes, before anybody saves it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from agent.config import CameraSettings, make_section
from agent.recording import RecordedFrame
from agent.records import Alert, Phase, TrackState
from agent.rules.replay import replay
from agent.rules.settings import RulesSettings
from agent.settings import Name, Section

_MAX_EVENTS = 200
_PATH_GAP_S = 2.0
_PATH_STEP = 0.01  # of the picture's width or height: nearer points are left out
_MAX_PATHS = 150


class Draft(Section):
    """What was drawn: a place, and the rule that is to watch it."""

    place: Literal["zone", "tripwire"]
    """What it is."""
    name: Name
    """How it is called."""
    shape: dict[str, Any] = Field(max_length=20)
    """As below `zones` or `tripwires`."""
    rule: dict[str, Any] | None = Field(default=None, max_length=40)
    """As below `rules`, without its place; None: only the place."""

    @property
    def section(self) -> str:
        """Where the place belongs in a camera's section."""
        return f"{self.place}s"

    def content(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The place's settings and the rule's, as they stand in the file."""
        if self.rule is None:
            return self.shape, None
        kind, rest = (
            self.rule.get("kind"),
            {k: v for k, v in self.rule.items() if k not in ("kind", self.place)},
        )
        return self.shape, {"kind": kind, self.place: self.name, **rest}


class Removal(Section):
    """A place that is to go, with the rules that watch it."""

    place: Literal["zone", "tripwire"]
    """What it is."""
    name: Name
    """How it is called."""

    @property
    def section(self) -> str:
        """Where the place stands in a camera's section."""
        return f"{self.place}s"


class Superseded(Exception):  # noqa: N818 - no error: a newer question is there
    """A trial was given up for a newer one."""


def draft_of(content: Any) -> Draft:
    """A draft as the page sends it.

    Raises:
        ConfigError: with all faults.
    """
    values = content if isinstance(content, Mapping) else {}
    draft = make_section(Draft, values, named=_dotted)
    points = draft.shape.get("points")
    if isinstance(points, list) and len(points) > 100:
        draft.shape["points"] = points[:101]  # enough to be refused by, too few to be slow
    return draft


def removal_of(content: Any) -> Removal:
    """A removal as the page sends it.

    Raises:
        ConfigError: with all faults.
    """
    return make_section(Removal, content if isinstance(content, Mapping) else {}, named=_dotted)


def settings_with(camera: CameraSettings, draft: Draft) -> RulesSettings:
    """The camera's zones and tripwires with the drawn one among them, and the drawn rule alone.

    Without a drawn rule those that the place has already.

    Raises:
        ConfigError: with all faults.
    """
    shape, rule = draft.content()
    places = {"zones": dict(camera.zones), "tripwires": dict(camera.tripwires)}
    places[draft.section] = {**places[draft.section], draft.name: shape}  # type: ignore[dict-item]
    values = {
        "timezone": camera.timezone,
        "ground": camera.ground,
        "rejoin_s": camera.rejoin_s,
        **places,
        "rules": [rule] if rule else [own for own in camera.rules if draft.name in own.places],
    }
    return make_section(RulesSettings, values, named=_dotted)


def _dotted(place: Iterable[str | int]) -> str:
    return ".".join(str(part) for part in place)


def try_rules(
    frames: tuple[RecordedFrame, ...],
    settings: RulesSettings,
    labels: tuple[str, ...],
    superseded: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """What the rules make of remembered tracks.

    Args:
        frames: oldest first.
        settings: zones, tripwires and rules.
        labels: class names of the detector.
        superseded: whether nobody waits for the answer any more.

    Returns:
        JSON types: `fired`, how many incidents; `span_s` of the frames; `objects`, confirmed tracks among
        them; `events`, a few facts of each, `ago_s` before the last frame.

    Raises:
        ConfigError: a rule names a class that the detector does not have.
        Superseded: nobody waits.
    """
    alerts = [
        alert
        for alert in replay(_gently(frames, superseded), settings, labels)
        if alert.phase in (Phase.START, Phase.INSTANT)
    ]
    end_s = frames[-1].time_s if frames else 0.0
    confirmed: set[int] = set()
    for frame in frames:
        if frame.tracks is not None and len(frame.tracks):
            confirmed.update(frame.tracks.ids[frame.tracks.states == TrackState.CONFIRMED].tolist())
    return {
        "fired": len(alerts),
        "span_s": round(end_s - frames[0].time_s, 1) if frames else 0.0,
        "objects": len(confirmed),
        "events": [_event(alert, end_s) for alert in alerts[-_MAX_EVENTS:]],
    }


def _gently(frames: tuple[RecordedFrame, ...], superseded: Callable[[], bool]) -> Iterator[RecordedFrame]:
    """Lets the cameras' threads go first between two frames."""
    for frame in frames:
        if superseded():
            raise Superseded
        time.sleep(0)
        yield frame


def _event(alert: Alert, end_s: float) -> dict[str, Any]:
    event: dict[str, Any] = {"ago_s": round(end_s - alert.started_s, 2), "kind": alert.kind}
    if alert.track is not None:
        width, height = alert.frame_size
        path = [[round(x / width, 4), round(y / height, 4)] for x, y in alert.track.path]
        event.update(label=alert.track.label, track=alert.track.id, path=path)
    if (direction := alert.evidence.get("direction")) is not None:
        event["direction"] = str(direction)
    return event


def paths_of(frames: tuple[RecordedFrame, ...]) -> list[list[list[float]]]:
    """Where things went: the feet of each confirmed track, as fractions of the picture, simplified.

    Returns:
        The last paths; each a list of [x, y].
    """
    paths: list[list[list[float]]] = []
    growing: dict[int, tuple[float, list[list[float]]]] = {}
    for frame in frames:
        tracks = frame.tracks
        if tracks is None or not len(tracks):
            continue
        tracks = tracks.visible
        width, height = frame.size
        feet = np.stack(
            [(tracks.boxes[:, 0] + tracks.boxes[:, 2]) / (2 * width), tracks.boxes[:, 3] / height], 1
        )
        for identity, (x, y) in zip(tracks.ids.tolist(), feet.tolist(), strict=True):
            last_s, path = growing.get(identity, (-1e9, []))
            if frame.time_s - last_s > _PATH_GAP_S:
                path = []
                paths.append(path)
            if not path or max(abs(path[-1][0] - x), abs(path[-1][1] - y)) >= _PATH_STEP:
                path.append([round(x, 3), round(y, 3)])
            growing[identity] = (frame.time_s, path)
    return [path for path in paths if len(path) > 1][-_MAX_PATHS:]
