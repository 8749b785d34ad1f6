"""A long outage: alerts pile up in the outbox, then the broker comes back.

    python -m tests.bench.alerts.outbox_backlog [--alerts 100000] [--synchronous full] [--idle 60]

Prints one line of JSON: rates, memory, bytes written, disk before and after; then what an agent writes a day
that is connected, publishes its health and has no alerts. The reference is paho alone: the same payloads
published at QoS 1 to the same broker in the same run, with nothing kept on disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import deque
from pathlib import Path

from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.publisher import AlertPublisher
from agent.alerts.schema import new_id
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.records import Alert, Phase, TrackSnapshot
from tests.faults.broker import Broker

TRACK = TrackSnapshot(
    7,
    "person",
    0.83,
    (100, 50, 200, 350),
    10.0,
    14.5,
    (12, -3),
    tuple((10.0 * i, 8.0 * i) for i in range(16)),
)


def make_alert() -> Alert:
    """A person in a zone, with a path of 16 points: about 900 bytes."""
    evidence = {"anchor": [0.23, 0.73], "inside_s": 4.5}
    return Alert(
        "gate",
        "enter",
        Phase.INSTANT,
        new_id(),
        14.5,
        time.time(),
        (640, 480),
        12.0,
        TRACK,
        "drive",
        None,
        evidence,
    )


def written_bytes() -> int:
    """Bytes that this process had the kernel write to disks (`/proc/self/io`)."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["write_bytes"])


def disk_bytes(path: Path) -> int:
    """Size of the outbox and its WAL."""
    return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))


def bare_rate(url: str, payload: bytes, alerts: int) -> float:
    """Messages/s of QoS 1 without an outbox, 20 in flight."""
    session = Session(BrokerSettings(url=url), "bare").open()
    waiting: deque[int] = deque()
    left, begin = alerts, time.perf_counter()
    while left or waiting:
        while left and len(waiting) < session.window:
            waiting.append(session.publish(Message("edgetrack/bare/front/alerts", payload)))
            left -= 1
        for mid, _ in session.step(1.0).published:
            waiting.remove(mid)
    rate = alerts / (time.perf_counter() - begin)
    session.close()
    return rate


def idle_bytes_per_day(publisher: AlertPublisher, idle_s: float) -> float:
    """Bytes written in a day without alerts, health published a minute, from `idle_s` of it."""
    before, end_s = written_bytes(), time.monotonic() + idle_s
    while time.monotonic() < end_s:
        publisher.publish_health({})
        time.sleep(min(60.0, idle_s / 2))
    return (written_bytes() - before) * 86_400 / idle_s


def run(folder: Path, alerts: int, synchronous: str, idle_s: float) -> dict[str, float]:
    """Queue `alerts` with the broker away, bring it back, drain, be idle."""
    path = folder / "outbox.sqlite"
    outbox = OutboxSettings.model_validate({"path": path, "synchronous": synchronous, "max_size_mb": 1000})
    broker = Broker(folder).start()
    broker.kill()
    publisher = AlertPublisher(BrokerSettings(url=broker.url, reconnect_max_s=0.5), outbox, "porch")
    publisher.start()
    base_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before, begin = written_bytes(), time.perf_counter()
    for _ in range(alerts):
        publisher.publish(make_alert(), "front")
    put_s = time.perf_counter() - begin
    put_bytes = written_bytes() - before
    queued_bytes = disk_bytes(path)
    before = written_bytes()
    broker.start()
    while not publisher.stats.connected:
        time.sleep(0.001)
    begin = time.perf_counter()
    drained = publisher.drain(600)
    drain_s = time.perf_counter() - begin
    bare = bare_rate(broker.url, b"x" * 900, min(alerts, 20_000))
    figures = {
        "alerts": alerts,
        "drained": drained,
        "put_per_s": round(alerts / put_s),
        "drain_per_s": round(alerts / drain_s),
        "bare_per_s": round(bare),
        "drain_ratio": round(alerts / drain_s / bare, 3),
        "memory_growth_mb": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base_kb) / 1024, 1),
        "written_put_mb_per_10000": round(put_bytes / alerts * 1e4 / 1e6, 1),
        "written_drain_mb_per_10000": round((written_bytes() - before) / alerts * 1e4 / 1e6, 1),
        "disk_queued_mb": round(queued_bytes / 1e6, 1),
        "disk_after_mb": round(disk_bytes(path) / 1e6, 3),
        "written_idle_mb_per_day": round(idle_bytes_per_day(publisher, idle_s) / 1e6, 3),
    }
    publisher.close()
    broker.kill()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--synchronous", choices=["full", "normal"], default="full")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder), arguments.alerts, arguments.synchronous, arguments.idle)
    print(json.dumps({"bench": "outbox_backlog", "synchronous": arguments.synchronous, **figures}))


if __name__ == "__main__":
    main()
