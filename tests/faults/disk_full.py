"""The disk below the outbox fills up, then space comes back; needs root, to mount a small tmpfs.

    python -m tests.faults.disk_full

Prints one line of JSON; exits 1 when an alert that fits the limits is lost.
"""

from __future__ import annotations

import json
import logging
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


def run(folder: Path) -> dict[str, float | str | None]:
    """Fill a disk of 256 kB with the broker away, give it 16 MB, bring the broker back; the figures."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
    try:
        broker = Broker(folder, persistent=True).start()  # keeps the receiver's session over the kill
        outbox = OutboxSettings(path=disk / "outbox.sqlite", max_in_memory=500)
        with Receiving(broker.url) as receiving:
            broker.kill()
            with AlertPublisher(
                BrokerSettings(url=broker.url, reconnect_max_s=0.5), outbox, "porch"
            ) as publisher:
                committed = [publisher.publish(make_alert(), "front") for _ in range(1500)]
                full = publisher.stats
                subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
                begin = time.monotonic()
                broker.start()
                while publisher.stats.disk_error and time.monotonic() - begin < 30:
                    time.sleep(0.01)
                recovered_s = time.monotonic() - begin
                drained = publisher.drain(30)
                receiving.wait_for(set(committed), 2)
                verdict = receiving.verdict(set(committed))
                return {
                    **verdict.as_dict(),
                    "disk_error": full.disk_error,
                    "in_memory_when_full": full.in_memory,
                    "dropped": publisher.stats.dropped,
                    "uncounted": verdict.lost - publisher.stats.dropped,
                    "drained": drained,
                    "recovered_s": round(recovered_s, 2),
                    "disk_error_after": publisher.stats.disk_error,
                }
    finally:
        broker.kill()
        subprocess.run(["umount", disk], check=True)


def main() -> None:
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder))
    print(json.dumps({"fault": "disk_full", **figures}))
    sys.exit(bool(figures["uncounted"] or figures["disk_error_after"] or not figures["drained"]))


if __name__ == "__main__":
    main()
