"""`edgetrack-agent watch`: alerts as they come, as a live table or as JSON lines."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from agent.alerts.schema import AlertPayload
from agent.alerts.settings import BrokerSettings
from agent.client import AlertClient
from agent.config import load_config, make_section

_ROWS = 20


def watch_alerts(
    broker_url: str | None,
    config: Path | None,
    *,
    json_lines: bool,
    count: int | None,
    acknowledge: bool = False,
) -> None:
    """Show alerts until stopped.

    Args:
        broker_url: of the broker; None takes that of `config`, or localhost.
        config: a configuration file, for its broker and password.
        json_lines: one JSON object a line instead of the table.
        count: stop after this many.
        acknowledge: tell devices that they may forget what was shown (their `broker.acknowledge: receiver`).

    Raises:
        BrokerError: it cannot be reached, or refuses.
        ConfigError: the file or the URL.
    """
    broker = load_config(config).broker if config is not None else BrokerSettings()
    if broker_url is not None:
        broker = make_section(BrokerSettings, {**broker.model_dump(exclude_unset=True), "url": broker_url})
    console = Console(highlight=False)
    with AlertClient(broker, acknowledge=acknowledge) as client, suppress(KeyboardInterrupt):
        print(f"watching {broker.url}, topics {broker.topic_root}/+/+/alerts", file=sys.stderr, flush=True)
        if json_lines or not console.is_terminal:
            for number, alert in enumerate(client.alerts(), 1):
                print(alert.to_json().decode() if json_lines else alert_line(alert), flush=True)
                if number == count:
                    return
        else:
            _show_table(client, console, count)


def _show_table(client: AlertClient, console: Console, count: int | None) -> None:
    rows: deque[AlertPayload] = deque(maxlen=_ROWS)
    with Live(_table(rows, 0), console=console, auto_refresh=False) as live:
        for number, alert in enumerate(client.alerts(), 1):
            rows.append(alert)
            live.update(_table(rows, number), refresh=True)
            if number == count:
                return


def _table(rows: deque[AlertPayload], total: int) -> Table:
    table = Table(
        "time", "device", "camera", "rule", "what", "where", "object", "age", title=f"{total} alerts"
    )
    for alert in rows:
        track = alert.track
        table.add_row(
            _clock(alert),
            alert.device,
            alert.camera,
            alert.rule,
            f"{alert.kind} {'' if alert.phase == 'instant' else alert.phase}".rstrip(),
            alert.zone or alert.tripwire or "",
            f"{track.label} {track.id} ({track.score:.2f})" if track else "",
            f"{track.age_s:.1f} s" if track else "",
        )
    return table


def alert_line(alert: AlertPayload) -> str:
    """One alert as a line for people."""
    track = alert.track
    parts = [
        _clock(alert),
        f"{alert.camera}: {alert.rule}",
        f"{alert.kind}{'' if alert.phase == 'instant' else ' ' + alert.phase}",
        str(alert.evidence.get("direction", "")),
        f"{track.label} {track.id} ({track.score:.2f}, seen for {track.age_s:.1f} s)" if track else "",
    ]
    return "  ".join(part for part in parts if part)


def _clock(alert: AlertPayload) -> str:
    return alert.time.astimezone().strftime("%H:%M:%S")
