"""A broker that can be killed, and alerts to publish."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.alerts.outbox import Outbox
from agent.alerts.publisher import AlertPublisher
from agent.alerts.schema import new_id
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.records import Alert, Phase, TrackSnapshot
from tests.faults.broker import BINARY, Broker


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Starts brokers and ends them after the test."""
    if BINARY is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    brokers: list[Broker] = []

    def make(**options: object) -> Broker:
        folder = tmp_path / f"broker{len(brokers)}"
        folder.mkdir()
        brokers.append(Broker(folder, **options).start())  # type: ignore[arg-type]
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.kill()


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    """A broker that lets everyone in."""
    return make_broker()


@pytest.fixture
def make_publisher(tmp_path: Path) -> Iterator[Callable[..., AlertPublisher]]:
    """Makes started publishers and closes them after the test."""
    publishers: list[AlertPublisher] = []

    def make(url: str, device: str = "porch", **broker: object) -> AlertPublisher:
        settings = BrokerSettings.model_validate({"url": url, "reconnect_max_s": 0.5, **broker})
        publisher = AlertPublisher(settings, OutboxSettings(path=tmp_path / f"{device}.sqlite"), device)
        publishers.append(publisher)
        publisher.start()
        return publisher

    yield make
    for publisher in publishers:
        publisher.close(1.0)
        publisher._delivery._thread.join(30)  # or it logs into the next test


@pytest.fixture
def outbox_path(tmp_path: Path) -> Path:
    """Where a test's outbox lies."""
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def make_outbox(outbox_path: Path) -> Iterator[Callable[..., Outbox]]:
    """Opens outboxes on one path and closes them after the test."""
    opened: list[Outbox] = []

    def make(clocks: dict[str, object] | None = None, path: Path = outbox_path, **settings: object) -> Outbox:
        opened.append(Outbox(path, OutboxSettings.model_validate(settings), **(clocks or {})))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for outbox in opened:
        outbox.close()


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """A video before which something moves about for five minutes; the agent takes seconds for it."""
    path = tmp_path / "walk.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 15.0, (160, 120))
    ground = np.random.default_rng(1).integers(90, 110, (120, 160, 3), np.uint8)
    for number in range(4500):
        image = ground.copy()
        if number > 30:
            x = 30 + int(30 * np.sin(number / 20))
            image[40:80, x : x + 20] = (20, 40, 200)
        writer.write(image)
    writer.release()
    return path


def make_alert(rule: str = "gate", phase: Phase = Phase.INSTANT, **changes: object) -> Alert:
    """A person that enters a zone."""
    track = TrackSnapshot(
        id=7,
        label="person",
        score=0.83,
        box=(100.0, 50.0, 200.0, 350.0),
        first_seen_s=10.0,
        last_seen_s=14.5,
        velocity=(12.0, -3.0),
        path=((110.0, 300.0), (150.0, 350.0)),
    )
    values: dict[str, object] = {
        "rule": rule,
        "kind": "enter",
        "phase": phase,
        "incident": new_id(),
        "time_s": 14.5,
        "wall_s": 1_790_000_000.25,
        "frame_size": (640, 480),
        "started_s": 12.0,
        "track": track,
        "zone": "drive",
        "evidence": {"anchor": "bottom"},
        **changes,
    }
    return Alert(**values)  # type: ignore[arg-type]


@contextlib.contextmanager
def disk_that_takes_nothing() -> Iterator[None]:
    """No file of this process grows or changes: SQLite gets an I/O error for what it writes."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
