"""Labels that are no boxes of this set are refused as where detectors are trained, and never misread."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import DataError
from converter.parity.datasets import PictureSet, model_labels, open_dataset
from models.data.formats import load_detection_set


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """One picture with one person."""
    for folder in ("images/val", "labels/val"):
        (tmp_path / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images/val/a.png"), np.zeros((100, 200, 3), np.uint8))
    (tmp_path / "labels/val/a.txt").write_text("0 0.5 0.5 0.5 0.2\n")
    (tmp_path / "data.yaml").write_text("names: [person, car]\n")
    return tmp_path


def opened(folder: Path) -> PictureSet:
    dataset = open_dataset(folder / "images" / "val")
    assert isinstance(dataset, PictureSet)
    return dataset


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .1 .1 .5 .1 .5 .6 .1 .6", r"a\.txt:2: expected class cx cy width height, got .*polygons"),
        ("0 0.5 0.5 0.1", r"a\.txt:2: expected class cx cy width height"),
        ("0 0.5 x 0.1 0.1", r"a\.txt:2: expected class cx cy width height"),
        ("0.5 0.5 0.5 0.1 0.1", r"a\.txt:2: expected class cx cy width height"),
        ("0 100 50 40 20", r"a\.txt:2: expected numbers in 0\.\.1, got \[100"),
        ("0 nan 0.5 0.1 0.1", r"a\.txt:2: expected numbers in 0\.\.1, got \[nan"),
        ("0 0.5 0.5 0 0.1", r"a\.txt: expected boxes with an area .*object 2"),
        ("2 0.5 0.5 0.1 0.1", r"a\.txt:2: expected a class of 0\.\.1 \(2 names\), got 2"),
        ("-1 0.5 0.5 0.1 0.1", r"a\.txt:2: expected a class of 0\.\.1 \(2 names\), got -1"),
    ],
)
def test_line_that_is_no_box_is_named(yolo: Path, line: str, message: str) -> None:
    (yolo / "labels/val/a.txt").write_text(f"0 0.5 0.5 0.5 0.2\n{line}\n")
    with pytest.raises(DataError, match=message):
        opened(yolo)
    with pytest.raises(DataError):
        load_detection_set(yolo, "yolo")


@pytest.mark.parametrize("names", ["", "[]", "{1: person, 2: car}", "[1, 2]", "person"])
def test_names_that_are_none_are_refused(yolo: Path, names: str) -> None:
    (yolo / "data.yaml").write_text(f"names: {names}\n")
    with pytest.raises(DataError, match=r"data\.yaml names: expected a list of class names from 0 on"):
        opened(yolo)
    with pytest.raises(DataError, match=r"data\.yaml names: expected a list of class names from 0 on"):
        load_detection_set(yolo, "yolo")


@pytest.mark.parametrize("file", ["labels.txt", "classes.txt", "obj.names", "labels/val/classes.txt"])
def test_names_of_other_tools_put_classes_right(yolo: Path, file: str) -> None:
    (yolo / "data.yaml").unlink()
    (yolo / file).write_text("car\nperson\n")
    dataset = opened(yolo)
    assert dataset.label_names == ("car", "person")
    assert model_labels(dataset, ("person", "car"))[0].labels.tolist() == [1]


def test_classes_without_names_must_be_those_of_the_model(yolo: Path) -> None:
    (yolo / "data.yaml").unlink()
    (yolo / "labels/val/a.txt").write_text("7 0.5 0.5 0.5 0.2\n")
    dataset = opened(yolo)
    with pytest.raises(DataError, match=r"expected classes 0\.\.1 as the model has them, got 7; name"):
        model_labels(dataset, ("person", "car"))


def test_boxes_are_those_of_the_training_reader(yolo: Path) -> None:
    (yolo / "labels/val/a.txt").write_text("0 0.5 0.5 0.5 0.2\n1 0.05 0.9 0.2 0.4\n")
    here, there = opened(yolo), load_detection_set(yolo, "yolo").samples[0]
    assert here.boxes is not None
    np.testing.assert_array_equal(here.boxes[0].boxes, there.boxes)
    np.testing.assert_array_equal(here.boxes[0].labels, there.labels)
