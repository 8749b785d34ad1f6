"""A model passes only where something could have failed it, on the detector that ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import DataError
from agent.records import Detections
from agent.vision.model_spec import ModelSpec, StateSpec, load_spec
from converter.conversion import Request, convert
from converter.parity.datasets import ArraySet, PictureSet, open_dataset
from converter.parity.measure import Limits, Parity, Side, measure
from converter.runtime_comparison import compare_runtimes

ARTEFACTS = Path(__file__).resolve().parents[3] / "models" / "artefacts"
COUNT = 3


@pytest.fixture
def street() -> Side:
    return Side(ARTEFACTS / "street.tflite", load_spec(ARTEFACTS / "street.json"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A YOLO folder of grey pictures, in which no model finds anything, and no label file."""
    for folder in ("images/val", "labels/val"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(COUNT):
        cv2.imwrite(str(tmp_path / f"images/val/{number}.png"), np.full((96, 128, 3), 128, np.uint8))
    (tmp_path / "data.yaml").write_text("names: [person, car]\n")
    return tmp_path


def found_everywhere(label: int) -> list[Detections]:
    """What a float model may have found in `pictures`: one box in each."""
    box = np.array([[32, 24, 96, 72]], np.float32)
    return [Detections(box, np.array([0.9], np.float32), np.array([label])) for _ in range(COUNT)]


def measured(side: Side, folder: Path, label: int) -> Parity:
    dataset = open_dataset(folder / "images" / "val")
    return measure(side, side, dataset, Limits(), reference_detections=found_everywhere(label))


def test_labels_of_other_pictures_are_no_truth(street: Side, pictures: Path) -> None:
    (pictures / "labels/val/other.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    with pytest.raises(DataError, match=r"expected labelled objects .*, got 3 pictures without one"):
        measured(street, pictures, 0)


def test_conversion_says_so_before_it_begins(pictures: Path) -> None:
    model = pictures / "m.onnx"
    model.write_bytes(b"never opened")
    evaluated, varied = pictures / "images" / "val", pictures / "varied"
    varied.mkdir()
    for number in range(COUNT):
        noise = np.random.default_rng(number).integers(0, 256, (96, 128, 3), np.uint8)
        cv2.imwrite(str(varied / f"{number}.png"), noise)
    request = Request(model, varied, pictures / "out", spec=ARTEFACTS / "street.json", evaluate=evaluated)
    with pytest.raises(DataError, match="got 3 pictures without one"):
        convert(request)


def test_model_that_fits_no_label_is_judged_by_agreement(street: Side, pictures: Path) -> None:
    """Labelled as cars where the float model sees people: neither can lose precision."""
    for number in range(COUNT):
        (pictures / f"labels/val/{number}.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    parity = measured(street, pictures, label=0)
    assert [row.metric for row in parity.failures] == ["box agreement at score 0.4"]
    assert parity.margin < 0


def test_model_that_fits_the_labels_is_judged_by_them(street: Side, pictures: Path) -> None:
    for number in range(COUNT):
        (pictures / f"labels/val/{number}.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    parity = measured(street, pictures, label=1)
    assert [row.metric for row in parity.failures] == ["AP50 car"]


def test_two_models_that_find_nothing_prove_nothing(street: Side, pictures: Path) -> None:
    labelled = open_dataset(pictures / "images" / "val")
    assert isinstance(labelled, PictureSet)
    dataset = replace(labelled, boxes=None)
    with pytest.raises(DataError, match=r"finds something at score 0\.4, got none in 3"):
        measure(street, street, dataset, Limits())
    # Of many pictures the runtimes are compared on a few, and those may be the ones that show nothing.
    assert compare_runtimes(street, street, dataset, []) is None
    assert compare_runtimes(street, street, labelled, []) is None


def test_classifier_that_is_never_right_is_judged_by_agreement() -> None:
    side = Side(ARTEFACTS / "objects.tflite", load_spec(ARTEFACTS / "objects.json"))
    images = [np.full((64, 64, 3), value, np.uint8) for value in (0, 128, 255)]
    known = ("a thing that it does not know", side.spec.labels[0])
    dataset = PictureSet("grey", ("a", "b", "c"), lambda: iter(images), classes=(0, 0, 0), label_names=known)
    rows = {row.metric: row for row in measure(side, side, dataset, Limits()).accuracy}
    assert rows["top-1"].float_value == 0.0
    assert rows["top-1 agreement"].max_drop is not None


def test_model_with_nothing_but_states_is_refused() -> None:
    spec = ModelSpec(name="m", task="sequence", states=(StateSpec(output="Identity", input="observations"),))
    side = Side(ARTEFACTS / "motion_lstm.tflite", spec)
    sample = {"observations": np.zeros((1, 10, 16, 6), np.float32)}
    dataset = ArraySet("zeros", 1, lambda: iter([sample]))
    with pytest.raises(DataError, match="got none but states"):
        measure(side, side, dataset, Limits())
