"""The stream of all objects in sight: payload, rate, and the way to a receiver."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent.alerts.asyncapi import asyncapi_document
from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.alerts.topics import Topics
from agent.alerts.track_stream import TracksPayload, TrackStream, build_tracks, json_schema
from agent.client import AlertClient, DeviceStatus
from agent.records import Tracks, TrackState
from tests.conftest import Mosquitto, wait_until

SIZE = (640, 480)


def tracks(*states: TrackState, box: tuple[float, ...] = (64.0, 48.0, 128.0, 700.0)) -> Tracks:
    count = len(states)
    return Tracks(
        ids=np.arange(1, count + 1),
        boxes=np.tile(np.array(box, np.float32), (count, 1)).reshape(count, 4),
        velocities=np.full((count, 2), 3.25, np.float32),
        scores=np.full(count, 0.75, np.float32),
        labels=np.arange(count) % 3,
        states=np.array(states, np.int64).reshape(count),
        age_s=np.full(count, 1.5, np.float32),
        since_seen_s=np.zeros(count, np.float32),
    )


def build(shown: Tracks) -> TracksPayload:
    return build_tracks(
        shown,
        ("person", "car"),
        device="porch",
        camera="front",
        time_s=12.3456,
        wall_s=1_790_000_000.25,
        frame_size=SIZE,
        synchronised=True,
    )


def stream(per_s: float) -> tuple[TrackStream, list[TracksPayload], list[float]]:
    sent: list[TracksPayload] = []
    now = [0.0]

    def send(content: bytes) -> None:
        sent.append(TracksPayload.model_validate_json(content))

    return TrackStream("porch", "front", ("person",), per_s, send, clock=lambda: now[0]), sent, now


def test_payload_holds_confirmed_and_lost_tracks_and_fits_its_schema() -> None:
    every = (TrackState.TENTATIVE, TrackState.CONFIRMED, TrackState.LOST, TrackState.REMOVED)
    content = json.loads(build(tracks(*every)).to_json())
    Draft202012Validator.check_schema(json_schema())
    Draft202012Validator(json_schema()).validate(content)
    assert content["time"] == "2026-09-21T14:13:20.250000Z"
    assert [(track["id"], track["label"], track["state"]) for track in content["tracks"]] == [
        (2, "car", "confirmed"),
        (3, "2", "lost"),  # a class beyond the list
    ]
    assert content["tracks"][0]["box"] == [0.1, 0.1, 0.2, 1.0]
    assert content["tracks"][0]["box_px"] == [64.0, 48.0, 128.0, 700.0]
    assert not Draft202012Validator(json_schema()).is_valid({**content, "tracks": [{"id": "x"}]})


def test_numbers_that_json_does_not_have_are_not_sent() -> None:
    content = build(tracks(TrackState.CONFIRMED, box=(np.nan, 0.0, np.inf, 10.0))).to_json()
    Draft202012Validator(json_schema()).validate(json.loads(content))


@given(
    per_s=st.floats(0.2, 30.0), fps=st.floats(1.0, 60.0), jitter=st.floats(0.0, 0.4), seed=st.integers(0, 99)
)
def test_no_more_messages_than_asked_for_and_hardly_fewer(
    per_s: float, fps: float, jitter: float, seed: int
) -> None:
    watched, sent, now = stream(per_s)
    rng = np.random.default_rng(seed)
    length_s = max(20.0, 10 / per_s)
    for number in range(int(length_s * fps)):
        now[0] = (number + jitter * float(rng.random())) / fps
        watched.update(tracks(TrackState.CONFIRMED), now[0], now[0], SIZE)
    possible = min(per_s, fps) * length_s
    assert len(sent) <= per_s * length_s + 2
    assert len(sent) >= 0.6 * possible - 2


def test_an_empty_scene_is_told_once() -> None:
    watched, sent, now = stream(1.0)
    for shown in ((), (TrackState.TENTATIVE,), (TrackState.CONFIRMED,), (TrackState.REMOVED,), (), ()):
        now[0] += 2.0
        watched.update(tracks(*shown), now[0], now[0], SIZE)
    assert [len(payload.tracks) for payload in sent] == [1, 0]


def test_stream_is_described_with_its_quality_of_service() -> None:
    document = asyncapi_document()
    operation = document["operations"]["publish_tracks"]
    assert operation["bindings"] == {"mqtt": {"qos": 0, "retain": False}}
    assert document["channels"]["tracks"]["address"] == Topics("edgetrack", "{device}").tracks("{camera}")


def test_newest_waits_and_alerts_go_first(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """What is streamed while there is no connection is gone; what is streamed then comes."""
    settings = BrokerSettings(url=mosquitto.url)
    publisher = AlertPublisher(settings, OutboxSettings(path=tmp_path / "outbox.sqlite"), "porch")
    topic = publisher.topics.tracks("front")
    publisher.publish_stream(topic, b"too early")
    with AlertClient(settings, tracks=True) as client, publisher:
        wait_until(lambda: publisher.stats.connected)
        wanted = build(tracks(TrackState.CONFIRMED))
        for event in client.events(timeout_s=30.0):
            if isinstance(event, TracksPayload):
                assert event == wanted
                break
            publisher.publish_stream(topic, wanted.to_json())  # once the device is told to be online
        else:
            pytest.fail("no tracks came")
        assert client.invalid == 0


def test_what_is_streamed_once_the_device_is_told_to_be_online_comes(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BrokerSettings(url=mosquitto.url)
    publisher = AlertPublisher(settings, OutboxSettings(path=tmp_path / "outbox.sqlite"), "porch")
    wanted, publish = build(tracks(TrackState.CONFIRMED)), Session.publish

    def publish_and_stand(session: Session, message: Message) -> int:
        mid = publish(session, message)
        if message.payload == b"online":  # somebody hears it before this thread goes on
            publisher.publish_stream(publisher.topics.tracks("front"), wanted.to_json())
        return mid

    monkeypatch.setattr(Session, "publish", publish_and_stand)
    with AlertClient(settings, tracks=True) as client, publisher:
        events = client.events(timeout_s=30.0)
        assert [next(events), next(events)] == [DeviceStatus("porch", online=True), wanted]


def test_configured_camera_streams_what_it_sees(mosquitto: Mosquitto, walk: Path, tmp_path: Path) -> None:
    config = tmp_path / "edgetrack.yaml"
    config.write_text(
        f"device: demo\nbroker: {{url: '{mosquitto.url}'}}\noutbox: {{path: outbox.sqlite}}\n"
        f"cameras: {{street: {{source: '{walk}', detector: {{kind: motion}}, track_stream_per_s: 30}}}}\n"
    )
    seen: list[TracksPayload] = []
    with (
        AlertClient(BrokerSettings(url=mosquitto.url), tracks=True) as client,
        subprocess.Popen([sys.executable, "-m", "agent.cli", "run", str(config), "--quiet"]) as agent,
    ):
        events = client.events(timeout_s=120.0)
        for event in events:
            if isinstance(event, TracksPayload):
                seen.append(event)
                if event.tracks:
                    break
        agent.send_signal(signal.SIGTERM)
        for event in events:
            if isinstance(event, TracksPayload):
                seen.append(event)
            elif isinstance(event, DeviceStatus) and not event.online:
                break
        assert agent.wait(60) == 0
    assert client.invalid == 0
    assert any(payload.tracks for payload in seen)
    assert all((payload.device, payload.camera) == ("demo", "street") for payload in seen)
    times = [payload.monotonic_s for payload in seen]
    assert times == sorted(times)
