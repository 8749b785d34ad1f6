"""mosquitto is killed (SIGKILL) and started again and again under a steady stream of alerts.

    python -m tests.faults.broker_kill [--cycles 100] [--rate 50] [--acknowledge broker receiver]

It writes every change to disk, but acknowledges first: what stands in between is lost with it, none on an
idle machine, a few on a busy one. With a receiver's receipts one alert of a camera is under way at a time,
each waiting for the broker's writes: on a slow disk alerts queue up, and drain afterwards.

Prints one line of JSON for each of `broker.acknowledge`'s values; exits 1 when a camera's order is broken or
an alert is lost in spite of a receiver's receipts.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from agent.alerts.publisher import AlertPublisher
from agent.alerts.schema import new_id
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.records import Alert, Phase
from tests.faults.broker import Broker
from tests.faults.receiving import Receiving


def make_alert() -> Alert:
    """An alert without a track."""
    now = time.time()
    return Alert(
        "gate", "enter", Phase.INSTANT, new_id(), time.monotonic(), now, (640, 480), time.monotonic()
    )


def run(
    folder: Path, cycles: int, rate: float, seed: int = 1, acknowledge: str = "receiver"
) -> dict[str, float | str]:
    """Kill the broker `cycles` times under `rate` alerts/s; the figures."""
    generator = random.Random(seed)
    committed: set[str] = set()
    reconnects_s: list[float] = []
    finished = threading.Event()
    outbox = OutboxSettings(path=folder / "outbox.sqlite", synchronous="normal")
    broker = Broker(folder, persistent=True).start()
    settings = BrokerSettings.model_validate(
        {"url": broker.url, "reconnect_max_s": 0.5, "acknowledge": acknowledge, "redeliver_after_s": 1.0}
    )
    receiver = Receiving(broker.url, acknowledge=acknowledge == "receiver")
    try:
        with receiver as receiving, AlertPublisher(settings, outbox, "porch") as publisher:

            def publish() -> None:
                due, number = time.monotonic(), 0
                while not finished.is_set():
                    committed.add(publisher.publish(make_alert(), f"camera{number % 3}"))
                    number += 1
                    due += 1 / rate
                    finished.wait(max(0.0, due - time.monotonic()))

            thread = threading.Thread(target=publish)
            thread.start()
            started_s = time.monotonic()
            for _ in range(cycles):
                finished.wait(generator.uniform(0.1, 1.0))
                connects = publisher.stats.connects
                broker.kill()
                finished.wait(generator.uniform(0.0, 0.2))
                broker.start()
                up_s = time.monotonic()
                while publisher.stats.connects == connects and time.monotonic() - up_s < 30:
                    finished.wait(0.005)
                reconnects_s.append(time.monotonic() - up_s)
            elapsed_s = time.monotonic() - started_s
            finished.set()
            thread.join()
            finished_s = time.monotonic()
            drained = publisher.drain(900)
            drain_s = time.monotonic() - finished_s
            receiving.wait_for(committed, 20)
            verdict = receiving.verdict(committed)
            return {
                "acknowledge": acknowledge,
                "cycles": cycles,
                **verdict.as_dict(),
                "drained": drained,
                "drain_s": round(drain_s, 1),
                "sent": publisher.stats.sent,
                "elapsed_s": round(elapsed_s, 1),
                "reconnect_p50_s": round(statistics.median(reconnects_s), 3),
                "reconnect_max_s": round(max(reconnects_s), 3),
            }
    finally:
        broker.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--acknowledge", nargs="+", default=["broker", "receiver"])
    arguments = parser.parse_args()
    broken = False
    for acknowledge in arguments.acknowledge:
        with tempfile.TemporaryDirectory() as folder:
            figures = run(Path(folder), arguments.cycles, arguments.rate, acknowledge=acknowledge)
        print(json.dumps({"fault": "broker_kill", **figures}), flush=True)
        broken |= bool(figures["out_of_order"] or not figures["drained"])
        broken |= bool(figures["lost"]) and acknowledge == "receiver"
    sys.exit(broken)


if __name__ == "__main__":
    main()
