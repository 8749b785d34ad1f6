"""Alerts of kind `gap`: of drops, each is told of once, also of those that the gap alert itself causes."""

from __future__ import annotations

import json
from pathlib import Path

from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults.broker import Broker


def test_drops_that_a_gap_alert_causes_are_told_by_the_next_one(broker: Broker, tmp_path: Path) -> None:
    outbox = OutboxSettings(path=tmp_path / "outbox.sqlite", max_size_mb=0.01)
    # Nobody acknowledges: the outbox stays full, and what is put drops others.
    settings = BrokerSettings(url=broker.url, acknowledge="receiver")
    with AlertPublisher(settings, outbox, "porch") as publisher:
        wait_until(lambda: publisher.stats.connected)
        told = caused = 0
        for _ in range(60):
            publisher.publish(make_alert(), "front")
            dropped = publisher.stats.dropped
            publisher.publish_health({})
            if dropped > told:
                gap = json.loads(publisher._outbox.pending(1000)[-1].payload)
                assert gap["evidence"] == {"dropped": dropped - told, "dropped_in_all": dropped}
                told = dropped
            caused += publisher.stats.dropped > dropped
        assert caused
