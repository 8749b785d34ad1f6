"""`edgetrack-agent demo`: camera to alert and back from the broker, on a bundled clip."""

from __future__ import annotations

import secrets
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from rich.console import Console

from agent.alerts.embedded_broker import embedded_broker
from agent.alerts.schema import AlertPayload
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.app import App
from agent.client import AlertClient
from agent.config import load_config, make_section
from agent.pipeline import CameraSummary, Step
from agent.watch import alert_line

CAMERA = "street"
_HERE = Path(__file__).resolve().parent
_ARRIVAL_S = 5.0  # how long the last alerts may take to come back


def run_demo(broker_url: str | None, output: Path, seconds: float | None) -> int:
    """Run the demo, print the alerts as they come back, and a summary.

    Args:
        broker_url: of a broker to use; None starts one on a free loopback port.
        output: folder for the annotated clip and picture.
        seconds: how much of the clip; None for all.

    Returns:
        0 if there were alerts and every one came back from the broker, else 1.

    Raises:
        EdgetrackError: the broker cannot be reached, or the output cannot be written.
    """
    console = Console(highlight=False)
    with ExitStack() as stack:
        url = broker_url or stack.enter_context(embedded_broker())
        broker = make_section(BrokerSettings, {"url": url})
        outbox = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "outbox.sqlite"
        # A name of its own, so that two demos at one broker do not see each other's alerts.
        device = f"demo-{secrets.token_hex(3)}"
        config = load_config(_HERE / "demo.yaml").model_copy(
            update={"device": device, "broker": broker, "outbox": OutboxSettings(path=outbox)}
        )
        console.print(f"broker {url}, alerts on {broker.topic_root}/{device}/{CAMERA}/alerts", soft_wrap=True)
        client = stack.enter_context(AlertClient(broker, device=device))
        receiver = stack.enter_context(_Receiver(client, console))
        stop = threading.Event()

        def stop_after(step: Step) -> None:
            if seconds is not None and step.frame.time_s >= seconds:
                stop.set()

        (output / f"{CAMERA}.mp4").unlink(missing_ok=True)
        app = App(
            config,
            annotate=output,
            progress=console.is_terminal,
            console=console,
            observers={CAMERA: [stop_after]},
        )
        (summary,) = app.run(stop)
        arrived = receiver.wait_for(summary.alerts, _ARRIVAL_S)
    return _conclude(console, summary, arrived, output)


def _conclude(console: Console, summary: CameraSummary, arrived: int, output: Path) -> int:
    console.print(
        f"\n{summary.frames} frames at {summary.fps:.0f} frames/s, {summary.tracks} tracks, "
        f"{summary.alerts} alerts published, {arrived} came back from the broker",
        soft_wrap=True,
    )
    console.print(f"annotated: {output / CAMERA}.mp4, last alert: {output / CAMERA}.png", soft_wrap=True)
    if arrived and arrived == summary.alerts:
        return 0
    problem = "every alert back" if summary.alerts else "alerts"
    console.print(f"demo: expected {problem}, got {arrived} of {summary.alerts}")
    return 1


class _Receiver:
    """Prints what an open client receives, in a thread of its own."""

    def __init__(self, client: AlertClient, console: Console) -> None:
        self._client = client
        self._console = console
        self._alerts: list[AlertPayload] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._receive, name="demo-receiver")

    def _receive(self) -> None:
        for alert in self._client.alerts():
            self._console.print(alert_line(alert), soft_wrap=True)
            with self._changed:
                self._alerts.append(alert)
                self._changed.notify_all()

    def wait_for(self, count: int, timeout_s: float) -> int:
        """How many came, once `count` did or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._alerts) >= count, timeout_s)
            return len(self._alerts)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._thread.join()
