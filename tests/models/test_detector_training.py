"""A tiny detector on a tiny set: it learns, a kill changes nothing, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import ConfigError, DataError, ModelError
from agent.vision.model_spec import load_spec
from models.architectures.detector import DetectorShape, build_detector
from models.data.formats import load_detection_set
from models.training.detector import train_detector
from models.training.detector_settings import DetectorTraining

LABELS = "disc\nbar\n"


def _write_set(folder: Path, count: int, seed: int) -> None:
    """Bright discs and dark bars on grey noise, 96×64, `class x1 y1 x2 y2`."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    (folder / "labels.txt").write_text(LABELS)
    for number in range(count):
        image = rng.normal(110, 12, (64, 96, 3))
        lines = []
        for half in (0, 48):
            side = int(rng.integers(18, 34))
            x, y = half + int(rng.integers(2, 44 - side + 2)), int(rng.integers(2, 62 - side))
            kind = int(rng.integers(2))
            if kind == 0:
                cv2.circle(image, (x + side // 2, y + side // 2), side // 2, (230, 240, 250), -1)
            else:
                cv2.rectangle(image, (x, y), (x + side, y + side), (20, 30, 25), -1)
            lines.append(f"{kind} {x} {y} {x + side} {y + side}")
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.clip(image, 0, 255).astype(np.uint8))
        (folder / f"{number:03d}.txt").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sets")
    _write_set(folder / "train", 64, 0)
    _write_set(folder / "held_out", 16, 1)
    return folder / "train", folder / "held_out"


def _settings(sets: tuple[Path, Path], output: Path, **changes: object) -> DetectorTraining:
    base = {
        "data": sets[0], "held_out": sets[1], "output": output, "width": 96, "height": 64, "stem": 8,
        "stages": (16, 24, 32, 32), "depths": (1, 1, 1, 1), "neck": 24, "batch_size": 8, "epochs": 36,
        "warmup_steps": 10, "learning_rate": 2e-2, "measure_every": 36, "plain_epochs": 36, "name": "shapes",
    }  # fmt: skip
    return DetectorTraining.model_validate({**base, **changes})


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_training_lowers_the_loss_and_finds_most_objects(sets: tuple[Path, Path], tmp_path: Path) -> None:
    done = train_detector(_settings(sets, tmp_path / "run"))
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    first, last = (float(rows[index].split(",")[1]) for index in (1, -1))
    assert last < 0.5 * first
    assert done.ap50 > 0.8
    spec = load_spec(done.spec)
    assert spec.labels == ("disc", "bar")
    assert spec.decoder == "anchor-free"
    assert done.model.is_file()


class _PowerCutError(Exception):
    """Stands for the power going."""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_training_goes_on_to_the_same_weights(sets: tuple[Path, Path], tmp_path: Path) -> None:
    """With `deterministic` the weights are equal bit by bit."""
    changes = {"epochs": 3, "measure_every": 3, "deterministic": True}
    straight = _settings(sets, tmp_path / "straight", **changes)
    train_detector(straight)
    killed = _settings(sets, tmp_path / "killed", **changes)
    steps = 0

    def kill_in_the_second_epoch(_text: str, _total: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 12:
            raise _PowerCutError

    with pytest.raises(_PowerCutError):
        train_detector(killed, kill_in_the_second_epoch)
    assert (tmp_path / "killed" / "log.csv").read_text().count("\n") == 2
    train_detector(killed)
    with (
        np.load(tmp_path / "straight" / "checkpoint.npz") as one,
        np.load(tmp_path / "killed" / "checkpoint.npz") as two,
    ):
        assert one.files == two.files
        for name in one.files:
            if name != "meta":
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_training_starts_from_the_layers_that_are_the_same(sets: tuple[Path, Path], tmp_path: Path) -> None:
    """Weights of a network without stride 4 start one with it; what has other shapes is refused."""
    import keras

    shape = DetectorShape(("disc", "bar"), 96, 64, 8, (16, 24, 32, 32), (1, 1, 1, 1), 24)
    given = build_detector(shape)
    given.save(tmp_path / "given.keras")
    still = {"epochs": 1, "measure_every": 1, "learning_rate": 1e-12, "warmup_steps": 0, "weight_decay": 0.0}
    done = train_detector(
        _settings(sets, tmp_path / "run", start_from=tmp_path / "given.keras", fine=8, **still)
    )
    found = keras.saving.load_model(done.model, compile=False)
    assert [tuple(output.shape) for output in found.outputs[:2]] == [(None, 16, 24, 2), (None, 16, 24, 4)]
    for name in ("stem_conv", "stage8_0_conv", "smooth8_conv", "logits_16", "boxes_32"):
        np.testing.assert_allclose(
            found.get_layer(name).get_weights()[0], given.get_layer(name).get_weights()[0], atol=1e-9
        )
    assert load_spec(done.spec).strides == (4, 8, 16, 32)
    with pytest.raises(ModelError, match=r"given\.keras: expected this detector's \d+ layers, got \d+ of"):
        train_detector(
            _settings(sets, tmp_path / "other", start_from=tmp_path / "given.keras", stem=4, neck=16, **still)
        )


def test_loss_that_is_no_number_stops_the_training(sets: tuple[Path, Path], tmp_path: Path) -> None:
    settings = _settings(sets, tmp_path / "run", learning_rate=1e30, warmup_steps=0)
    with pytest.raises(ModelError, match=r"training, epoch 1, step \d+: expected a finite loss, got nan"):
        train_detector(settings)


def test_other_settings_in_the_same_folder_are_refused(sets: tuple[Path, Path], tmp_path: Path) -> None:
    settings = _settings(sets, tmp_path / "run", epochs=1, measure_every=1)
    train_detector(settings)
    with pytest.raises(
        ConfigError, match=r"settings\.json seed: expected 0 as when this training began, got 4"
    ):
        train_detector(_settings(sets, tmp_path / "run", epochs=1, measure_every=1, seed=4))


def test_damaged_checkpoint_is_named(sets: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match=r"checkpoint\.npz: expected a checkpoint"):
        train_detector(_settings(sets, tmp_path / "run"))


def test_sets_that_share_pictures_are_refused(sets: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected other pictures than in"):
        train_detector(_settings((sets[0], sets[0]), tmp_path / "run"))


def test_sets_with_other_classes_are_refused(sets: tuple[Path, Path], tmp_path: Path) -> None:
    _write_set(tmp_path / "other", 2, 9)
    (tmp_path / "other" / "labels.txt").write_text("disc\nstick\n")
    assert load_detection_set(tmp_path / "other").labels == ("disc", "stick")
    with pytest.raises(DataError, match="expected the classes disc, bar as in"):
        train_detector(_settings((sets[0], tmp_path / "other"), tmp_path / "run"))


def test_too_few_pictures_for_a_batch_are_refused(sets: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected 100 pictures or more for one batch, got 64"):
        train_detector(_settings(sets, tmp_path / "run", batch_size=100))
