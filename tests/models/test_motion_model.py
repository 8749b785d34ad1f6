"""The motion model: what ships, what it is trained on, and the tracker with it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from agent.detect.interpreter import Interpreter
from agent.errors import ModelError
from agent.records import Detections
from agent.track import Tracker
from agent.track.motion_lstm import FEATURES, HORIZONS_S, STEPS, MotionModel, ramps
from agent.track.settings import TrackerSettings
from agent.vision.model_spec import load_spec
from models.evaluate.forecast import evaluate_forecasts
from models.motion.trajectories import make_examples

ARTEFACT = Path(__file__).parents[2] / "models" / "artefacts" / "motion_lstm.tflite"


@pytest.fixture
def model() -> MotionModel:
    return MotionModel(Interpreter(ARTEFACT, threads=1))


def test_the_card_is_of_the_file_that_ships() -> None:
    spec = load_spec(ARTEFACT.with_suffix(".json"))
    assert spec.task == "sequence"
    assert spec.provenance.sha256 == hashlib.sha256(ARTEFACT.read_bytes()).hexdigest()
    assert "edgetrack-models train motion" in spec.provenance.command


def test_the_model_beats_the_filter_on_trajectories_it_never_saw(model: MotionModel) -> None:
    examples = make_examples(np.random.default_rng(99), 3000)
    found = model(examples.features.astype(np.float64))
    before = np.linalg.norm(examples.corrections, axis=2).mean(axis=0)
    after = np.linalg.norm(examples.corrections - found, axis=2).mean(axis=0)
    assert (after < before).all()
    assert after[HORIZONS_S.index(1.0)] < 0.95 * before[HORIZONS_S.index(1.0)]


def test_padding_and_batches_do_not_change_a_track(model: MotionModel) -> None:
    features = make_examples(np.random.default_rng(5), 300).features[:37].astype(np.float64)
    alone = np.concatenate([model(features[n : n + 1]) for n in range(37)])
    np.testing.assert_array_equal(model(features), alone)
    assert model(features[:0]).shape == (0, len(HORIZONS_S), 2)


@pytest.mark.data
@pytest.mark.slow
def test_forecasts_over_30_frames_are_a_tenth_better_than_the_filters(shared_data: Path) -> None:
    errors = evaluate_forecasts(shared_data / "mot15", ARTEFACT)[-1]
    fde = dict(zip(errors.names, errors.fde, strict=True))
    assert errors.gaps > 1000
    assert fde["model"] <= 0.9 * fde["Kalman"]
    assert fde["model"] <= 0.9 * fde["CV"]


def frames() -> list[Detections]:
    rng = np.random.default_rng(0)
    found = []
    for n in range(80):
        x = np.array([100 + 6 * n, 500 - 5 * n, 300.0]) + rng.normal(0, 1, 3)
        boxes = np.column_stack((x - 20, [100, 250, 300], x + 20, [200, 350, 400])).astype(np.float32)
        kept = np.array([not 40 <= n < 52, True, n % 9 != 0])
        found.append(
            Detections(boxes[kept], np.full(kept.sum(), 0.99, np.float32), np.zeros(kept.sum(), np.int64))
        )
    return found


def test_a_tracker_with_the_model_survives_a_gap_and_restarts_bit_for_bit(model: MotionModel) -> None:
    settings = TrackerSettings(motion="lstm")
    whole, copy = Tracker(settings, motion_model=model), Tracker(settings, motion_model=model)
    for n, found in enumerate(frames()):
        tracks = whole.update(found, n * 0.1)
        if n == 47:  # in the middle of the gap, after the model was asked
            copy.load_state(json.loads(json.dumps(whole.state_dict(), allow_nan=False)))
        elif n > 47:
            np.testing.assert_array_equal(copy.update(found, n * 0.1).boxes, tracks.boxes)
    assert sorted(tracks.ids.tolist()) == [1, 2, 3]


def test_forecasts_start_at_the_track_and_follow_its_velocity(model: MotionModel) -> None:
    tracker = Tracker(motion_model=model)
    for n, found in enumerate(frames()[:30]):
        tracks = tracker.update(found, n * 0.1)
    ids, path = tracker.forecast([0.0, 0.5, 1.0])
    assert ids.tolist() == tracks.ids.tolist()
    centre = (tracks.boxes[0, :2] + tracks.boxes[0, 2:]) / 2
    np.testing.assert_allclose(path[0, 0], centre, atol=3)
    assert 40 < path[0, 2, 0] - path[0, 0, 0] < 75


def test_ramps_pass_one_stretch_after_the_other() -> None:
    np.testing.assert_allclose(ramps(np.array(0.375)), [1, 0.5, 0, 0, 0])
    np.testing.assert_allclose(ramps(np.array([0.0, 9.0])), [[0] * 5, [1] * 5])


def test_a_model_of_another_shape_is_refused(shared_data: Path) -> None:
    other = shared_data / "models" / "yolox_nano_float16_quantize.tflite"
    with pytest.raises(ModelError, match=rf"motion model: expected \(1, {STEPS}, B, {FEATURES}\)"):
        MotionModel(Interpreter(other))
