from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import models.training
from agent.errors import ConfigError, DataError
from models.cli import app
from models.data.formats import load_detection_set
from models.training import options
from models.training.action_settings import ActionTraining
from models.training.classifier_settings import ClassifierTraining
from models.training.detector_settings import DetectorTraining
from models.training.options import progress, read_settings

CONFIGS = Path(models.training.__file__).parent / "configs"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("street", DetectorTraining),
        ("street-fine", DetectorTraining),
        ("street-small", DetectorTraining),
        ("street-clutter", DetectorTraining),
        ("mnist", ClassifierTraining),
        ("cifar10", ClassifierTraining),
        ("objects", ClassifierTraining),
        ("action", ActionTraining),
    ],
)
def test_shipped_settings_are_valid(
    name: str, kind: type[DetectorTraining | ClassifierTraining | ActionTraining]
) -> None:
    assert name.startswith(read_settings(kind, CONFIGS / f"{name}.yaml", []).name.split("_")[0])


def test_faults_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("data: a\nheld_out: b\nwidth: 33\nepoch: 3\n")
    with pytest.raises(ConfigError) as caught:
        read_settings(DetectorTraining, file, [])
    assert caught.value.faults == (
        f"{file}:3 width: Input should be a multiple of 32, got 33",
        f"{file}:4 epoch: Extra inputs are not permitted, got 3",
    )


def test_values_on_the_command_line_go_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("data: a\nheld_out: b\nepochs: 3\n")
    found = read_settings(DetectorTraining, file, ["epochs=5", "labels=[person]", "zoom=[1, 2]"])
    assert (found.epochs, found.labels, found.zoom) == (5, ("person",), (1.0, 2.0))
    with pytest.raises(ConfigError, match="--set: expected KEY=VALUE, got 'epochs'"):
        read_settings(DetectorTraining, file, ["epochs"])
    with pytest.raises(ConfigError, match="held_out: expected a value, got none"):
        read_settings(DetectorTraining, None, ["data=a"])


def test_scene_dataset_makes_a_set_that_loads(tmp_path: Path) -> None:
    words = [
        "scene",
        "dataset",
        "-o",
        str(tmp_path / "set"),
        "--scenes",
        "2",
        "--frames",
        "2",
        "--size",
        "128x96",
    ]
    result = CliRunner().invoke(app, [*words, "--seed", "20"])
    assert result.exit_code == 0, result.output
    assert "4 pictures of 2 scenes" in result.output
    assert {sample.size for sample in load_detection_set(tmp_path / "set").samples} == {(128, 96)}


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (
            ["scene", "dataset", "-o", "x", "--size", "12"],
            ConfigError,
            "--size: expected WIDTHxHEIGHT of 32 px or more",
        ),
        (
            ["scene", "demo", "-o", "missing"],
            ConfigError,
            "missing: expected a folder, got none; make it first",
        ),
        (
            ["train", "detector", "-s", "data=absent", "-s", "held_out=absent"],
            DataError,
            "absent: expected a folder or a COCO file",
        ),
    ],
)
def test_wrong_use_is_one_clear_line(words: list[str], error: type[Exception], message: str) -> None:
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)


def test_tensorflow_starts_without_its_lines() -> None:
    code = "from models.training.options import quiet_tensorflow as q; q(); import keras, tensorflow"
    words = [sys.executable, "-W", "ignore", "-c", code]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, env=environment, check=True)
    assert done.stderr == ""


def test_progress_is_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress() as step:
        step("epoch 1/2 loss 1.000", 4)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(options, "_LINE_EVERY_S", 0.0)
    with progress() as step:
        step("epoch 1/2 loss 1.000", 4)
        step("epoch 1/2 loss 0.900", 4)
    assert capsys.readouterr().err == "epoch 1/2 loss 1.000, 1 of 4\nepoch 1/2 loss 0.900, 2 of 4\n"
