"""An agent with four cameras and open incidents refuses a bad configuration whole, and is then stopped.

    python -m tests.faults.graceful_stop [--rounds 5] [--cameras 4]

The cameras are Motion JPEG over HTTP, the broker is a real mosquitto. While each camera has an open incident,
SIGHUP comes with a faulty configuration, then SIGTERM. Prints one line of JSON; exits 1 when the process does
not go on as before after SIGHUP, does not end within 5 s of SIGTERM, an incident has no end, the broker still
says that the device is online, or anything is left in the outbox.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.alerts.outbox import Outbox
from agent.alerts.schema import AlertPayload
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.client import AlertClient
from agent.records import Phase
from tests.faults.broker import Broker, free_port

ROOT = Path(__file__).resolve().parents[2]
MAX_STOP_S = 5.0
CAMERA = """\
  {name}:
    source: http://127.0.0.1:{port}/
    detector: {{kind: motion}}
    zones: {{all: {{points: [[0, 0], [1, 0], [1, 1], [0, 1]]}}}}
    rules:
      - {{kind: zone, zone: all, when: [inside]}}
      - {{kind: occupancy, zone: all, above: 0}}
"""


class Incidents:
    """Which incidents began and ended, and what the broker says of the device, until the block ends."""

    def __init__(self, url: str) -> None:
        self.begun: dict[str, str] = {}
        self.ended: set[str] = set()
        self._client = AlertClient(BrokerSettings(url=url), client_id="watcher", keep_session_s=60)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for alert in self._client.alerts():
            self._take(alert)

    def _take(self, alert: AlertPayload) -> None:
        if alert.phase is Phase.START:
            self.begun[alert.incident] = alert.camera
        elif alert.phase is Phase.END:
            self.ended.add(alert.incident)

    @property
    def open(self) -> dict[str, str]:
        """Incident: camera, of those that go on."""
        return {incident: camera for incident, camera in self.begun.items() if incident not in self.ended}

    def __enter__(self) -> Incidents:
        self._client.open()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._thread.join()
        self._client.__exit__(None, None, None)


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
    """Raises SystemExit when `condition` does not hold in time."""
    deadline, tick = time.monotonic() + timeout_s, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"expected {what} within {timeout_s:g} s")
        tick.wait(0.02)


def retained_status(url: str) -> str:
    """What the broker tells whoever comes now."""
    topic = "edgetrack/porch/status"
    arguments = ["mosquitto_sub", "-p", url.rpartition(":")[2], "-t", topic, "-C", "1", "-W", "5"]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()


def run(folder: Path, cameras: int) -> dict[str, Any]:
    """Start, refuse, stop once; the figures."""
    port, names = free_port(), [f"camera{number}" for number in range(cameras)]
    config, log = folder / "edgetrack.yaml", folder / "log"
    with Broker(folder) as broker, Incidents(broker.url) as incidents:
        good = f"device: porch\nbroker: {{url: '{broker.url}'}}\noutbox: {{path: outbox.sqlite}}\ncameras:\n"
        good += "".join(CAMERA.format(name=name, port=port) for name in names)
        config.write_text(good)
        server = subprocess.Popen([sys.executable, ROOT / "tests/systemd/mjpeg_server.py", str(port)])
        with log.open("w") as stream:
            agent = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "run", "--quiet", str(config)],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        try:
            wait_for(lambda: set(incidents.open.values()) >= set(names), "an open incident of each camera")
            config.write_text(good.replace("above: 0", "above: none"))
            agent.send_signal(signal.SIGHUP)
            wait_for(lambda: "refused, the old one goes on" in log.read_text(), "a refusal")
            alive = agent.poll() is None and retained_status(broker.url) == "online"
            wait_for(lambda: set(incidents.open.values()) >= set(names), "an open incident of each camera")
            left_open, begin_s = len(incidents.open), time.monotonic()
            agent.send_signal(signal.SIGTERM)
            agent.wait(30)
            stop_s = time.monotonic() - begin_s
        finally:
            agent.kill()
            server.kill()
            agent.wait()
            server.wait()
        wait_for(lambda: not incidents.open, "the end of every incident", 10)
        outbox = Outbox(folder / "outbox.sqlite", OutboxSettings())
        waiting = len(outbox)
        outbox.close()
        return {
            "stop_s": round(stop_s, 2),
            "open": left_open,
            "exit": agent.returncode,
            "went_on": alive,
            "faults_told": log.read_text().count("rules.1.above: expected"),
            "status": retained_status(broker.url),
            "left_in_outbox": waiting,
            "wal_left": (folder / "outbox.sqlite-wal").exists(),
            "tracebacks": log.read_text().count("Traceback"),
        }


def good(round_: dict[str, Any], cameras: int) -> bool:
    """Whether one stop kept every promise."""
    return bool(
        round_["stop_s"] < MAX_STOP_S
        and round_["exit"] == 0
        and round_["went_on"]
        and round_["faults_told"] == cameras
        and round_["status"] == "offline"
        and not (round_["left_in_outbox"] or round_["wal_left"] or round_["tracebacks"])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cameras", type=int, default=4)
    arguments = parser.parse_args()
    rounds = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(run(Path(folder), arguments.cameras))
    bad = [round_ for round_ in rounds if not good(round_, arguments.cameras)]
    stops_s = [round_["stop_s"] for round_ in rounds]
    figures = {
        "rounds": len(rounds),
        "cameras": arguments.cameras,
        "open_incidents": sum(round_["open"] for round_ in rounds),
        "stop_median_s": round(statistics.median(stops_s), 2),
        "stop_max_s": max(stops_s),
        "bad": bad,
    }
    print(json.dumps({"fault": "graceful_stop", **figures}))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
