"""The command `edgetrack-agent watch`; what it needs is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Names = list[str] | None


def watch(
    broker: Annotated[str | None, typer.Option("--broker", help="mqtt://host[:port] or mqtts://…")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Take the broker and its password from this file.")
    ] = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of the table.")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many alerts.")] = None,
    device: Annotated[str | None, typer.Option(help="Only of this device.")] = None,
    camera: Annotated[
        Names, typer.Option(help="Only of this camera; may be repeated, as may all names below.")
    ] = None,
    rule: Annotated[Names, typer.Option(help="Only of this rule; * and ? stand for any letters.")] = None,
    kind: Annotated[Names, typer.Option(help="Only of this kind: enter, cross, dwell …")] = None,
    phase: Annotated[Names, typer.Option(help="Only start, update, end or instant.")] = None,
    label: Annotated[Names, typer.Option(help="Only about objects of this class.")] = None,
    min_score: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Only about objects with at least this score.")
    ] = 0.0,
    tracks: Annotated[
        bool, typer.Option("--tracks", help="Objects in sight too, of cameras with track_stream_per_s.")
    ] = False,
    follow_snapshots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the pictures of the shown alerts in this folder.")
    ] = None,
    share: Annotated[
        str | None,
        typer.Option(metavar="GROUP", help="Split the alerts with the other receivers of this group."),
    ] = None,
    acknowledge: Annotated[
        bool,
        typer.Option(
            "--acknowledge", help="Be the receiver of devices with broker.acknowledge: receiver; they forget."
        ),
    ] = False,
) -> None:
    """Subscribe and show alerts as they come; says at the end what was missing."""
    from agent.client_events import AlertFilter
    from agent.watch import WatchOptions, watch_alerts

    only = AlertFilter(
        cameras=tuple(camera or ()),
        rules=tuple(rule or ()),
        kinds=tuple(kind or ()),
        phases=tuple(phase or ()),
        labels=tuple(label or ()),
        min_score=min_score,
    )
    options = WatchOptions(
        json_lines=json_lines,
        count=count,
        device=device,
        only=only,
        tracks=tracks,
        snapshots=follow_snapshots,
        share_group=share,
        acknowledge=acknowledge,
    )
    watch_alerts(broker, config, options)
