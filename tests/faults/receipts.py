"""A broker that keeps nothing is killed, and its receiver too, again and again under a stream of alerts.

    python -m tests.faults.receipts [--cycles 50] [--rate 50] [--acknowledge receiver]

mosquitto runs with its default persistence (none), so that what it acknowledged and had not passed on yet is
gone with it; the receiver keeps no session. Prints one line of JSON for `broker.acknowledge: broker`, to see
what that loses here, and one for `receiver`; exits 1 when the latter loses one or breaks a camera's order.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from tests.faults.broker import Broker
from tests.faults.broker_kill import make_alert
from tests.faults.receiving import Receiving


def run(folder: Path, acknowledge: str, cycles: int, rate: float, seed: int = 1) -> dict[str, object]:
    """Kill broker and receiver `cycles` times under `rate` alerts/s; the figures."""
    generator = random.Random(seed)
    committed: set[str] = set()
    finished = threading.Event()
    outbox = OutboxSettings(path=folder / "outbox.sqlite", synchronous="normal")
    broker = Broker(folder).start()
    settings = BrokerSettings.model_validate(
        {"url": broker.url, "reconnect_max_s": 0.5, "acknowledge": acknowledge, "redeliver_after_s": 1.0}
    )
    receiving = Receiving(broker.url, keep_session_s=0, acknowledge=acknowledge == "receiver")
    try:
        with receiving, AlertPublisher(settings, outbox, "porch") as publisher:

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
            for cycle in range(cycles):
                finished.wait(generator.uniform(0.2, 1.0))
                if cycle % 2:
                    receiving.restart(generator.uniform(0.0, 0.3))
                else:
                    broker.kill()
                    finished.wait(generator.uniform(0.0, 0.2))
                    broker.start()
            finished.wait(0.5)
            elapsed_s = time.monotonic() - started_s
            finished.set()
            thread.join()
            begin_s = time.monotonic()
            drained = publisher.drain(60)
            receiving.wait_for(committed, 20)
            return {
                "acknowledge": acknowledge,
                "cycles": cycles,
                **receiving.verdict(committed).as_dict(),
                "drained": drained,
                "drain_s": round(time.monotonic() - begin_s, 1) if drained else None,
                "sent": publisher.stats.sent,
                "elapsed_s": round(elapsed_s, 1),
            }
    finally:
        broker.kill()


def failed(figures: dict[str, object]) -> bool:
    """Whether the figures break the promise that receipts make."""
    return figures["acknowledge"] == "receiver" and bool(
        figures["lost"] or figures["out_of_order"] or not figures["drained"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--acknowledge", nargs="+", default=["broker", "receiver"])
    arguments = parser.parse_args()
    broken = False
    for acknowledge in arguments.acknowledge:
        with tempfile.TemporaryDirectory() as folder:
            figures = run(Path(folder), acknowledge, arguments.cycles, arguments.rate)
        print(json.dumps({"fault": "receipts", **figures}), flush=True)
        broken |= failed(figures)
    sys.exit(broken)


if __name__ == "__main__":
    main()
