"""A small action model on a few scenes: it learns, a kill changes nothing, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.actions.history import FEATURES, STEPS
from agent.errors import ConfigError, DataError, ModelError
from agent.vision.model_spec import load_spec
from models.actions.example_file import load_examples, save_examples
from models.actions.examples import ACTION_LABELS, ActionExamples, generated_examples
from models.architectures.action import MAP, occupancy_maps
from models.architectures.kinds import ActionKind
from models.cli import app
from models.training.action import train_action
from models.training.action_settings import ActionTraining


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Tracks of four scenes, and of another."""
    folder = tmp_path_factory.mktemp("actions")
    for name, scenes, seed in (("train.npz", 4, 0), ("held_out.npz", 1, 500)):
        save_examples(folder / name, generated_examples(scenes, seed, passes=1))
    return folder / "train.npz", folder / "held_out.npz"


def _settings(files: tuple[Path, Path], output: Path, **changes: object) -> ActionTraining:
    base = {
        "data": files[0], "held_out": files[1], "output": output, "kind": "tcn", "name": "small", "units": 8,
        "tracks": 4, "epochs": 8, "batch_size": 16, "learning_rate": 1e-2,
    }  # fmt: skip
    return ActionTraining.model_validate({**base, **changes})


@pytest.mark.parametrize("kind", [ActionKind.TCN, ActionKind.CONV3D])
def test_training_lowers_the_loss(files: tuple[Path, Path], tmp_path: Path, kind: ActionKind) -> None:
    done = train_action(_settings(files, tmp_path / "run", kind=kind, held_out=files[0]))
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert rows[0] == "epoch,loss,macro_f1,seconds"
    assert float(rows[-1].split(",")[1]) < 0.7 * float(rows[1].split(",")[1])
    assert done.macro_f1 > 0.5
    spec = load_spec(done.spec)
    assert (spec.task, spec.labels) == ("sequence", tuple(map(str, ACTION_LABELS)))
    with np.load(tmp_path / "run" / "calibration.npz") as stored:
        shape = (STEPS, MAP, MAP, 1) if kind is ActionKind.CONV3D else (STEPS, 4, FEATURES)
        assert stored["x"].shape[1:] == shape


def test_all_of_several_files_are_learnt(files: tuple[Path, Path], tmp_path: Path) -> None:
    lengths = [len(load_examples(file)) for file in files]
    steps: set[int] = set()
    settings = _settings(files, tmp_path / "run", data=list(files), epochs=1)
    train_action(settings, lambda _text, total: steps.add(total))
    assert steps == {sum(lengths) // 16}
    assert sum(lengths) // 16 > lengths[0] // 16


class _PowerCutError(Exception):
    """Stands for the power going."""


def test_killed_training_goes_on_to_the_same_weights(files: tuple[Path, Path], tmp_path: Path) -> None:
    """With `deterministic` the weights are equal bit by bit."""
    changes = {"epochs": 3, "deterministic": True}
    train_action(_settings(files, tmp_path / "straight", **changes))
    killed = _settings(files, tmp_path / "killed", **changes)
    steps = 0

    def cut_in_the_second_epoch(_text: str, total: int) -> None:
        nonlocal steps
        steps += 1
        if steps == total // 2:
            raise _PowerCutError

    with pytest.raises(_PowerCutError):
        train_action(killed, cut_in_the_second_epoch)
    assert (tmp_path / "killed" / "log.csv").read_text().count("\n") == 2
    train_action(killed)
    with (
        np.load(tmp_path / "straight" / "checkpoint.npz") as one,
        np.load(tmp_path / "killed" / "checkpoint.npz") as two,
    ):
        for name in one.files:
            if name != "meta":
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_what_cannot_be_trained_on_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"epoch \d, step \d+: expected a finite loss, got (nan|inf)"):
        train_action(_settings(files, tmp_path / "nan", learning_rate=1e30))
    with pytest.raises(DataError, match=r"train.npz: expected 100000 examples or more, got \d+; lower batch"):
        train_action(_settings(files, tmp_path / "few", batch_size=100_000))
    train_action(_settings(files, tmp_path / "run", epochs=1))
    with pytest.raises(ConfigError, match="units"):
        train_action(_settings(files, tmp_path / "run", epochs=1, units=12))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.array([0, 5])}, r"expected classes of 0\.\.4, got 5"),
        ({"y": np.array([0, -1])}, r"expected classes of 0\.\.4, got -1"),
        ({"y": np.array([0])}, r"expected x \(N, 24, 10\), y and tracks \(N,\)"),
        ({"x": np.full((2, STEPS, FEATURES), np.nan, np.float32)}, "expected finite numbers"),
        ({"classes": np.array(["walk", "run"])}, "expected the actions walk, run, stand, fall, loiter, got"),
    ],
)
def test_faulty_examples_are_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    good = {
        "x": np.zeros((2, STEPS, FEATURES), np.float32),
        "y": np.array([0, 1]),
        "tracks": np.array([0, 1]),
        "classes": np.array([str(label) for label in ACTION_LABELS]),
    }
    path = tmp_path / "examples.npz"
    np.savez(path, **{**good, **change})
    with pytest.raises(DataError, match=message):
        load_examples(path)


def test_a_file_that_holds_no_examples_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("text")
    for name in ("text.npz", "absent.npz"):
        result = CliRunner().invoke(
            app, ["train", "action", "-s", f"data={tmp_path / name}", "-s", f"held_out={tmp_path / name}"]
        )
        assert isinstance(result.exception, DataError)
        assert f"{name}: expected examples of actions, got" in str(result.exception)
        assert "make it with edgetrack-models scene actions" in str(result.exception)


def test_examples_come_back_from_their_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = ActionExamples(
        rng.normal(size=(3, STEPS, FEATURES)).astype(np.float32), np.array([0, 4, 2]), np.array([0, 0, 1])
    )
    save_examples(tmp_path / "deep" / "a.npz", made)
    got = load_examples(tmp_path / "deep" / "a.npz")
    np.testing.assert_array_equal(got.features, made.features)
    assert (got.classes.tolist(), got.tracks.tolist()) == ([0, 4, 2], [0, 0, 1])


def test_maps_show_the_box_now_in_its_place() -> None:
    """Twice as high as wide: an eighteenth of the map's area, feet in the middle of its lower third."""
    features = np.zeros((1, STEPS, FEATURES))
    features[..., 4] = np.log(0.5)
    features[:, -1, 8] = 1
    maps = occupancy_maps(features)
    assert maps.shape == (1, STEPS, MAP, MAP, 1)
    assert maps[0, :-1].sum() == 0
    now = maps[0, -1, :, :, 0]
    assert now.sum() / MAP**2 == pytest.approx(1 / 18)
    rows, columns = now.nonzero()
    assert (rows.max() + 1) * 3 / MAP == pytest.approx(2.0, abs=0.2)
    assert (columns.min() + columns.max() + 1) / 2 == MAP / 2
