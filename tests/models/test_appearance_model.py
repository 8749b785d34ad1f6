"""The appearance embedding that ships: who is seen again on scenes that no training has seen."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.detect.embedder import Embedder
from agent.errors import ModelError
from agent.vision.model_spec import load_spec
from models.cli import app
from models.data.identities import GeneratedSightings, cut_identities, generated_sightings, save_identities

ARTEFACT = Path(__file__).parents[2] / "models" / "artefacts" / "appearance.tflite"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(ARTEFACT)


def test_the_card_is_of_the_file_that_ships() -> None:
    spec = load_spec(ARTEFACT.with_suffix(".json"))
    assert spec.task == "embedding"
    assert spec.provenance.sha256 == hashlib.sha256(ARTEFACT.read_bytes()).hexdigest()
    assert spec.provenance.licence == "Apache-2.0"
    assert ARTEFACT.stat().st_size < 300_000


def test_identities_of_unseen_scenes_are_found_again(tmp_path: Path) -> None:
    data = cut_identities(generated_sightings(GeneratedSightings(5, 6, 4_000_000)))
    save_identities(tmp_path / "identities.npz", data)
    words = ["evaluate", "embedding", "-m", str(ARTEFACT), "-d", str(tmp_path / "identities.npz")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    name, queries, rank1, mean_ap, chance = result.stdout.splitlines()[1].rsplit(maxsplit=4)
    assert name == "own scene"
    assert int(queries) > 80
    assert float(rank1) >= 0.88
    assert float(mean_ap) >= 0.8 > 2 * float(chance)


def test_boxes_of_a_picture_become_unit_vectors(embedder: Embedder) -> None:
    (sighting, *_) = generated_sightings(GeneratedSightings(1, 2, 4_000_001))
    width = sighting.image.shape[1]
    beyond = np.array([[width + 5, 10, width + 25, 60], [-40, 0, -10, 50]], np.float32)
    boxes = np.concatenate((sighting.boxes, beyond))
    vectors = embedder(sighting.image, boxes)
    assert vectors.shape == (len(boxes), 64)
    np.testing.assert_allclose(np.linalg.norm(vectors[:-2], axis=1), 1.0, atol=1e-5)
    assert not vectors[-2:].any()
    np.testing.assert_array_equal(embedder(sighting.image, boxes[:1]), vectors[:1])
    assert embedder(sighting.image, boxes[:0]).shape == (0, 64)


def test_a_model_for_something_else_is_refused() -> None:
    with pytest.raises(ModelError, match=r"expected an embedding model with `input`, got one for classific"):
        Embedder(ARTEFACT.with_name("objects.tflite"))
