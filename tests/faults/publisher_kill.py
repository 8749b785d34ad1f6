"""The publishing process is killed (SIGKILL) at random moments; every committed alert must arrive.

    python -m tests.faults.publisher_kill [--cycles 200]

Prints one line of JSON; exits 1 when a committed alert is lost or the outbox does not open once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from tests.faults.broker import Broker
from tests.faults.broker_kill import make_alert
from tests.faults.receiving import Receiving


def child(url: str, outbox: Path, log: Path) -> None:
    """Publish as fast as it goes; write each id to `log` once `publish` has returned."""
    committed = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    settings = OutboxSettings(path=outbox, synchronous="normal")
    with AlertPublisher(BrokerSettings(url=url, reconnect_max_s=0.3), settings, "porch") as publisher:
        os.write(committed, b"open\n")
        number = 0
        while True:
            identity = publisher.publish(make_alert(), f"camera{number % 3}")
            os.write(committed, f"{identity}\n".encode())
            number += 1
            time.sleep(0.002)


def run(folder: Path, cycles: int, seed: int = 1) -> dict[str, float]:
    """Kill the publisher `cycles` times; the figures."""
    generator = random.Random(seed)
    log, outbox = folder / "committed", folder / "outbox.sqlite"
    with Broker(folder) as broker, Receiving(broker.url) as receiving:
        for cycle in range(cycles):
            arguments = [
                sys.executable,
                "-m",
                "tests.faults.publisher_kill",
                "--child",
                broker.url,
                outbox,
                log,
            ]
            process = subprocess.Popen(arguments, cwd=Path(__file__).resolve().parents[2])
            deadline = time.monotonic() + 30
            while log_opens(log) <= cycle and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(generator.uniform(0.0, 1.0))
            process.kill()
            process.wait()
        lines = log.read_text().split()
        committed = set(lines) - {"open"}
        settings = OutboxSettings(path=outbox, synchronous="normal")
        with AlertPublisher(BrokerSettings(url=broker.url), settings, "porch") as publisher:
            waiting = publisher.stats.queued
            drained = publisher.drain(60)
        receiving.wait_for(committed, 20)
        return {
            "cycles": cycles,
            "opened": lines.count("open"),
            **receiving.verdict(committed).as_dict(),
            "left_by_the_last": waiting,
            "drained": drained,
            "set_aside": len(list(folder.glob("*.damaged-*"))),
        }


def log_opens(log: Path) -> int:
    """How many children have opened the outbox so far."""
    return log.read_text().split().count("open") if log.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--child", nargs=3, metavar=("URL", "OUTBOX", "LOG"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        url, outbox, log = arguments.child
        child(url, Path(outbox), Path(log))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder), arguments.cycles)
    print(json.dumps({"fault": "publisher_kill", **figures}))
    sys.exit(bool(figures["lost"] or figures["opened"] < figures["cycles"] or not figures["drained"]))


if __name__ == "__main__":
    main()
