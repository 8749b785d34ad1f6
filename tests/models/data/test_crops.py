"""Pieces of labelled pictures: what is in them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent.errors import DataError, StorageError
from models.cli import app
from models.data.classification_set import load_classification_set
from models.data.crops import cut, square
from models.data.detection_set import read_picture


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Grey pictures with a red object of 40 × 20 px, a blue one at the edge, and a tiny one."""
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "labels.txt").write_text("red\nblue\n")
    for number in range(3):
        image = np.full((120, 160, 3), 128, np.uint8)
        image[50:70, 60:100] = (0, 0, 255)
        image[0:30, 0:24] = (255, 0, 0)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        (folder / f"{number}.txt").write_text("0 60 50 100 70\n1 0 0 24 30\n1 140 100 146 108\n")
    return folder


def test_objects_and_background_become_a_folder_of_classes(labelled: Path, tmp_path: Path) -> None:
    words = [
        "crops",
        "-d",
        str(labelled),
        "-o",
        str(tmp_path / "crops"),
        "--backgrounds",
        "2",
        "--size-px",
        "32",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "3 red, 3 blue, 6 background" in result.stdout
    found = load_classification_set(tmp_path / "crops", (32, 32))
    assert found.labels == ("background", "blue", "red")
    means = {
        name: found.images[found.classes == i].mean(axis=(0, 1, 2)) for i, name in enumerate(found.labels)
    }
    np.testing.assert_allclose(means["background"], 128, atol=4)
    assert means["red"][2] > 150
    assert means["red"][0] < 110
    assert means["blue"][0] > 180


def test_one_class_alone_is_cut_out(labelled: Path, tmp_path: Path) -> None:
    words = ["crops", "-d", str(labelled), "-o", str(tmp_path / "crops"), "--only", "red"]
    result = CliRunner().invoke(app, words)
    assert "3 red, 3 background" in result.stdout
    assert sorted(path.name for path in (tmp_path / "crops").iterdir()) == ["background", "red"]


def test_a_piece_is_square_and_repeats_the_pictures_edge() -> None:
    place = square(np.array([10, 20, 50, 40], np.float32))
    assert place.tolist() == [6, 6, 54, 54]
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 0] = 200
    piece = cut(image, np.array([-20, 0, 20, 40], np.float32), 40)
    assert (piece[:, :21] == 200).all()
    assert (piece[:, 21:] == 0).all()


def test_what_cannot_be_cut_is_one_line(labelled: Path, tmp_path: Path) -> None:
    words = ["crops", "-o", str(tmp_path / "out"), "-d"]
    full = CliRunner().invoke(app, ["crops", "-o", str(labelled), "-d", str(labelled)])
    assert isinstance(full.exception, DataError)
    assert "expected an empty folder" in str(full.exception)
    other = CliRunner().invoke(app, [*words, str(labelled), "--only", "green"])
    assert isinstance(other.exception, DataError)
    assert "expected some of red, blue, got green" in str(other.exception)
    absent = CliRunner().invoke(app, [*words, str(tmp_path / "absent")])
    assert isinstance(absent.exception, DataError)


@pytest.mark.parametrize("name", ["../escaped", "/dev/null/x", "a/b", "..", ".", "a\\\\b"])
def test_class_whose_name_is_a_path_writes_nothing(labelled: Path, tmp_path: Path, name: str) -> None:
    (labelled / "data.yaml").write_text(f'names: ["{name}", blue]\n')
    result = CliRunner().invoke(app, ["crops", "-d", str(labelled), "-o", str(tmp_path / "out" / "crops")])
    assert isinstance(result.exception, DataError)
    assert "expected names of classes that can be folders" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_class_of_the_backgrounds_name_is_not_mixed_with_it(labelled: Path, tmp_path: Path) -> None:
    (labelled / "labels.txt").write_text("red\nbackground\n")
    words = ["crops", "-d", str(labelled), "-o", str(tmp_path / "crops")]
    mixed = CliRunner().invoke(app, words)
    assert isinstance(mixed.exception, DataError)
    assert "rename it, or give --backgrounds 0" in str(mixed.exception)
    alone = CliRunner().invoke(app, [*words, "--backgrounds", "0"])
    assert "3 red, 3 background" in alone.stdout


@pytest.mark.parametrize("place", ["file", "file/x"])
def test_place_that_is_no_folder_is_one_line(labelled: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["crops", "-d", str(labelled), "-o", str(tmp_path / place)])
    assert isinstance(result.exception, StorageError)
    assert "got Not a directory" in str(result.exception)


def test_pieces_of_generated_scenes_show_their_class(tmp_path: Path) -> None:
    made = CliRunner().invoke(
        app,
        ["scene", "dataset", "-o", str(tmp_path / "set"), "--scenes", "1", "--frames", "1", "--seed", "3"],
    )
    assert made.exit_code == 0
    result = CliRunner().invoke(app, ["crops", "-d", str(tmp_path / "set"), "-o", str(tmp_path / "crops")])
    assert result.exit_code == 0, result.output
    pieces = list((tmp_path / "crops").rglob("*.jpg"))
    assert pieces
    assert {read_picture(path).shape for path in pieces} == {(64, 64, 3)}
