"""The disk below the outbox fills up, is read-only or fails, then is mended; needs root, to mount disks.

    python -m tests.faults.disk_full [--faults full read-only failing]

Prints one line of JSON for each; exits 1 when an alert is lost that was not counted as dropped, or the outbox
does not recover by itself. Alerts made while a disk cannot be read may go out before those that
are on it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from tests.faults.broker import Broker
from tests.faults.broker_kill import make_alert
from tests.faults.disk import Disk, FailingDisk, FullDisk, ReadOnlyDisk
from tests.faults.receiving import Receiving

DISKS: dict[str, type[Disk]] = {"full": FullDisk, "read-only": ReadOnlyDisk, "failing": FailingDisk}
ALERTS = {"full": (0, 1500), "read-only": (0, 400), "failing": (100, 400)}
"""Made before the fault, and while it lasts."""
MAX_IN_MEMORY = 500


def run(folder: Path, fault: str) -> dict[str, float | str | None]:
    """Make alerts on a failing disk, the broker away; mend it, bring the broker back; the figures."""
    before, during = ALERTS[fault]
    with DISKS[fault](folder) as disk:
        broker = Broker(folder, persistent=True).start()  # keeps the receiver's session over the kill
        outbox = OutboxSettings(path=disk.path / "outbox.sqlite", max_in_memory=MAX_IN_MEMORY)
        settings = BrokerSettings(url=broker.url, reconnect_max_s=0.5)
        try:
            with Receiving(broker.url) as receiving:
                broker.kill()
                with AlertPublisher(settings, outbox, "porch") as publisher:
                    committed = [publisher.publish(make_alert(), "front") for _ in range(before)]
                    disk.fail()
                    longest_s = 0.0
                    for _ in range(during):
                        begin_s = time.monotonic()
                        committed.append(publisher.publish(make_alert(), "front"))
                        longest_s = max(longest_s, time.monotonic() - begin_s)
                    failing = publisher.stats
                    disk.mend()
                    begin_s = time.monotonic()
                    broker.start()
                    while publisher.stats.disk_error and time.monotonic() - begin_s < 30:
                        time.sleep(0.01)
                    recovered_s = time.monotonic() - begin_s
                    drained = publisher.drain(60)
                    receiving.wait_for(set(committed), 20)
                    verdict = receiving.verdict(set(committed))
                    return {
                        **verdict.as_dict(),
                        "disk_error": failing.disk_error,
                        "in_memory_meanwhile": failing.in_memory,
                        "longest_publish_s": round(longest_s, 3),
                        "dropped": publisher.stats.dropped,
                        "uncounted": verdict.lost - publisher.stats.dropped,
                        "drained": drained,
                        "recovered_s": round(recovered_s, 2),
                        "disk_error_after": publisher.stats.disk_error,
                    }
        finally:
            broker.kill()


def failed(figures: dict[str, float | str | None]) -> bool:
    """Whether the figures break a promise."""
    return bool(
        figures["uncounted"]
        or figures["disk_error"] is None
        or figures["disk_error_after"]
        or not figures["drained"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", nargs="+", choices=list(DISKS), default=list(DISKS))
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print(json.dumps({"fault": "disk", "skipped": "expected root, to mount disks; run it with sudo"}))
        return
    logging.disable()
    broken = False
    for fault in arguments.faults:
        with tempfile.TemporaryDirectory() as folder:
            figures = run(Path(folder), fault)
        print(json.dumps({"fault": f"disk_{fault}", **figures}), flush=True)
        broken |= failed(figures)
    sys.exit(broken)


if __name__ == "__main__":
    main()
