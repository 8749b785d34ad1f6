from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, SnapshotSettings
from agent.alerts.snapshot import Picture, SnapshotKeeper, sharpness
from agent.records import Detections, ImageArray, Tracks, TrackState
from tests.agent.alerts.conftest import make_alert
from tests.conftest import wait_until
from tests.faults.broker import Broker

LABELS = ("person", "car")
PLAIN = SnapshotSettings(draw=False, quality=95)


@pytest.fixture
def texture() -> ImageArray:
    """(240, 320, 3): noise, in which any change shows."""
    return np.random.default_rng(5).integers(0, 256, (240, 320, 3), dtype=np.uint8)


def tracks_of(
    *boxes: tuple[float, float, float, float],
    labels: tuple[int, ...] | None = None,
    states: tuple[int, ...] | None = None,
    scores: tuple[float, ...] | None = None,
) -> Tracks:
    count = len(boxes)
    zeros = np.zeros(count, np.float32)
    return Tracks(
        ids=np.arange(1, count + 1),
        boxes=np.float32(boxes).reshape(-1, 4),
        velocities=np.zeros((count, 2), np.float32),
        scores=np.float32(scores or [0.9] * count),
        labels=np.array(labels or [0] * count, dtype=np.int64),
        states=np.array(states or [TrackState.CONFIRMED] * count, dtype=np.int64),
        age_s=zeros,
        since_seen_s=zeros,
    )


def decoded(picture: Picture | None) -> ImageArray:
    assert picture is not None
    image = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[:2] == (picture.height, picture.width)
    return np.asarray(image, dtype=np.uint8)


def detail(image: ImageArray, box: tuple[int, int, int, int]) -> float:
    left, top, right, bottom = box
    return float(cv2.Laplacian(image[top:bottom, left:right], cv2.CV_32F).var())


PERSON, CAR = (20, 40, 80, 200), (150, 60, 300, 160)


def test_people_are_blurred_by_default_and_other_things_are_not(texture: ImageArray) -> None:
    keeper = SnapshotKeeper(PLAIN, LABELS)
    keeper.update(texture, tracks_of(PERSON, CAR, labels=(0, 1)))
    for track in (1, 2):
        image = decoded(keeper.picture_of(track))
        assert detail(image, PERSON) < 0.02 * detail(texture, PERSON)
        assert detail(image, CAR) > 0.3 * detail(texture, CAR)


def test_people_not_tracked_but_detected_tentative_or_lost_are_blurred_too(texture: ImageArray) -> None:
    other, third = (200, 170, 240, 235), (100, 170, 140, 235)
    tracks = tracks_of(
        CAR, PERSON, third, labels=(1, 0, 0), states=(1, TrackState.TENTATIVE, TrackState.LOST)
    )
    detections = Detections(np.float32([other]), np.float32([0.1]), np.array([0]))
    keeper = SnapshotKeeper(PLAIN, LABELS)
    keeper.update(texture, tracks, detections)
    image = decoded(keeper.picture_of(1))
    for box in (PERSON, other, third):
        assert detail(image, box) < 0.02 * detail(texture, box)


def test_all_but_the_alerting_class_can_be_made_unrecognisable(texture: ImageArray) -> None:
    keeper = SnapshotKeeper(PLAIN.model_copy(update={"privacy_of": "others"}), LABELS)
    keeper.update(texture, tracks_of(PERSON, CAR, labels=(0, 1)))
    image = decoded(keeper.picture_of(1))
    assert detail(image, PERSON) > 0.3 * detail(texture, PERSON)
    assert detail(image, CAR) < 0.02 * detail(texture, CAR)


def test_detector_that_knows_no_people_has_everything_blurred(texture: ImageArray) -> None:
    keeper = SnapshotKeeper(PLAIN, ("motion",))
    keeper.update(texture, tracks_of(PERSON))
    assert detail(decoded(keeper.picture_of(1)), PERSON) < 0.02 * detail(texture, PERSON)


def test_no_privacy_where_the_configuration_says_so(texture: ImageArray) -> None:
    keeper = SnapshotKeeper(PLAIN.model_copy(update={"privacy": "none"}), LABELS)
    keeper.update(texture, tracks_of(PERSON))
    assert detail(decoded(keeper.picture_of(1)), PERSON) > 0.3 * detail(texture, PERSON)


def test_sharper_larger_surer_sight_replaces_the_kept_one_and_worse_ones_do_not(texture: ImageArray) -> None:
    keeper = SnapshotKeeper(PLAIN.model_copy(update={"privacy": "none"}), LABELS)

    def kept_after(image: ImageArray, box: tuple[int, int, int, int], score: float) -> bytes:
        keeper.update(image, tracks_of(box, scores=(score,)))
        picture = keeper.picture_of(1)
        assert picture is not None
        return picture.jpeg

    blurred = np.asarray(cv2.GaussianBlur(texture, (9, 9), 3), dtype=np.uint8)
    first = kept_after(blurred, PERSON, 0.9)
    sharp = kept_after(texture, PERSON, 0.5)
    assert sharp != first
    assert kept_after(blurred, PERSON, 0.99) == sharp
    assert kept_after(texture, (20, 40, 50, 100), 0.5) == sharp
    assert kept_after(np.asarray(255 - texture, np.uint8), PERSON, 0.95) != sharp


def test_pictures_go_with_their_tracks(texture: ImageArray) -> None:
    keeper = SnapshotKeeper(PLAIN, LABELS)
    keeper.update(texture, tracks_of(PERSON, CAR))
    assert len(keeper) == 2
    keeper.update(texture, tracks_of(PERSON, CAR, states=(TrackState.REMOVED, TrackState.LOST)))
    assert keeper.picture_of(1) is not None  # for what is told of its end
    keeper.update(texture, tracks_of(PERSON, CAR)[np.array([1])])
    assert keeper.picture_of(1) is None
    assert keeper.picture_of(2) is not None
    keeper.update(texture, Tracks.empty())
    assert len(keeper) == 0


@pytest.mark.parametrize(("width", "max_bytes"), [(320, 1000), (64, 150_000), (4096, 20_000)])
def test_picture_keeps_within_width_and_bytes(texture: ImageArray, width: int, max_bytes: int) -> None:
    keeper = SnapshotKeeper(SnapshotSettings(max_width=width, max_bytes=max_bytes), LABELS)
    picture = keeper.picture_of_scene(texture, tracks_of(PERSON))
    assert len(picture.jpeg) <= max_bytes
    assert picture.width <= min(width, 320)
    decoded(picture)


def test_boxes_outside_the_picture_are_no_sight_of_a_track(texture: ImageArray) -> None:
    keeper = SnapshotKeeper(SnapshotSettings(), LABELS)
    keeper.update(texture, tracks_of((400, 300, 500, 400), (-50, -50, -10, -10), (10, 10, 10, 10)))
    assert len(keeper) == 0


def test_box_and_zone_are_drawn_where_asked_for() -> None:
    grey = np.full((240, 320, 3), 128, np.uint8)
    grey[100:140:4] = 90
    zone = {"drive": [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9)]}
    drawn = SnapshotKeeper(SnapshotSettings(), LABELS, zone)
    drawn.update(grey, tracks_of(CAR, labels=(1,)))
    clean = SnapshotKeeper(PLAIN, LABELS, zone)
    clean.update(grey, tracks_of(CAR, labels=(1,)))
    assert int(np.ptp(decoded(drawn.picture_of(1))[24, 100].astype(int))) > 40  # on the zone's upper edge
    assert int(decoded(clean.picture_of(1)).astype(int).max(axis=2).max()) < 150


def test_sharpness_falls_with_blur_and_is_zero_for_nothing(texture: ImageArray) -> None:
    values = [
        sharpness(np.asarray(cv2.GaussianBlur(texture, (0, 0), sigma), np.uint8)) for sigma in (0.5, 1, 2, 4)
    ]
    assert values == sorted(values, reverse=True)
    assert sharpness(texture[:0]) == 0.0


def test_picture_is_retained_and_the_alert_names_it(
    broker: Broker, make_publisher: Callable[..., AlertPublisher], texture: ImageArray, tmp_path: Path
) -> None:
    keeper = SnapshotKeeper(SnapshotSettings(), LABELS)
    keeper.update(texture, tracks_of(PERSON))
    picture = keeper.picture_of(1)
    assert picture is not None
    publisher = make_publisher(broker.url)
    part = publisher.publish_snapshot("front", "gate", picture)
    publisher.publish(make_alert(), "front", snapshot=part)
    assert publisher.drain(30)
    wait_until(lambda: f"'{part.topic}'" in broker.log, what="the broker having the picture")
    session = Session(BrokerSettings(url=broker.url), "late").open()
    session.subscribe("edgetrack/porch/front/snapshot/+")
    received: list[Message] = []

    def came() -> bool:
        received.extend(session.step(0.05).messages)
        return bool(received)

    wait_until(came)
    session.close()
    assert received[0].retain
    assert hashlib.sha256(received[0].payload).hexdigest() == part.sha256
    assert json.loads(part.model_dump_json())["topic"] == received[0].topic
