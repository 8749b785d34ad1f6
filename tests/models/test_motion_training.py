"""A small motion model, from recordings too: it learns, a kill changes nothing, and what is wrong is said."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.detect.interpreter import Interpreter
from agent.errors import ConfigError, DataError, ModelError
from agent.track.motion_lstm import MotionModel
from agent.vision.model_spec import load_spec
from models.architectures.kinds import Cell
from models.cli import app
from models.motion.examples import mean_errors
from models.motion.trajectories import make_examples

pytest.importorskip("filterpy", reason="needs filterpy (extra models)")
from models.training.motion import train_motion
from models.training.motion_data import load_motion_data
from models.training.motion_settings import MotionTraining
from tests.models.motion_recordings import ROOT, record, walkers

FPS = 10.0


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two recordings of ten people each, and a detector that strays."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, seed in (("a.ndjson", 0), ("b.ndjson", 1)):
        path = walkers(10, 200, FPS, seed)
        path += 3.0 * np.random.default_rng(seed).normal(size=path.shape)
        record(folder / name, path, FPS)
    return folder


def _settings(output: Path, **changes: object) -> MotionTraining:
    base = {"output": output, "examples": 1000, "epochs": 4, "units": 8, "batch_size": 64}
    return MotionTraining.model_validate({**base, **changes})


@pytest.mark.parametrize("cell", [Cell.LSTM, Cell.GRU])
def test_training_lowers_the_loss_and_the_file_forecasts(tmp_path: Path, cell: Cell) -> None:
    settings = _settings(tmp_path / "m.tflite", cell=cell, examples=3000)
    done = train_motion(settings, load_motion_data(settings))
    rows = (tmp_path / "m.run" / "log.csv").read_text().splitlines()
    assert rows[0] == "epoch,loss,skill,seconds" and len(rows) == 5
    assert float(rows[-1].split(",")[1]) < 0.97 * float(rows[1].split(",")[1])
    (score,) = done.scores
    assert (score.name, score.examples) == ("generated", score.examples) and score.examples > 900
    assert all(int8 < kalman for int8, kalman in zip(score.int8, score.kalman, strict=True))
    np.testing.assert_allclose(score.int8, score.floating, rtol=0.03)
    examples = make_examples(np.random.default_rng(7), 1200)
    found = MotionModel(Interpreter(done.model, threads=1))(examples.features.astype(np.float64))
    assert mean_errors(examples.corrections - found)[2] < mean_errors(examples.corrections)[2]
    spec = load_spec(done.model.with_suffix(".json"))
    assert (spec.name, spec.task, spec.provenance.licence) == (f"motion-{cell}", "sequence", "Apache-2.0")


def test_the_command_learns_from_recordings_and_tells_the_error_on_what_it_did_not_see(
    recordings: Path, tmp_path: Path
) -> None:
    output = tmp_path / "m.tflite"
    words = ["train", "motion", "-o", str(output), "--recordings", str(recordings), "--examples", "1000"]
    result = CliRunner().invoke(app, [*words, "--epochs", "3", "-s", "batch_size=64", "-s", "repeat=2"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith(f"{recordings / 'a.ndjson'}: 200 frames, 0.3 min, 10 tracks, ")
    start = next(n for n, line in enumerate(lines) if line.startswith("recorded, held out ("))
    kalman, model, int8 = ([float(x) for x in line.split()[-5:-1]] for line in lines[start + 1 : start + 4])
    assert [line.split("  ")[1] for line in lines[start + 1 : start + 4]] == [
        "Kalman",
        "Kalman + model",
        "Kalman + model, int8",
    ]
    assert sum(model) < sum(kalman) and sum(int8) < sum(kalman)
    provenance = json.loads(output.with_suffix(".json").read_text())["provenance"]
    assert provenance["licence"] == "of the recordings' owner"
    assert "moments of recorded tracks, 2 times an epoch" in provenance["source"]
    assert str(recordings) not in json.dumps(provenance)


def test_recordings_held_out_are_not_learnt_from(recordings: Path, tmp_path: Path) -> None:
    changes = {"recordings": recordings / "a.ndjson", "held_out": recordings / "b.ndjson"}
    data = load_motion_data(_settings(tmp_path / "m.tflite", **changes))
    learnt = len(data.recorded) + len(data.choose_recorded)
    assert [len(one.examples) for one in data.recordings] == [learnt, len(data.held_out["recorded"])]
    with pytest.raises(DataError, match=r"held_out: expected other recordings .* b\.ndjson again; leave"):
        load_motion_data(_settings(tmp_path / "m.tflite", **{**changes, "recordings": recordings}))


class _PowerCutError(Exception):
    """Stands for the power going."""


@pytest.mark.timeout(1200)
def test_killed_training_goes_on_to_the_same_weights(recordings: Path, tmp_path: Path) -> None:
    """With `deterministic` the weights, and so the file, are equal bit by bit."""
    changes = {"epochs": 3, "deterministic": True, "recordings": recordings}
    straight = _settings(tmp_path / "straight.tflite", **changes)
    killed = _settings(tmp_path / "killed.tflite", **changes)
    data = load_motion_data(straight)
    train_motion(straight, data)
    steps = 0

    def cut_in_the_second_epoch(_text: str, total: int) -> None:
        nonlocal steps
        steps += 1
        if steps == total // 2:
            raise _PowerCutError

    with pytest.raises(_PowerCutError):
        train_motion(killed, data, cut_in_the_second_epoch)
    assert not killed.output.exists()
    assert (tmp_path / "killed.run" / "log.csv").read_text().count("\n") == 2
    train_motion(killed, load_motion_data(killed))
    assert killed.output.read_bytes() == straight.output.read_bytes()
    with (
        np.load(tmp_path / "straight.run" / "checkpoint.npz") as one,
        np.load(tmp_path / "killed.run" / "checkpoint.npz") as two,
    ):
        for name in one.files:
            if name != "meta":
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    fewer = replace(data, recordings=data.recordings[:1])
    with pytest.raises(ConfigError, match=r"settings\.json recordings: expected .* as when this training"):
        train_motion(killed, fewer)


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    settings = _settings(tmp_path / "m.tflite", learning_rate=1e38)
    data = load_motion_data(settings)
    with pytest.raises(ModelError, match=r"training.*: expected .*finite .*; lower learning_rate"):
        train_motion(settings, data)
    assert not settings.output.exists()
    with pytest.raises(ConfigError, match=r"batch_size: expected \d+ or less, .*, got 5000"):
        train_motion(settings.model_copy(update={"batch_size": 5000}), data)


def test_too_little_material_is_counted(recordings: Path, tmp_path: Path) -> None:
    lines = (recordings / "a.ndjson").read_text().splitlines(keepends=True)
    short = tmp_path / "short.ndjson"
    short.write_text("".join(lines[:26]))
    for changes, wanted in (
        (
            {"recordings": short},
            r"200 moments of tracks or more to learn from, got \d+ \(10 tracks in ",
        ),
        ({"recordings": recordings, "held_out": short}, r"50 moments of tracks or more held out, got \d+ "),
    ):
        with pytest.raises(DataError, match=rf": expected {wanted}.*\); record for longer"):
            load_motion_data(_settings(tmp_path / "m.tflite", **changes))


def test_a_damaged_recording_is_one_line_and_an_exit_code(recordings: Path, tmp_path: Path) -> None:
    lines = (recordings / "a.ndjson").read_text().splitlines(keepends=True)
    (tmp_path / "damaged.ndjson").write_text("".join([*lines[:9], "{]\n", *lines[10:]]))
    command = [sys.executable, "-m", "models.cli", "train", "motion", "-o", tmp_path / "m.tflite"]
    done = subprocess.run(
        [*command, "--recordings", tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == DataError.exit_code
    assert done.stderr.splitlines()[-1].startswith(
        f"{tmp_path / 'damaged.ndjson'}:10: expected a JSON object"
    )
    assert "Traceback" not in done.stderr


def test_settings_that_do_not_fit_are_named(tmp_path: Path) -> None:
    for words, message in (
        (["--examples", "999"], "examples: Input should be greater than or equal to 1000, got '999'"),
        (["-s", "held_out=x"], "expected recordings to learn from beside held_out, got none"),
    ):
        result = CliRunner().invoke(app, ["train", "motion", "-o", str(tmp_path / "m.tflite"), *words])
        assert isinstance(result.exception, ConfigError)
        assert message in str(result.exception)
