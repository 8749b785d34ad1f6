"""A tiny classifier on tiny pictures: it learns, a kill changes nothing, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.errors import DataError, ModelError
from agent.vision.model_spec import load_spec
from models.training.classifier import train_classifier
from models.training.classifier_settings import ClassifierTraining
from tests.models.printed_digits import printed_digits


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 noisy 16×16 pictures of upright, lying and slanted stripes."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 300)
    y, x = np.mgrid[0:16, 0:16]
    waves = np.stack([x, y, (x + y) / np.sqrt(2)])[classes] + rng.uniform(0, 6, (300, 1, 1))
    images = 128 + 70 * np.sin(waves * 1.3) + rng.normal(0, 35, waves.shape)
    path = tmp_path_factory.mktemp("stripes") / "stripes.npz"
    np.savez(
        path, x=np.clip(images, 0, 255).astype(np.uint8), y=classes, classes=np.array(["up", "flat", "slant"])
    )
    return path


def _settings(data: Path, output: Path, **changes: object) -> ClassifierTraining:
    base = {
        "data": data, "output": output, "stem": 8, "stages": (16, 16), "epochs": 8, "batch_size": 30,
        "learning_rate": 5e-3, "name": "stripes", "erase": 0.3,
    }  # fmt: skip
    return ClassifierTraining.model_validate({**base, **changes})


def test_training_tells_stripes_apart(stripes: Path, tmp_path: Path) -> None:
    done = train_classifier(_settings(stripes, tmp_path / "run"))
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert rows[0] == "epoch,loss,accuracy,seconds"
    assert float(rows[-1].split(",")[1]) < 0.6 * float(rows[1].split(",")[1])
    assert done.accuracy >= 0.9
    spec = load_spec(done.spec)
    assert spec.task == "classification"
    assert spec.labels == ("up", "flat", "slant")
    assert spec.input is not None
    assert (spec.input.width, spec.input.height, spec.input.colour) == (16, 16, "gray")


def test_few_steps_are_enough_for_the_statistics_of_batches(tmp_path: Path) -> None:
    """Thirty steps; with those that suit thousands the network would answer by chance."""
    for name, count, seed in (("train", 600, 1), ("held_out", 200, 2)):
        images, digits = printed_digits(count, seed)
        np.savez(tmp_path / f"{name}.npz", x=images, y=digits)
    settings = {
        "held_out": tmp_path / "held_out.npz",
        "stem": 12,
        "stages": (24, 48),
        "epochs": 3,
        "erase": 0.0,
    }
    done = train_classifier(_settings(tmp_path / "train.npz", tmp_path / "run", batch_size=60, **settings))
    assert done.accuracy >= 0.4


class _PowerCutError(Exception):
    """Stands for the power going."""


@pytest.mark.slow
def test_killed_training_goes_on_to_the_same_weights(stripes: Path, tmp_path: Path) -> None:
    """With `deterministic` the weights are equal bit by bit, dropout included."""
    changes = {"epochs": 3, "deterministic": True}
    train_classifier(_settings(stripes, tmp_path / "straight", **changes))
    steps = 0

    def cut_in_the_second_epoch(_text: str, _total: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 13:
            raise _PowerCutError

    killed = _settings(stripes, tmp_path / "killed", **changes)
    with pytest.raises(_PowerCutError):
        train_classifier(killed, cut_in_the_second_epoch)
    train_classifier(killed)
    with (
        np.load(tmp_path / "straight" / "checkpoint.npz") as one,
        np.load(tmp_path / "killed" / "checkpoint.npz") as two,
    ):
        for name in one.files:
            if name != "meta":
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_loss_that_is_no_number_stops_the_training(stripes: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"training, epoch \d, step \d+: expected a finite loss, got (nan|inf)"
    ):
        train_classifier(_settings(stripes, tmp_path / "run", learning_rate=1e30))


def test_held_out_set_with_other_classes_is_refused(stripes: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    np.savez(
        other,
        x=np.zeros((4, 16, 16), np.uint8),
        y=np.zeros(4, np.int64),
        classes=np.array(["up", "down", "left"]),
    )
    with pytest.raises(DataError, match="expected up, flat, slant, got up, down, left"):
        train_classifier(_settings(stripes, tmp_path / "run", held_out=other))


def test_held_out_set_of_another_size_is_refused(stripes: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    names = np.array(["up", "flat", "slant"])
    np.savez(other, x=np.zeros((4, 20, 16), np.uint8), y=np.zeros(4, np.int64), classes=names)
    with pytest.raises(DataError, match=r"expected pictures of \(16, 16, 1\)"):
        train_classifier(_settings(stripes, tmp_path / "run", held_out=other))
