"""The action model that ships, on tracks as the pipeline has them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.actions.recognizer import MIN_STEPS, ActionModel, ActionRecognizer
from agent.detect.interpreter import Interpreter
from agent.errors import ModelError
from agent.records import Tracks, TrackState
from agent.vision.model_spec import load_spec
from tests.conftest import Mosquitto

ROOT = Path(__file__).parents[3]
ARTEFACTS = ROOT / "models" / "artefacts"
SIZE = (640, 360)


@pytest.fixture
def model() -> ActionModel:
    path = ARTEFACTS / "action_lstm.tflite"
    return ActionModel(Interpreter(path, threads=1), load_spec(path.with_suffix(".json")).labels)


def people(places: dict[int, tuple[float, float]], seen: bool = True) -> Tracks:
    """People of 30 × 80 px with their feet at (x, y) px, by track id."""
    feet = np.array(list(places.values()), np.float32).reshape(-1, 2)
    count = len(places)
    boxes = np.concatenate((feet - np.array((15, 80)), feet + np.array((15, 0))), axis=1).astype(np.float32)
    zeros = np.zeros(count, np.float32)
    return Tracks(
        ids=np.array(list(places), np.int64),
        boxes=boxes,
        velocities=np.zeros((count, 2), np.float32),
        scores=zeros + 1,
        labels=np.zeros(count, np.int64),
        states=np.full(count, int(TrackState.CONFIRMED if seen else TrackState.LOST), np.int64),
        age_s=zeros,
        since_seen_s=zeros if seen else zeros + 1,
    )


def test_who_stands_and_who_runs_are_told_apart_in_one_scene(model: ActionModel) -> None:
    recognizer = ActionRecognizer(model)
    for number in range(60):
        time_s = number / 10
        places = {3: (100.0, 300.0), 8: (20 + 100 * time_s, 200.0)}  # the second covers 1.25 heights a second
        told = recognizer.update(people(places), time_s, SIZE)
        if time_s < 0.2 * (MIN_STEPS - 2):
            assert (told.labels == -1).all()
    assert [recognizer.labels[label] for label in told.labels] == ["stand", "run"]
    assert (told.scores > 0.5).all()


def test_an_answer_holds_while_the_track_is_lost_and_goes_with_it(model: ActionModel) -> None:
    recognizer = ActionRecognizer(model)
    assert recognizer.update(people({}), 0.0, SIZE).labels.tolist() == []
    for number in range(1, 40):
        told = recognizer.update(people({5: (100.0, 300.0)}), number / 10, SIZE)
    lost = recognizer.update(people({5: (100.0, 300.0)}, seen=False), 4.1, SIZE)
    assert lost.labels.tolist() == told.labels.tolist() == [recognizer.labels.index("stand")]
    assert recognizer.track_count == 1
    fresh = recognizer.update(people({6: (100.0, 300.0)}), 4.3, SIZE)
    assert fresh.labels.tolist() == [-1]
    assert recognizer.track_count == 1
    recognizer.update(people({}), 4.4, SIZE)
    assert recognizer.track_count == 0


def test_more_tracks_than_fit_side_by_side_are_judged_alike(model: ActionModel) -> None:
    features = np.random.default_rng(0).normal(0, 0.5, (37, 24, 10))
    alone = np.concatenate([model(features[n : n + 1]) for n in range(37)])
    np.testing.assert_array_equal(model(features), alone)


def test_a_model_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match=r"action model: expected \(1, 24, B, 10\) to \(1, 1, B, 5\)"):
        ActionModel(Interpreter(ARTEFACTS / "motion_lstm.tflite", threads=1), ("a", "b", "c", "d", "e"))


CONFIG = """
device: porch
broker: {{url: "{url}"}}
outbox: {{path: outbox.sqlite}}
cameras:
  street:
    source: "{root}/agent/demo/street.mp4"
    detector: {{model: "{root}/models/artefacts/street.tflite", threads: 1}}
    actions: {{}}
    zones: {{far: {{points: [[0, 0.3], [1, 0.3], [1, 0.52], [0, 0.52]]}}}}
    rules:
      - {{kind: zone, zone: far, name: runner, when: [inside], labels: [person], actions: [run]}}
      - {{kind: zone, zone: far, name: resting, when: [inside], actions: [stand, fall, loiter]}}
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demos_runner_is_alerted_and_nobody_else(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """The clip shows one runner, on the far pavement; people on foot stay nearer to the camera."""
    (tmp_path / "edgetrack.yaml").write_text(CONFIG.format(url=mosquitto.url, root=ROOT))
    command = ["mosquitto_sub", "-p", str(mosquitto.port), "-q", "1", "-t", "edgetrack/porch/street/alerts"]
    command += ["-i", "listener", "-c"]
    subprocess.run([*command, "-E"], check=True)  # subscribes, and leaves its session at the broker
    words = [sys.executable, "-m", "agent.cli", "run", "-q", "edgetrack.yaml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 alerts" in done.stdout
    got = subprocess.run([*command, "-C", "2", "-W", "120"], capture_output=True, text=True, check=True)
    start, end = map(json.loads, got.stdout.splitlines())
    assert (start["rule"], start["phase"], end["phase"]) == ("runner", "start", "end")
    assert start["incident"] == end["incident"]
    assert (start["track"]["label"], start["track"]["action"]) == ("person", "run")
    assert start["track"]["action_score"] > 0.5
    assert end["duration_s"] > 1.0
