"""Looks in the tracker, with the model that ships: painted people who meet, hide and come back."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.assembly import build_pipeline, build_tracker
from agent.config import load_config
from agent.detect.embedder import Embedder
from agent.errors import ConfigError, DataError, ModelError
from agent.records import Detections, ImageArray, Tracks
from agent.track import Tracker
from agent.track.settings import TrackerSettings
from tests.conftest import ROOT

ARTEFACTS = ROOT / "models" / "artefacts"
SIZE = (320, 160)
DT = 0.1
RED, BLUE = ((30, 30, 200), (40, 40, 60)), ((200, 80, 30), (210, 210, 210))
"""Colours of a jacket and trousers."""


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(ARTEFACTS / "appearance.tflite")


def _settings(**changes: object) -> TrackerSettings:
    base = {"appearance": "shipped", "learn_scores": False, "motion": "kalman"}
    return TrackerSettings.model_validate({**base, **changes})


def _picture(*people: tuple[float, tuple[tuple[int, int, int], ...]], seed: int = 0) -> ImageArray:
    """(160, 320, 3) a grey yard with people of 32 × 80 px, each at (x of the centre, colours)."""
    image = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
    for x, (jacket, trousers) in people:
        left = round(x) - 16
        cv2.circle(image, (left + 16, 50), 8, (130, 160, 200), -1)
        cv2.rectangle(image, (left + 6, 58), (left + 26, 90), jacket, -1)
        cv2.rectangle(image, (left + 8, 90), (left + 24, 120), trousers, -1)
    noise = np.random.default_rng(seed).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _seen(*centres: float) -> Detections:
    boxes = np.array([[x - 16, 40, x + 16, 120] for x in centres], np.float32).reshape(-1, 4)
    return Detections(boxes, np.full(len(boxes), 0.97, np.float32), np.zeros(len(boxes), np.int64))


def _change_places(tracker: Tracker) -> list[Tracks]:
    """Red from the left and blue from the right stop close together and change places unseen."""
    results = []
    for number in range(50):
        walked = min(max(number - 14, 0), 20) / 20
        red, blue = 100 + 52 * walked, 220 - 52 * walked  # 16 px apart in the end
        if number >= 45:
            red, blue = blue, red
        found = _seen(red, blue) if number not in (45, 46) else Detections.empty()
        picture = _picture((red, RED), (blue, BLUE), seed=number)
        results.append(tracker.update(found, number * DT, SIZE, picture))
    return results


def _ids_by_side(tracks: Tracks) -> list[int]:
    """Ids of what is seen, from left to right."""
    visible = tracks.visible
    return [int(own) for own in visible.ids[visible.boxes[:, 0].argsort()]]


@pytest.mark.parametrize(("weight", "ids"), [(0.0, [1, 2]), (4.0, [2, 1])])
def test_looks_outvote_places_by_their_weight(embedder: Embedder, weight: float, ids: list[int]) -> None:
    results = _change_places(Tracker(_settings(appearance_weight=weight), embedder=embedder))
    assert _ids_by_side(results[44]) == [1, 2]
    assert _ids_by_side(results[-1]) == ids


@pytest.mark.parametrize(("comes_back", "kept"), [(RED, True), (BLUE, False)])
def test_who_was_hidden_is_found_again_by_looks(
    embedder: Embedder, comes_back: tuple[tuple[int, int, int], ...], kept: bool
) -> None:
    """Too far from where it was expected for boxes to overlap; somebody else there is a new track."""
    ids = {}
    for appearance in ("off", "shipped"):
        tracker = Tracker(_settings(appearance=appearance), embedder=embedder)
        for number in range(20):
            tracker.update(_seen(100), number * DT, SIZE, _picture((100, RED), seed=number))
        for number in range(20, 32):
            tracker.update(Detections.empty(), number * DT, SIZE, _picture(seed=number))
        for number in range(32, 36):
            picture = _picture((180, comes_back), seed=number)
            tracks = tracker.update(_seen(180), number * DT, SIZE, picture)
        ids[appearance] = _ids_by_side(tracks)
    assert ids == {"off": [2], "shipped": [1 if kept else 2]}


def test_a_state_that_was_stored_goes_on_alike(embedder: Embedder) -> None:
    def step(tracker: Tracker, number: int) -> Tracks:
        x = 60 + 4 * number
        return tracker.update(_seen(x, 200), number * DT, SIZE, _picture((x, RED), (200, BLUE), seed=number))

    first, second = (Tracker(_settings(), embedder=embedder) for _ in range(2))
    for number in range(20):
        step(first, number)
    state = json.loads(json.dumps(first.state_dict()))
    second.load_state(state)
    for number in range(20, 45):
        one, two = step(first, number), step(second, number)
        np.testing.assert_array_equal(one.ids, two.ids)
        np.testing.assert_array_equal(one.boxes, two.boxes)
    assert first.state_dict() == second.state_dict()

    before = second.state_dict()
    for broken in (
        {"vectors": [[1.0]], "looked_s": [0.0]},
        {"vectors": []},
        {"vectors": [], "looked_s": ["a"]},
    ):
        with pytest.raises(DataError, match="tracker state"):
            second.load_state({**state, "appearance": broken})
        assert second.state_dict() == before
    second.load_state({**state, "appearance": None})
    assert len(step(second, 20).visible) == 2


def test_memory_goes_with_the_tracks(embedder: Embedder) -> None:
    tracker = Tracker(_settings(), embedder=embedder)
    for number in range(200):
        x = 40 + 60 * (number // 40)  # somebody else every four seconds
        found = _seen(x) if number % 40 < 15 else Detections.empty()
        tracker.update(found, number * DT, SIZE, _picture((x, RED), seed=number))
        state = tracker.state_dict()
        assert len(state["appearance"]["vectors"]) == len(state["whole"][0]) <= 1
    assert state["next_id"] == 6
    tracker.reset()
    assert tracker.state_dict()["appearance"] == {"vectors": [], "looked_s": []}


def test_who_walks_alone_is_looked_at_twice_a_second(embedder: Embedder) -> None:
    looks = []

    class Counting(Embedder):
        def __call__(self, image: ImageArray, boxes: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
            looks.append(len(boxes))
            return super().__call__(image, boxes)

    tracker = Tracker(_settings(), embedder=Counting(ARTEFACTS / "appearance.tflite"))
    for number in range(60):
        x = 40 + 4 * number
        tracker.update(_seen(x), number * DT, SIZE, _picture((x, RED), seed=number))
    assert 8 <= sum(looks) <= 13
    for number in range(60, 70):
        tracker.update(_seen(280), number * DT, SIZE)
    assert sum(looks) <= 13


def test_appearance_without_a_model_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"tracker.appearance: expected an embedding model and pictures, got"
    ):
        Tracker(_settings())
    with pytest.raises(ModelError, match=r"objects.json: expected an embedding model .* got one for classif"):
        build_tracker(_settings(appearance=ARTEFACTS / "objects.tflite"), ())
    with pytest.raises(ModelError, match=r"none.json: expected a ModelSpec, got No such file"):
        build_tracker(_settings(appearance="none.tflite"), ())


def test_off_is_what_yaml_makes_of_it() -> None:
    assert TrackerSettings.model_validate({"appearance": False}).appearance == "off"
    assert TrackerSettings.model_validate({"appearance": "shipped"}).appearance == "shipped"
    assert TrackerSettings.model_validate({"appearance": "my.tflite"}).appearance == Path("my.tflite")


def test_built_tracker_has_the_model_that_ships() -> None:
    results = _change_places(build_tracker(_settings(appearance_weight=4.0), ()))
    assert _ids_by_side(results[-1]) == [2, 1]


def test_a_cameras_pictures_reach_the_tracker() -> None:
    """The demo's clip: every track of the last frame that lives long enough was looked at."""
    camera = load_config(ROOT / "agent" / "demo" / "demo.yaml").cameras["street"]
    tracker = camera.tracker.model_copy(update={"appearance": "shipped"})
    pipeline = build_pipeline(
        "street", camera.model_copy(update={"tracker": tracker}), publish=lambda _: None
    )
    states: list[dict[str, Any]] = []
    pipeline.observers += [lambda _: states.append(pipeline._tracker.state_dict())]
    pipeline.run(threading.Event())
    looked_at = [np.any(state["appearance"]["vectors"]) for state in states if state["whole"][0]]
    assert len(states) > 100
    assert np.mean(looked_at) > 0.8
