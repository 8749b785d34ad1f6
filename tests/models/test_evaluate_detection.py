"""Detection scores against pycocotools used by hand, and readers against files as people have them."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import agent
import models
from agent.detect.detector import open_detector
from agent.detect.settings import DetectorSettings
from agent.errors import DataError
from agent.records import Detections, Frame
from models.evaluate.annotations import (
    Annotations,
    read_motchallenge,
    read_video,
    read_yolo_folder,
)
from models.evaluate.detection import evaluate_detections
from models.evaluate.run_detection import evaluate_on_images

pytest.importorskip("pycocotools")
SIZE = (640, 480)


def annotations(boxes, labels=None, ignored=None):
    count = len(boxes)
    return Annotations(
        SIZE,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels if labels is not None else [0] * count, np.int64),
        np.array(ignored if ignored is not None else [False] * count, np.bool_),
    )


def detections(boxes, scores, labels=None):
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels if labels is not None else [0] * len(boxes), np.int64),
    )


def random_set(seed: int, pictures: int = 12, classes: int = 3):
    """Truth, and detections that are its boxes shifted, some missing, some invented."""
    rng = np.random.default_rng(seed)
    truth, found = {}, {}
    for picture in range(pictures):
        count = int(rng.integers(0, 8))
        corners = rng.random((count, 2)) * 300
        boxes = np.concatenate([corners, corners + rng.random((count, 2)) * 150 + 8], axis=1)
        labels = rng.integers(0, classes, count)
        truth[f"p{picture}"] = annotations(boxes, labels)
        moved = boxes + rng.normal(0, 6, boxes.shape)
        kept = rng.random(count) < 0.8
        extra = rng.random((2, 4)) * 100 + np.array([0, 0, 110, 110])
        found[f"p{picture}"] = detections(
            np.concatenate([moved[kept], extra]),
            rng.random(kept.sum() + 2),
            np.concatenate([labels[kept], rng.integers(0, classes, 2)]),
        )
    return truth, found


def by_hand(truth, found, folder):
    """The twelve numbers of COCOeval.summarize, through JSON files as its users write them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def ltwh(box):
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    content = {"images": [], "annotations": [], "categories": [{"id": n} for n in range(3)]}
    rows = []
    for number, (key, part) in enumerate(truth.items()):
        content["images"].append({"id": number})
        for box, label in zip(part.boxes, part.labels, strict=True):
            place = ltwh(box)
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": number,
                    "category_id": int(label),
                    "bbox": place,
                    "area": place[2] * place[3],
                    "iscrowd": 0,
                }
            )
        rows += [
            {"image_id": number, "category_id": int(label), "bbox": ltwh(box), "score": float(score)}
            for box, score, label in zip(found[key].boxes, found[key].scores, found[key].labels, strict=True)
        ]
    (folder / "truth.json").write_text(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        judge = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(judge, judge.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_coco(seed, tmp_path):
    truth, found = random_set(seed)
    stats = by_hand(truth, found, tmp_path)
    mean = evaluate_detections(truth, found, ("a", "b", "c")).mean
    got = [mean.ap, mean.ap50, mean.ap75, *mean.ap_by_size.values(), mean.ar, *mean.ar_by_size.values()]
    wanted = [*stats[:6], stats[8], *stats[9:]]
    np.testing.assert_allclose(np.nan_to_num(got, nan=-1.0), wanted, atol=1e-9)


def test_the_mean_is_that_of_the_classes_that_occur():
    truth, found = random_set(7)
    scores = evaluate_detections(truth, found, ("a", "b", "c", "never"))
    assert set(scores.classes) == {"a", "b", "c"}
    assert scores.mean.ap50 == pytest.approx(np.mean([part.ap50 for part in scores.classes.values()]))
    assert scores.mean.objects == sum(part.objects for part in scores.classes.values())
    only = evaluate_detections(truth, found, ("a", "b", "c"), only=["b"])
    assert only.mean.ap == scores.classes["b"].ap


def test_perfect_and_missing_detections():
    truth = {1: annotations([[10, 10, 60, 60]]), 2: annotations([[5, 5, 30, 30]])}
    perfect = {key: detections(part.boxes, [0.9]) for key, part in truth.items()}
    assert evaluate_detections(truth, perfect, ("a",)).mean.ap == pytest.approx(1.0)
    assert evaluate_detections(truth, {1: perfect[1]}, ("a",)).mean.ar == pytest.approx(0.5)
    assert evaluate_detections(truth, {}, ("a",)).mean.ap == 0.0


def test_ignored_objects_count_neither_when_found_nor_when_missed():
    truth = {1: annotations([[10, 10, 60, 60], [100, 100, 160, 160]], ignored=[False, True])}
    both = detections([[10, 10, 60, 60], [100, 100, 160, 160]], [0.5, 0.9])
    for found in (both, both[:1]):
        scores = evaluate_detections(truth, {1: found}, ("a",))
        assert scores.mean.ap == pytest.approx(1.0)
        assert scores.mean.objects == 1


def test_scores_are_json_without_nan():
    truth = {1: annotations([[10, 10, 20, 20]])}
    content = evaluate_detections(truth, {}, ("a",)).as_dict()
    text = json.dumps(content, allow_nan=False)
    assert json.loads(text)["mean"]["ap_by_size"]["large"] is None


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ({}, "got none in 0 pictures"),
        ({1: annotations([])}, "got none in 1 pictures"),
        ({1: annotations([[0, 0, 9, 9]], [5])}, "below 1, got 5"),
    ],
)
def test_nothing_to_judge_is_refused(truth, said):
    with pytest.raises(DataError, match=said):
        evaluate_detections(truth, {}, ("a",))


def test_motchallenge_rows_become_boxes_by_frame(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text("2,1,10,20,30,40,1,-1,-1,-1\n1,1,0,0,5,5,1,-1,-1,-1\n2,2,1,1,2,2,0,-1,-1,-1\n")
    frames = read_motchallenge(path, SIZE)
    assert sorted(frames) == [1, 2]
    assert frames[2].boxes.tolist() == [[10, 20, 40, 60], [1, 1, 3, 3]]
    assert frames[2].ignored.tolist() == [False, True]


def test_motchallenge_classes_other_than_pedestrian_are_ignored(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text("1,1,0,0,5,5,1,1,0.9\n1,2,0,0,5,5,1,3,0.9\n")
    assert read_motchallenge(path, SIZE)[1].ignored.tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "said"), [("1,2,3\n", "7 columns"), ("a,b\n", "rows of numbers"), (None, "gt.txt")]
)
def test_what_is_no_motchallenge_file_is_refused(tmp_path, text, said):
    path = tmp_path / "gt.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_motchallenge(path, SIZE)


@pytest.fixture
def yolo(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.zeros((100, 200, 3), np.uint8))
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 0.5 0.2\n\n")
    return tmp_path


def test_yolo_labels_become_boxes_in_px(yolo):
    found = read_yolo_folder(yolo / "images", yolo / "labels")
    first, second = found.values()
    assert [path.name for path in found] == ["a.png", "b.png"]
    np.testing.assert_allclose(first.boxes, [[50, 40, 150, 60]], atol=1e-4)
    assert (first.labels.tolist(), first.size, len(second.boxes)) == ([1], (200, 100), 0)


@pytest.mark.parametrize("line", ["1 0.5 0.5 0.5", "1 0.5 0.5 0.5 x", "1 0.5 0.5 0.5 0.5 0.9 0.1"])
def test_a_row_that_is_no_yolo_label_is_named(yolo, line):
    (yolo / "labels" / "b.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(DataError, match=r"b\.txt:2: expected class cx cy width height"):
        read_yolo_folder(yolo / "images", yolo / "labels")


def test_pictures_that_are_none_are_refused(yolo):
    (yolo / "images" / "c.jpg").write_text("text")
    with pytest.raises(DataError, match=r"c\.jpg: expected a picture"):
        read_yolo_folder(yolo / "images", yolo / "labels")
    with pytest.raises(DataError, match="expected pictures"):
        read_yolo_folder(yolo / "labels", yolo / "labels")


@pytest.mark.data
def test_video_frames_are_numbered_as_in_motchallenge(shared_data):
    path = shared_data / "pets09_s2l1" / "vtest_480x360.mp4"
    video = cv2.VideoCapture(str(path))
    images = [np.asarray(video.read()[1]) for _ in range(4)]
    video.release()
    found = dict(read_video(path, [1, 4]))
    assert list(found) == [1, 4]
    for number, image in found.items():
        np.testing.assert_array_equal(image, images[number - 1])
    with pytest.raises(DataError, match="holds the frames asked for"):
        list(read_video(path, [100_000]))


STREET = Path(models.__file__).parent / "artefacts" / "street.tflite"


@pytest.fixture
def street(tmp_path):
    """One frame of the demo's clip, its person labelled as class 2 of four."""
    clip = Path(agent.__file__).parent / "demo" / "street.mp4"
    (picture,) = (image for _, image in read_video(clip, [60]))
    detector = open_detector(DetectorSettings(model=STREET))
    found = detector.detect(Frame(picture, 0.0, 0.0, 0))
    person = detector.labels.index("person")
    height, width = picture.shape[:2]
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), picture)
    boxes = found.boxes[found.labels == person]
    rows = [
        f"2 {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} {(y2 - y1) / height}"
        for x1, y1, x2, y2 in boxes.tolist()
    ]
    (tmp_path / "labels" / "a.txt").write_text("\n".join([*rows, "3 0.5 0.5 0.2 0.2"]))
    return tmp_path, len(rows)


def test_classes_of_labels_and_model_are_matched_by_name(street):
    folder, people = street
    (folder / "data.yaml").write_text("names: [dog, car, person, kite]\n")
    settings = DetectorSettings(model=STREET, min_score=0.01)
    scores = evaluate_on_images(settings, folder / "images", folder / "labels")
    assert people > 0
    assert {name: part.objects for name, part in scores.classes.items()} == {"person": people}
    assert scores.classes["person"].ap50 == pytest.approx(1.0)


def test_names_that_are_given_go_over_those_beside_the_labels(street):
    folder, people = street
    (folder / "data.yaml").write_text("names: [a, b, c, d]\n")
    names = folder / "names.txt"
    names.write_text("x\ny\nperson\nz\n")
    settings = DetectorSettings(model=STREET, min_score=0.01)
    scores = evaluate_on_images(settings, folder / "images", folder / "labels", names=names)
    assert scores.classes["person"].objects == people


def test_labels_that_share_no_class_with_the_model_are_refused(street):
    folder, _ = street
    (folder / "data.yaml").write_text("names: [a, b, c, d]\n")
    with pytest.raises(DataError, match=r"expected a class of the model \(person, car\), got a, b, c, d"):
        evaluate_on_images(DetectorSettings(model=STREET), folder / "images", folder / "labels")


def test_ids_beyond_the_models_classes_are_refused_where_nobody_names_them(street):
    folder, _ = street
    with pytest.raises(DataError, match=r"a\.txt: expected a class of 0\.\.1 \(2 labels\), got 2"):
        evaluate_on_images(DetectorSettings(model=STREET), folder / "images", folder / "labels")
