from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agent.errors import DataError
from models.data.formats import load_detection_set
from models.data.generated import GeneratedSet, write_generated_set
from models.data.scene.compose import SceneOptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("generated") / "set"
    options = SceneOptions(people=(3, 6), vehicles=(1, 2))
    count = write_generated_set(path, GeneratedSet(4, 3, seed=20, sizes=((160, 96),), options=options))
    assert count == 12
    return path


def test_coco_and_yolo_labels_say_the_same(folder: Path) -> None:
    coco, yolo = load_detection_set(folder, "coco"), load_detection_set(folder, "yolo")
    assert coco.labels == yolo.labels == ("person", "car")
    assert coco.counts() == yolo.counts()
    assert min(coco.counts().values()) > 0
    for one, two in zip(coco.samples, yolo.samples, strict=True):
        assert one.path == two.path
        np.testing.assert_allclose(one.boxes[~one.ignored], two.boxes, atol=1e-3)


def test_hidden_and_small_objects_are_crowds(folder: Path) -> None:
    rows = json.loads((folder / "annotations.json").read_text())["annotations"]
    assert any(row["iscrowd"] for row in rows)
    for row in rows:
        hidden = row["visibility"] < 0.25 or min(row["bbox"][2:]) < 4
        assert row["iscrowd"] == int(hidden)


def test_same_seed_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    options = SceneOptions(people=(3, 6), vehicles=(1, 2))
    write_generated_set(tmp_path / "set", GeneratedSet(1, 3, seed=20, sizes=((160, 96),), options=options))
    for picture in (tmp_path / "set" / "images").iterdir():
        assert picture.read_bytes() == (folder / "images" / picture.name).read_bytes()


def test_folder_that_holds_a_set_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="expected an empty folder, got a data set"):
        write_generated_set(folder, GeneratedSet(1))
