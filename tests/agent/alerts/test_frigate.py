from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.alerts.frigate import FrigateEvents
from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.publisher import AlertPublisher
from agent.alerts.schema import AlertPayload, build_payload, new_id
from agent.alerts.settings import BrokerSettings, FrigateSettings, OutboxSettings
from agent.records import Phase, TrackSnapshot
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults.broker import Broker

# The keys of Frigate's documented example that hold for every object.
MOMENT = {"frame_time", "start_time", "end_time", "stationary", "active", "false_positive"}
SEEN = {"id", "camera", "label", "sub_label", "score", "top_score", "box", "area", "ratio"}
PLACES = {"current_zones", "entered_zones", "has_clip", "has_snapshot", "attributes", "current_attributes"}


def payload(phase: Phase, incident: str, **changes: object) -> AlertPayload:
    alert = make_alert(phase=phase, incident=incident, **changes)
    return build_payload(
        alert, id=new_id(), sequence=1, device="porch", camera="front", clock_synchronised=True
    )


def contents(messages: list[Message]) -> list[dict[str, Any]]:
    assert {message.topic for message in messages} <= {"frigate/events"}
    return [json.loads(message.payload) for message in messages]


def test_incident_is_new_then_updated_then_ended_with_one_id() -> None:
    events, incident = FrigateEvents(), new_id()
    seen = [
        *contents(events.messages(payload(Phase.START, incident, started_s=14.5))),
        *contents(events.messages(payload(Phase.UPDATE, incident, wall_s=1_790_000_005.0))),
        *contents(events.messages(payload(Phase.END, incident, wall_s=1_790_000_009.0))),
    ]
    assert [event["type"] for event in seen] == ["new", "update", "end"]
    assert len({event["after"]["id"] for event in seen}) == 1
    assert [event["after"]["end_time"] for event in seen] == [None, None, 1_790_000_009.0]
    assert seen[1]["before"] == seen[0]["after"]
    assert seen[2]["before"] == seen[1]["after"]
    assert seen[2]["after"]["start_time"] == 1_790_000_000.25
    assert seen[2]["after"]["current_zones"] == []
    assert seen[2]["after"]["entered_zones"] == ["drive"]
    assert len(events) == 0


def test_instant_alert_is_new_and_ended() -> None:
    events = FrigateEvents()
    seen = contents(events.messages(payload(Phase.INSTANT, new_id())))
    assert [event["type"] for event in seen] == ["new", "end"]
    assert len(events) == 0


def test_event_has_the_documented_keys() -> None:
    (event,) = contents(FrigateEvents().messages(payload(Phase.START, new_id())))
    assert event.keys() == {"type", "before", "after"}
    assert event["after"].keys() == MOMENT | SEEN | PLACES
    assert event["after"]["box"] == [100, 50, 200, 350]
    assert (event["after"]["area"], event["after"]["ratio"]) == (30_000, 0.33)


def test_top_score_is_the_best_so_far() -> None:
    events, incident = FrigateEvents(), new_id()
    scores = []
    for score in (0.6, 0.9, 0.7):
        track = TrackSnapshot(1, "car", score, (0, 0, 10, 10), 0.0, 1.0, (0.0, 0.0))
        (event,) = contents(events.messages(payload(Phase.UPDATE, incident, track=track)))
        scores.append(event["after"]["top_score"])
    assert scores == [0.6, 0.9, 0.9]


def test_alert_without_a_track_is_no_event() -> None:
    assert FrigateEvents().messages(payload(Phase.START, new_id(), track=None)) == []


def test_incidents_whose_end_never_comes_are_forgotten_in_the_end() -> None:
    events = FrigateEvents()
    for _ in range(1100):
        events.messages(payload(Phase.START, new_id()))
    assert len(events) == 1000


def test_events_are_published_beside_the_alerts_where_switched_on(broker: Broker, tmp_path: Path) -> None:
    session = Session(BrokerSettings(url=broker.url), "automation").open()
    session.subscribe("frigate/events")
    received: list[Message] = []

    def received_two() -> bool:
        received.extend(session.step(0.05).messages)
        return len(received) == 2

    publisher = AlertPublisher(
        BrokerSettings(url=broker.url),
        OutboxSettings(path=tmp_path / "o.sqlite"),
        "porch",
        frigate=FrigateSettings(enabled=True),
    )
    with publisher:
        wait_until(lambda: publisher.stats.connected)
        publisher.publish(make_alert(), "front")
        wait_until(received_two)
    session.close()
    assert [event["type"] for event in contents(received)] == ["new", "end"]


def test_no_events_unless_switched_on(make_publisher: Callable[..., AlertPublisher], broker: Broker) -> None:
    publisher = make_publisher(broker.url)
    publisher.publish(make_alert(), "front")
    assert publisher.drain(30)
    assert "frigate" not in broker.log
