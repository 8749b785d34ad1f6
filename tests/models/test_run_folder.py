"""The folder of a training run: its settings survive a kill, and what is damaged is one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import ConfigError, DataError
from models.training.run_folder import RunFolder

SETTINGS = {"epochs": 3, "seed": 0}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run with a checkpoint."""
    RunFolder(tmp_path / "run", SETTINGS).save({}, {"epoch": 1})
    return tmp_path / "run"


@pytest.mark.parametrize("text", ["", '{"epochs": 3, "se', "\\xff", "[1]", "null"])
def test_damaged_settings_are_one_line(begun: Path, text: str) -> None:
    (begun / "settings.json").write_text(text)
    with pytest.raises(
        DataError, match=r"settings\.json: expected the settings of this training, got"
    ) as error:
        RunFolder(begun, SETTINGS)
    assert "\n" not in str(error.value)
    assert (begun / "settings.json").read_text() == text


def test_settings_can_be_given_anew_once_the_damaged_ones_are_removed(begun: Path) -> None:
    (begun / "settings.json").unlink()
    assert RunFolder(begun, SETTINGS).has_checkpoint
    with pytest.raises(ConfigError, match="epochs: expected 3 as when this training began, got 4"):
        RunFolder(begun, {**SETTINGS, "epochs": 4})


def test_settings_are_replaced_and_never_rewritten_in_place(begun: Path) -> None:
    """A hard link to the old file keeps the old file: a kill at any moment leaves one of both whole."""
    os.link(begun / "settings.json", begun.parent / "old")
    RunFolder(begun, SETTINGS)
    assert not (begun.parent / "old").samefile(begun / "settings.json")
    assert {path.name for path in begun.iterdir()} == {"settings.json", "checkpoint.npz"}
