"""`edgetrack-agent watch`: alerts as they come, as a live table or as JSON lines."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.alerts.schema import AlertPayload
from agent.alerts.settings import BrokerSettings
from agent.alerts.track_stream import TracksPayload
from agent.client import AlertClient
from agent.client_events import AlertFilter, DeviceStatus, Event, SequenceGap, SnapshotPicture
from agent.config import load_config, make_section
from agent.errors import ConfigError
from agent.rules.rule_settings import AnyRule
from agent.snapshot_folder import SnapshotFolder

_OWN_KINDS = ("device", "gap", "test")
"""Of alerts that no rule makes: a device of a camera changed, alerts were dropped, `test_alert`."""
_ROWS = 20
_FRAME_LINES = 6
"""Lines of the screen that hold no alert: title, heading, rules, the cursor's own."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What to show, and how.

    Args:
        json_lines: one JSON object a line instead of the table.
        count: stop after this many alerts.
        device: of this device only; None: of all.
        only: which alerts.
        tracks: show the stream of tracks too.
        snapshots: folder for the alerts' pictures.
        share_group: split the alerts with the other receivers of this group.
        acknowledge: tell devices that they may forget what was shown (their `broker.acknowledge: receiver`).
    """

    json_lines: bool = False
    count: int | None = None
    device: str | None = None
    only: AlertFilter = field(default_factory=AlertFilter)
    tracks: bool = False
    snapshots: Path | None = None
    share_group: str | None = None
    acknowledge: bool = False


def watch_alerts(broker_url: str | None, config: Path | None, options: WatchOptions) -> None:
    """Show alerts until stopped, and what was missing at the end.

    Args:
        broker_url: of the broker; None takes that of `config`, or localhost.
        config: a configuration file, for its broker and password.
        options: what to show.

    Raises:
        BrokerError: it cannot be reached, or refuses.
        ConfigError: the file, the URL, or a kind that no alert has.
        StorageError: the folder for pictures.
    """
    _check_kinds(options.only.kinds)
    broker = load_config(config).broker if config is not None else BrokerSettings()
    if broker_url is not None:
        given = {**broker.model_dump(exclude_unset=True), "url": broker_url}
        broker = make_section(BrokerSettings, given, named=lambda _: "--broker")
    folder = SnapshotFolder(options.snapshots) if options.snapshots is not None else None
    client = AlertClient(
        broker,
        device=options.device or "+",
        share_group=options.share_group,
        acknowledge=options.acknowledge,
        only=options.only,
        snapshots=folder is not None,
        tracks=options.tracks,
    )
    console = Console(highlight=False)
    shown = 0
    with client, suppress(KeyboardInterrupt):
        limits = f", only {options.only}" if str(options.only) else ""
        _say(f"watching {broker.url}, topics {broker.topic_root}/{options.device or '+'}/+/alerts{limits}")
        screen = _Lines(options) if options.json_lines or not console.is_terminal else _Screen(console)
        with screen, _telling_gaps(client, screen):
            for event in client.events():
                if isinstance(event, SnapshotPicture):
                    if folder is not None:
                        folder.take_picture(event)
                    continue
                if folder is not None and isinstance(event, AlertPayload):
                    folder.take_alert(event)
                screen.show(event)
                shown += isinstance(event, AlertPayload)
                if shown == options.count:
                    break
    _say(_summary(client, shown, folder, options))


def alert_kinds() -> tuple[str, ...]:
    """Every kind that an alert can have: those of the rules, and the device's own."""
    rules = (get_args(rule.model_fields["kind"].annotation)[0] for rule in get_args(get_args(AnyRule)[0]))
    of = {"zone": ("enter", "leave", "inside"), "tripwire": ("cross",)}
    return (*(kind for rule in rules for kind in of.get(rule, (rule,))), *_OWN_KINDS)


def _check_kinds(patterns: tuple[str, ...]) -> None:
    """Raise a ConfigError for a name or pattern that fits no kind: nothing would ever be shown."""
    known = alert_kinds()
    for pattern in patterns:
        if not any(fnmatchcase(kind, pattern) for kind in known):
            near = get_close_matches(pattern, known, 1)
            hint = f"did you mean {near[0]}?" if near else ""
            raise ConfigError("--kind", f"expected one of {', '.join(known)}, got {pattern}", hint)


def _summary(client: AlertClient, shown: int, folder: SnapshotFolder | None, options: WatchOptions) -> str:
    gaps = "gaps are not seen with --share" if options.share_group else f"{client.missing} missing"
    parts = [f"{shown} alerts", gaps, f"{client.repeats} repeats"]
    if client.invalid:
        parts.append(f"{client.invalid} messages that were none")
    if folder is not None:
        parts.append(f"{folder.saved} pictures in {options.snapshots}")
        if folder.waiting:
            parts.append(f"{folder.waiting} that did not come")
    return ", ".join(parts)


@contextmanager
def _telling_gaps(client: AlertClient, screen: _Lines | _Screen) -> Iterator[None]:
    """Show at the end what is missing by then."""
    try:
        yield
    finally:
        for gap in client.untold_gaps():
            screen.show(gap)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Lines:
    """Lines on standard output: alerts and tracks; gaps and states go to standard error."""

    def __init__(self, options: WatchOptions) -> None:
        self._json = options.json_lines

    def show(self, event: Event) -> None:
        if isinstance(event, AlertPayload):
            print(event.to_json().decode() if self._json else alert_line(event), flush=True)
        elif isinstance(event, TracksPayload):
            print(event.to_json().decode() if self._json else tracks_line(event), flush=True)
        else:
            _say(_printable(str(event)))

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Screen:
    """The last alerts and gaps as a table, the devices and what is in sight below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: deque[AlertPayload | SequenceGap] = deque(maxlen=_ROWS)
        self._devices: dict[str, DeviceStatus] = {}
        self._in_sight: dict[tuple[str, str], str] = {}
        self._alerts = self._missing = 0
        self._live = Live(self._picture(), console=console, auto_refresh=False)

    def show(self, event: Event) -> None:
        if isinstance(event, AlertPayload | SequenceGap):
            self._rows.append(event)
            self._alerts += isinstance(event, AlertPayload)
            self._missing += 0 if isinstance(event, AlertPayload) else event.last - event.first + 1
        elif isinstance(event, DeviceStatus):
            self._devices[event.device] = event
        elif isinstance(event, TracksPayload):
            self._in_sight[event.device, event.camera] = tracks_line(event)
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        missing = f", {self._missing} missing" if self._missing else ""
        title = f"{self._alerts} alerts{missing}"
        below = [*(_printable(str(status)) for status in self._devices.values()), *self._in_sight.values()]
        table = Table(title=title)
        for heading in ("time", "device", "camera", "rule", "what", "where", "object", "age"):
            table.add_column(heading, no_wrap=True)
        room = max(self._console.height - _FRAME_LINES - len(below), 1)  # the newest stay on the screen
        for row in list(self._rows)[-room:]:
            if isinstance(row, SequenceGap):
                table.add_row(*_gap_cells(row), style="bold red")
            else:
                table.add_row(*_cells(row))
        return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in below))

    def __enter__(self) -> _Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def _cells(alert: AlertPayload) -> tuple[Text, ...]:
    track = alert.track
    cells = (
        _clock(alert),
        alert.device,
        alert.camera,
        alert.rule,
        _what(alert),
        alert.zone or alert.tripwire or "",
        f"{track.label} {track.id} ({track.score:.2f})" if track else "",
        f"{track.age_s:.1f} s" if track else "",
    )
    return tuple(Text(_printable(cell)) for cell in cells)


def _gap_cells(gap: SequenceGap) -> tuple[Text, ...]:
    count = gap.last - gap.first + 1
    cells = ("", gap.device, "", f"{count} alerts missing", f"{gap.first} to {gap.last}")
    return tuple(Text(_printable(cell)) for cell in cells)


def alert_line(alert: AlertPayload) -> str:
    """One alert as a line for people."""
    track = alert.track
    parts = [
        _clock(alert),
        f"{alert.device} {alert.camera}: {alert.rule}",
        " ".join(part for part in (_what(alert), alert.zone or alert.tripwire) if part),
        str(alert.evidence.get("direction", "")),
        f"{track.label} {track.id} ({track.score:.2f}, seen for {track.age_s:.1f} s)" if track else "",
    ]
    return _printable("  ".join(part for part in parts if part))


def tracks_line(tracks: TracksPayload) -> str:
    """What is in sight of a camera as a line for people."""
    objects = ", ".join(
        f"{track.label} {track.id}{' (lost)' if track.state == 'lost' else ''}" for track in tracks.tracks
    )
    return _printable(f"{tracks.device} {tracks.camera} in sight: {objects or 'nothing'}")


def _printable(text: str) -> str:
    """What comes over the network gives a terminal no orders."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _what(alert: AlertPayload) -> str:
    return alert.kind if alert.phase == "instant" else f"{alert.kind} {alert.phase}"


def _clock(alert: AlertPayload) -> str:
    return alert.time.astimezone().strftime("%H:%M:%S")
