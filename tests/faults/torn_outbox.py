"""The outbox of a killed process is damaged in its tail, page by page, and opened.

    python -m tests.faults.torn_outbox [--alerts 300]

At every page boundary of the file and of its WAL it is cut, and every page is overwritten with noise. Prints
one line of JSON; exits 1 when an outbox does not open, when a cut loses an alert that was written before it,
or when anything is delivered that was never written.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from agent.alerts.outbox import Outbox
from agent.alerts.outbox_file import PAGE_SIZE
from agent.alerts.schema import new_id
from agent.alerts.settings import OutboxSettings

SETTINGS = OutboxSettings(synchronous="normal")


def make(folder: Path, alerts: int) -> dict[str, bytes]:
    """An outbox whose older half is in the file and whose newer half is in the WAL; what waits in it."""
    live = folder / "live"
    waiting: dict[str, bytes] = {}
    for half in range(2):
        outbox = Outbox(live / "outbox.sqlite", SETTINGS)
        for _ in range(alerts // 2):
            alert = outbox.put("t", new_id(), lambda s: b"%d " % s + b"x" * (s * 97 % 1500))
            waiting[alert.id] = alert.payload
        if half == 0:
            outbox.close()
        else:
            shutil.copytree(live, folder / "killed")
            outbox.close()
    return waiting


def damages(whole: bytes, offset: int, step: int) -> Iterator[tuple[str, int, bytes]]:
    """(what, from which byte, content) for every page."""
    noise = random.Random(1).randbytes(PAGE_SIZE)
    for start in range(offset, len(whole), step):
        yield "cut", start, whole[:start]
        body = start + step - PAGE_SIZE
        yield "noise", start, whole[:body] + noise + whole[start + step :]


def run(folder: Path, alerts: int) -> dict[str, int]:
    """The figures."""
    waiting = make(folder, alerts)
    killed = folder / "killed"
    wal = (killed / "outbox.sqlite-wal").read_bytes()
    settled = folder / "settled"
    shutil.copytree(killed, settled)
    Outbox(settled / "outbox.sqlite", SETTINGS).close()
    file = (settled / "outbox.sqlite").read_bytes()
    figures = {"alerts": len(waiting), "damages": 0, "opened": 0, "invented": 0, "lost_before_cut": 0}
    most_lost = 0
    for name, whole, offset, step in (
        ("outbox.sqlite-wal", wal, 32, PAGE_SIZE + 24),
        ("outbox.sqlite", file, 0, PAGE_SIZE),
    ):
        for kind, start, content in damages(whole, offset, step):
            copy = folder / "copy"
            shutil.copytree(killed if name.endswith("wal") else settled, copy)
            (copy / name).write_bytes(content)
            figures["damages"] += 1
            outbox = Outbox(copy / "outbox.sqlite", SETTINGS)
            found = {alert.id: alert.payload for alert in outbox.pending(10 * alerts)}
            figures["opened"] += outbox.disk_error is None
            figures["invented"] += sum(waiting.get(id_) != payload for id_, payload in found.items())
            if kind == "noise":
                most_lost = max(most_lost, len(waiting.keys() - found.keys()))
            elif name.endswith("wal"):
                before = {id_ for place, id_ in enumerate(waiting) if place < alerts // 2}
                before |= {id_ for id_ in waiting if id_.encode() in whole[:start]}
                figures["lost_before_cut"] += len(before - found.keys())
            else:  # a page that was divided still shows rows that moved behind it: the last place is the one
                before = {id_ for id_ in waiting if 0 <= whole.rfind(id_.encode()) < start}
                figures["lost_before_cut"] += len(before - found.keys())
            outbox.close()
            shutil.rmtree(copy)
    return {**figures, "most_lost_with_a_page": most_lost}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=300)
    arguments = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder), arguments.alerts)
    print(json.dumps({"fault": "torn_outbox", **figures}))
    sys.exit(
        bool(figures["lost_before_cut"] or figures["invented"] or figures["opened"] < figures["damages"])
    )


if __name__ == "__main__":
    main()
