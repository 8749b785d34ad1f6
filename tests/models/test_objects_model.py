"""The classifier that ships: person, car or background."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.vision.model_spec import load_spec
from models.data.classification_set import ClassificationSet, load_classification_set
from models.data.crops import write_crops
from models.data.formats import load_detection_set
from models.data.generated import GeneratedSet, write_generated_set
from models.evaluate.classification import evaluate_bundle

ARTEFACT = Path(__file__).parents[2] / "models" / "artefacts" / "objects.tflite"


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of scenes that no training has seen."""
    folder = tmp_path_factory.mktemp("objects")
    write_generated_set(folder / "set", GeneratedSet(6, 3, 3_000_000))
    write_crops(load_detection_set(folder / "set"), folder / "crops", backgrounds=2, seed=5)
    return folder / "crops"


def _load(pieces: Path) -> ClassificationSet:
    return load_classification_set(pieces, (64, 64), load_spec(ARTEFACT.with_suffix(".json")).labels)


def test_the_card_is_of_the_file_that_ships() -> None:
    spec = load_spec(ARTEFACT.with_suffix(".json"))
    assert (spec.task, spec.labels) == ("classification", ("background", "car", "person"))
    assert spec.provenance.sha256 == hashlib.sha256(ARTEFACT.read_bytes()).hexdigest()
    assert spec.provenance.licence == "Apache-2.0"
    assert ARTEFACT.stat().st_size < 300_000


def test_it_tells_the_pieces_of_unseen_scenes_apart(pieces: Path) -> None:
    data = _load(pieces)
    scores = evaluate_bundle(ARTEFACT, data)
    assert len(data) > 60
    assert scores.accuracy >= 0.9
    assert scores.recall.min() >= 0.75


def test_the_agent_names_them(pieces: Path) -> None:
    words = ["classify", "-m", str(ARTEFACT), "-s", str(pieces / "person"), "--top", "1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == len(list((pieces / "person").iterdir()))
    assert sum(": person " in line for line in lines) >= 0.75 * len(lines)
