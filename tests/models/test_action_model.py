"""The action model that ships, through the agent's runtime."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.errors import DataError
from agent.vision.model_spec import load_spec, save_spec
from models.actions.example_file import save_examples
from models.actions.examples import ActionExamples, generated_examples
from models.cli import app
from models.evaluate.action import evaluate_action_model

ARTEFACT = Path(__file__).parents[2] / "models" / "artefacts" / "action_lstm.tflite"


@pytest.fixture(scope="module")
def held_out() -> ActionExamples:
    """Tracks of scenes that no training has seen."""
    return generated_examples(3, 2_000_100, passes=1)


def test_the_card_is_of_the_file_that_ships() -> None:
    spec = load_spec(ARTEFACT.with_suffix(".json"))
    assert (spec.task, spec.labels) == ("sequence", ("walk", "run", "stand", "fall", "loiter"))
    assert spec.provenance.sha256 == hashlib.sha256(ARTEFACT.read_bytes()).hexdigest()
    assert spec.provenance.licence == "Apache-2.0"
    assert "edgetrack-models train action" in spec.provenance.command


def test_it_knows_what_people_in_unseen_scenes_do(held_out: ActionExamples) -> None:
    """A few scenes vary more than the many of its card."""
    scores = evaluate_action_model(ARTEFACT, held_out)
    assert scores.classes.confusion.sum() == len(held_out) > 150
    assert scores.classes.accuracy >= 0.85


def test_the_command_tells_the_same(held_out: ActionExamples, tmp_path: Path) -> None:
    save_examples(tmp_path / "held_out.npz", held_out)
    words = ["evaluate", "action", "-m", str(ARTEFACT), "-d", str(tmp_path / "held_out.npz")]
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert told["accuracy"] == evaluate_action_model(ARTEFACT, held_out).classes.accuracy
    table = CliRunner().invoke(app, words).stdout
    assert f"macro F1 {told['macro_f1']:.4f}, {len(held_out)} examples" in table


def test_a_model_of_other_actions_is_refused(held_out: ActionExamples, tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(ARTEFACT.read_bytes())
    spec = load_spec(ARTEFACT.with_suffix(".json"))
    save_spec(spec.model_copy(update={"labels": (*spec.labels[:4], "dance")}), other.with_suffix(".json"))
    with pytest.raises(DataError, match=r"expected labels walk, run, stand, fall, loiter, got .* dance"):
        evaluate_action_model(other, held_out)


def test_mirrored_tracks_are_judged_alike(held_out: ActionExamples) -> None:
    features = held_out.features.copy()
    features[..., [0, 5]] *= -1
    mirrored = ActionExamples(features, held_out.classes, held_out.tracks)
    ours, theirs = (evaluate_action_model(ARTEFACT, part).classes for part in (held_out, mirrored))
    assert np.abs(ours.accuracy - theirs.accuracy) < 0.05
