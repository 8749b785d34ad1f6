"""The link to the broker is slow and lossy, stalls (half-open) and is cut, under a steady stream of alerts.

    python -m tests.faults.network [--rounds 5] [--stall 60] [--delay 0.5] [--loss 0.2] [--rate 2]

The loss is made by a proxy that holds a stream back for as long as TCP would need to repeat what is lost.
Prints one line of JSON; exits 1 when an alert is lost or a camera's order is broken.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from tests.faults.broker import Broker
from tests.faults.broker_kill import make_alert
from tests.faults.proxy import Proxy
from tests.faults.receiving import Receiving


def run(
    folder: Path,
    rounds: int,
    stall_s: float,
    *,
    delay_s: float,
    keepalive_s: int,
    rate: float = 10.0,
    loss: float = 0.0,
) -> dict[str, float]:
    """Stall and cut the link `rounds` times under `rate` alerts/s; the figures."""
    committed: set[str] = set()
    noticed_s: list[float] = []
    back_s: list[float] = []
    finished = threading.Event()
    outbox = OutboxSettings(path=folder / "outbox.sqlite", synchronous="normal")
    with (
        Broker(folder) as broker,
        Proxy(broker.port, delay_s, loss) as proxy,
        Receiving(broker.url) as receiving,
    ):
        settings = BrokerSettings(url=proxy.url, keepalive_s=keepalive_s, reconnect_max_s=2.0)
        with AlertPublisher(settings, outbox, "porch") as publisher:

            def publish() -> None:
                number = 0
                while not finished.is_set():
                    committed.add(publisher.publish(make_alert(), f"camera{number % 3}"))
                    number += 1
                    finished.wait(1 / rate)

            def until(connected: bool, timeout_s: float) -> float:
                """Seconds until the publisher says that it is connected, or not."""
                begin = time.monotonic()
                while publisher.stats.connected is not connected and time.monotonic() - begin < timeout_s:
                    finished.wait(0.01)
                return time.monotonic() - begin

            thread = threading.Thread(target=publish)
            thread.start()
            until(True, 20)
            for _ in range(rounds):
                finished.wait(1.0)
                proxy.stalled = True
                noticed_s.append(until(False, stall_s + 30))
                finished.wait(max(0.0, stall_s - noticed_s[-1]))
                proxy.cut()
                proxy.stalled = False
                back_s.append(until(True, 60))
                finished.wait(1.0)
                proxy.cut()
                until(False, 5)
                until(True, 60)
            finished.set()
            thread.join()
            begin = time.monotonic()
            drained = publisher.drain(300)
            drain_s = time.monotonic() - begin
            receiving.wait_for(committed, 20)
            return {
                "rounds": rounds,
                "stall_s": stall_s,
                "delay_ms": delay_s * 1000,
                "packets": proxy.packets,
                "packets_lost": proxy.lost_packets,
                "keepalive_s": keepalive_s,
                **receiving.verdict(committed).as_dict(),
                "drained": drained,
                "drain_s": round(drain_s, 1),
                "noticed_p50_s": round(statistics.median(noticed_s), 2),
                "noticed_max_s": round(max(noticed_s), 2),
                "reconnect_p50_s": round(statistics.median(back_s), 2),
                "reconnect_max_s": round(max(back_s), 2),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stall", type=float, default=60.0)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds, each way")
    parser.add_argument("--loss", type=float, default=0.2)
    parser.add_argument("--keepalive", type=int, default=10)
    parser.add_argument("--rate", type=float, default=2.0, help="alerts/s; such a link carries about 4")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(
            Path(folder),
            arguments.rounds,
            arguments.stall,
            delay_s=arguments.delay,
            keepalive_s=arguments.keepalive,
            loss=arguments.loss,
            rate=arguments.rate,
        )
    print(json.dumps({"fault": "network", **figures}))
    sys.exit(bool(figures["lost"] or figures["out_of_order"] or not figures["drained"]))


if __name__ == "__main__":
    main()
