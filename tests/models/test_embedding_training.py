"""A small embedding on striped crops: it learns, a kill changes nothing, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.errors import ConfigError, DataError, ModelError
from agent.vision.model_spec import load_spec
from models.architectures.embedding import EmbeddingShape
from models.cli import app
from models.data.classification_set import ClassificationSet, load_classification_set
from models.data.identities import save_identities
from models.evaluate.embedding import evaluate_embedding, score_embeddings
from models.training.embedding import contrastive_loss, train_embedding
from models.training.embedding_batches import IdentityBatches
from models.training.embedding_settings import EmbeddingTraining


def _striped(identities: int, crops: int, seed: int) -> ClassificationSet:
    """Crops (64, 32) whose upper and lower halves have an identity's colours; four identities a group."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(30, 226, (identities, 2, 1, 1, 3))
    clean = np.repeat(
        np.broadcast_to(colours, (identities, 2, 32, 32, 3)).reshape(-1, 64, 32, 3), crops, axis=0
    )
    noisy = clean * rng.uniform(0.8, 1.2, (len(clean), 1, 1, 1)) + rng.normal(0, 20, clean.shape)
    labels = tuple(f"{number // 4}-{number}" for number in range(identities))
    images = np.clip(noisy, 0, 255).astype(np.uint8)
    return ClassificationSet(labels, images, np.repeat(np.arange(identities), crops))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("identities")
    save_identities(folder / "train.npz", _striped(32, 6, 0))
    save_identities(folder / "held_out.npz", _striped(12, 4, 1))
    return folder / "train.npz", folder / "held_out.npz"


def _settings(files: tuple[Path, Path], output: Path, **changes: object) -> EmbeddingTraining:
    base = {
        "data": files[0], "held_out": files[1], "output": output, "name": "small", "stem": 8,
        "stages": [16, 24], "length": 16, "groups_per_batch": 2, "crops_per_identity": 3, "epochs": 3,
        "learning_rate": 1e-2, "cameras": 0.3,
    }  # fmt: skip
    return EmbeddingTraining.model_validate({**base, **changes})


def test_training_lowers_the_loss_and_finds_identities(files: tuple[Path, Path], tmp_path: Path) -> None:
    done = train_embedding(_settings(files, tmp_path / "run", epochs=6))
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert rows[0] == "epoch,loss,mean_ap,seconds"
    assert float(rows[-1].split(",")[1]) < 0.8 * float(rows[1].split(",")[1])
    scores = evaluate_embedding(done.model, files[1])
    assert scores["own scene"].mean_ap == pytest.approx(done.mean_ap, abs=1e-6)
    assert scores["all scenes"].rank1 > 0.8 > 4 * scores["all scenes"].chance
    spec = load_spec(done.spec)
    assert spec.task == "embedding"
    assert spec.input is not None
    assert (spec.input.width, spec.input.height, spec.input.resize) == (32, 64, "stretch")
    with np.load(tmp_path / "run" / "calibration.npz") as stored:
        assert stored["x"].shape == (192, 64, 32, 3)
        assert -1 <= stored["x"].min() < stored["x"].max() <= 1


class _PowerCutError(Exception):
    """Stands for the power going."""


def test_killed_training_goes_on_to_the_same_weights(files: tuple[Path, Path], tmp_path: Path) -> None:
    """With `deterministic` the weights are equal bit by bit."""
    train_embedding(_settings(files, tmp_path / "straight", deterministic=True))
    killed = _settings(files, tmp_path / "killed", deterministic=True)
    steps = 0

    def cut_in_the_second_epoch(_text: str, total: int) -> None:
        nonlocal steps
        steps += 1
        if steps == total // 2:
            raise _PowerCutError

    with pytest.raises(_PowerCutError):
        train_embedding(killed, cut_in_the_second_epoch)
    assert (tmp_path / "killed" / "log.csv").read_text().count("\n") == 2
    train_embedding(killed)
    with (
        np.load(tmp_path / "straight" / "checkpoint.npz") as one,
        np.load(tmp_path / "killed" / "checkpoint.npz") as two,
    ):
        for name in one.files:
            if name != "meta":
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_what_cannot_be_trained_on_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"epoch \d, step \d+: expected a finite loss, got (nan|inf)"):
        train_embedding(_settings(files, tmp_path / "nan", learning_rate=1e30))
    with pytest.raises(
        DataError, match=r"train.npz: expected 1200 crops or more .* got 192 crops and 8 such"
    ):
        train_embedding(_settings(files, tmp_path / "few", groups_per_batch=100))
    with pytest.raises(DataError, match=r"expected crops of \(32, 16, 3\), got \(64, 32, 3\); set width"):
        train_embedding(_settings(files, tmp_path / "size", width=16, height=32))
    with pytest.raises(ConfigError, match="a width in steps of 8 px and a height in steps of 32, got 30×64"):
        EmbeddingShape(width=30)
    single = _striped(4, 1, 0)
    save_identities(tmp_path / "single.npz", single)
    with pytest.raises(DataError, match="got 4 crops and 0 such groups"):
        train_embedding(_settings((tmp_path / "single.npz", files[1]), tmp_path / "single"))


def test_a_batch_holds_several_crops_of_identities_of_one_group(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = _settings(files, tmp_path)
    batches = IdentityBatches(load_classification_set(files[0]), settings)
    (images, identities), *_ = batches.epoch(1, 2)
    assert images.shape == (24, 64, 32, 3)
    assert np.unique(identities, return_counts=True)[1].min() >= 3
    assert len(np.unique(identities // 4)) <= 2
    (again, same), *_ = batches.epoch(1, 2)
    np.testing.assert_array_equal(again, images)
    np.testing.assert_array_equal(same, identities)
    (other, _), *_ = batches.epoch(2, 2)
    assert (other != images).any()


def test_loss_is_that_of_a_naive_loop() -> None:
    """Khosla et al., eq. 2, written out."""
    rng = np.random.default_rng(0)
    vectors, identities, heat = (
        rng.normal(size=(8, 5)).astype(np.float32),
        np.array([0, 0, 1, 1, 1, 2, 2, 0]),
        0.2,
    )
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    total = 0.0
    for i in range(8):
        others = [a for a in range(8) if a != i]
        below = sum(np.exp(unit[i] @ unit[a] / heat) for a in others)
        positives = [p for p in others if identities[p] == identities[i]]
        total -= sum(np.log(np.exp(unit[i] @ unit[p] / heat) / below) for p in positives) / len(positives)
    assert float(contrastive_loss(heat)(identities, vectors)) == pytest.approx(total / 8, rel=1e-5)


def test_ranks_are_those_that_were_counted_by_hand() -> None:
    """Angles 0, 10, 21, 45 and 90 degrees; identities A B A B A, the last one in another group."""
    angles = np.radians([0, 10, 21, 45, 90])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32) * 3
    identities, groups = np.array([0, 1, 0, 1, 0]), np.array([0, 0, 0, 0, 1])
    found = score_embeddings(features, identities, groups)
    # A at 0 finds B A B, B at 10 finds A A B, A at 21 finds B A B, B at 45 finds A B A.
    assert (found.queries, found.rank1) == (4, 0.0)
    assert found.mean_ap == pytest.approx((1 / 2 + 1 / 3 + 1 / 2 + 1 / 2) / 4)
    assert found.chance == pytest.approx(1 / 3)
    with pytest.raises(DataError, match="two or more crops of an identity"):
        score_embeddings(features, np.arange(5), groups)


def test_commands_say_what_is_wrong_in_one_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    from agent.errors import EdgetrackError

    for words in (
        ["train", "embedding"],
        ["train", "embedding", "-s", f"data={tmp_path}/none.npz", "-s", f"held_out={files[1]}"],
        ["evaluate", "embedding", "-m", str(tmp_path / "none.tflite"), "-d", str(files[1])],
        ["evaluate", "embedding", "-m", str(tmp_path / "none.keras"), "-d", str(files[1])],
    ):
        result = CliRunner().invoke(app, words)
        assert isinstance(result.exception, EdgetrackError), (words, result.exception)
        assert "\n" not in str(result.exception)
