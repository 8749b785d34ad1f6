"""Average precision, agreement and what is judged."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import DataError
from agent.records import Detections
from converter.parity.agreement import box_agreement, relative_error, top1
from converter.parity.average_precision import average_precision
from converter.parity.datasets import ArraySet, PictureSet, model_labels, open_dataset
from converter.report.content import Accuracy


def boxes(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4].copy(), table[:, 4].copy(), table[:, 5].astype(np.int64))


TRUTH = [boxes((0, 0, 10, 10, 1, 0), (20, 20, 40, 40, 1, 1)), boxes((5, 5, 25, 25, 1, 0))]


def test_perfect_detections_have_average_precision_one() -> None:
    result = average_precision(TRUTH, TRUTH)
    assert (result.ap50, result.ap) == (pytest.approx(1.0), pytest.approx(1.0))
    assert result.boxes_of == {0: 2, 1: 1}


def test_half_of_the_boxes_found_is_half_the_recall() -> None:
    found = [boxes((0, 0, 10, 10, 0.9, 0)), Detections.empty()]
    result = average_precision(TRUTH, found)
    # Precision 1 up to recall 0.5: 51 of the 101 recall points.
    assert result.ap50_of[0] == pytest.approx(51 / 101)
    assert result.ap50_of[1] == 0.0


def test_nothing_found_is_zero_and_no_error() -> None:
    assert average_precision(TRUTH, [Detections.empty()] * 2).ap50 == 0.0


def test_boxes_agree_one_to_one_and_label_by_label() -> None:
    reference = [boxes((0, 0, 10, 10, 1, 0), (0, 0, 10, 10, 1, 1))]
    other = [boxes((0, 0, 10, 9, 1, 0), (0, 0, 10, 8, 1, 0), (50, 50, 60, 60, 1, 1))]
    result = box_agreement(reference, other)
    assert (result.matched, result.recall, result.precision) == (1, 0.5, pytest.approx(1 / 3))
    assert box_agreement([Detections.empty()], [Detections.empty()]).f1 == 1.0


def test_top1_of_one_score_is_its_side_of_a_half() -> None:
    assert [top1(np.array([[value]], np.float32)) for value in (0.2, 0.7)] == [0, 1]
    assert top1(np.array([[0.1, 0.5, 0.4]], np.float32)) == 1


def test_relative_error_is_in_units_of_the_spread() -> None:
    reference = np.array([0.0, 10.0, 20.0], np.float32)
    assert relative_error(reference, reference) == 0.0
    assert relative_error(reference, reference + 1) == pytest.approx(1 / reference.std())


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Accuracy("AP50", "d", 1, 0.60, 0.595, max_drop=0.01), False),
        (Accuracy("AP50", "d", 1, 0.60, 0.58, max_drop=0.01), True),
        (Accuracy("AP50", "d", 1, 0.60, 0.10), False),
        (Accuracy("agreement", "d", 1, None, 0.85, max_drop=0.1), True),
        (Accuracy("agreement", "d", 1, None, 0.95, max_drop=0.1), False),
        (Accuracy("relative error", "d", 1, None, 0.2, higher_is_better=False, max_drop=0.1), True),
        (Accuracy("relative error", "d", 1, None, math.nan, higher_is_better=False, max_drop=0.1), True),
        (Accuracy("mean error", "d", 1, 0.1, math.nan, higher_is_better=False, max_drop=0.1), True),
    ],
)
def test_only_judged_rows_fail_and_only_beyond_their_limit(row: Accuracy, expected: bool) -> None:
    assert row.failed is expected


def test_yolo_labels_are_found_beside_the_pictures(tmp_path: Path) -> None:
    for folder in ("images/val", "labels/val"):
        (tmp_path / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images/val/a.png"), np.zeros((100, 200, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "images/val/b.png"), np.zeros((100, 200, 3), np.uint8))
    (tmp_path / "labels/val/a.txt").write_text("1 0.5 0.5 0.5 0.2\n")
    (tmp_path / "data.yaml").write_text("names:\n  0: cat\n  1: dog\n")
    dataset = open_dataset(tmp_path / "images" / "val")
    assert isinstance(dataset, PictureSet) and dataset.boxes is not None
    np.testing.assert_allclose(dataset.boxes[0].boxes, [[50, 40, 150, 60]])
    assert len(dataset.boxes[1]) == 0
    # The model's "dog" has index 0, and it does not know cats.
    assert model_labels(dataset, ("dog",))[0].labels.tolist() == [0]
    with pytest.raises(DataError, match="expected classes of the model"):
        model_labels(dataset, ("bus",))


@pytest.mark.data
def test_mot_folder_has_the_boxes_of_the_chosen_frames(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "pets09_s2l1", every=100)
    assert isinstance(dataset, PictureSet) and dataset.boxes is not None
    table = np.loadtxt(shared_data / "pets09_s2l1" / "gt" / "gt.txt", delimiter=",")
    assert [len(own) for own in dataset.boxes] == [
        int(((table[:, 0] == frame) & (table[:, 6] != 0)).sum()) for frame in range(1, 796, 100)
    ]
    assert len(list(dataset.each())) == len(dataset.names) == 8


def test_arrays_keep_their_targets_when_thinned(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(10.0).reshape(10, 1), y=np.arange(10))
    dataset = open_dataset(tmp_path / "d.npz", every=3)
    assert isinstance(dataset, ArraySet) and dataset.targets is not None
    assert [float(sample[""].item()) for sample in dataset.each()] == dataset.targets.tolist() == [0, 3, 6, 9]


def test_classes_are_the_same_however_many_pictures_are_looked_at(tmp_path: Path) -> None:
    """Every second of a, a, a, b, c, c, c, c is none of b."""
    for name, count in (("a", 3), ("b", 1), ("c", 4)):
        (tmp_path / name).mkdir()
        for number in range(count):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), np.zeros((8, 8, 3), np.uint8))
    dataset = open_dataset(tmp_path, every=2)
    assert isinstance(dataset, PictureSet)
    assert dataset.label_names == ("a", "b", "c")
    assert dataset.classes == (0, 0, 2, 2)


def test_every_nth_frame_of_a_video_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(10):
        video.write(np.full((48, 64, 3), 20 * number, np.uint8))
    video.release()
    dataset = open_dataset(path, every=3)
    assert isinstance(dataset, PictureSet)
    assert dataset.names == tuple(f"v.avi frame {row}" for row in (0, 3, 6, 9))
    assert [round(image.mean() / 20) for image in dataset.each()] == [0, 3, 6, 9]
    few = open_dataset(path, every=3, limit=2)
    assert isinstance(few, PictureSet)
    assert few.names == ("v.avi frame 0", "v.avi frame 9")
