"""One set of three pictures, written in each label format, and every way in which labels can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import DataError
from models.data.detection_set import DetectionSet
from models.data.formats import load_detection_set

SIZE = (80, 60)
BOXES = {"a": [(0, 10, 20, 30, 50)], "b": [(1, 4, 6, 44, 26), (0, 50, 10, 70, 58)], "c": []}
"""Class, x1, y1, x2, y2 by picture; c shows nothing."""


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))


def write_yolo(folder: Path) -> None:
    for name, rows in BOXES.items():
        _picture(folder / "images" / f"{name}.png")
        lines = [
            f"{c} {(x1 + x2) / 160} {(y1 + y2) / 120} {(x2 - x1) / 80} {(y2 - y1) / 60}"
            for c, x1, y1, x2, y2 in rows
        ]
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"{name}.txt").write_text("\n".join(lines))
    (folder / "data.yaml").write_text("nc: 2\nnames: [person, car]\n")


def write_text(folder: Path) -> None:
    for name, rows in BOXES.items():
        _picture(folder / f"{name}.png")
        folder.joinpath(f"{name}.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows))
    (folder / "labels.txt").write_text("person\ncar\n")


def write_voc(folder: Path) -> None:
    (folder / "Annotations").mkdir(parents=True)
    for name, rows in BOXES.items():
        _picture(folder / "JPEGImages" / f"{name}.png")
        objects = "".join(
            f"<object><name>{('person', 'car')[c]}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for c, x1, y1, x2, y2 in rows
        )
        text = f"<annotation><filename>{name}.png</filename>{objects}</annotation>"
        (folder / "Annotations" / f"{name}.xml").write_text(text)
    (folder / "labels.txt").write_text("person\ncar\n")


def coco_content() -> dict[str, list[dict[str, object]]]:
    images = [
        {"id": n, "file_name": f"{name}.png", "width": 80, "height": 60} for n, name in enumerate(BOXES)
    ]
    rows = [(n, row) for n, name in enumerate(BOXES) for row in BOXES[name]]
    annotations = [
        {
            "id": k,
            "image_id": n,
            "category_id": 10 * (c + 1),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "iscrowd": 0,
        }
        for k, (n, (c, x1, y1, x2, y2)) in enumerate(rows)
    ]
    categories = [{"id": 20, "name": "car"}, {"id": 10, "name": "person"}]
    return {"images": images, "annotations": annotations, "categories": categories}  # type: ignore[dict-item]


def write_coco(folder: Path) -> None:
    for name in BOXES:
        _picture(folder / f"{name}.png")
    (folder / "annotations.json").write_text(json.dumps(coco_content()))


WRITERS: dict[str, Callable[[Path], None]] = {
    "yolo": write_yolo, "text": write_text, "voc": write_voc, "coco": write_coco,
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_set(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path)
    found = load_detection_set(tmp_path)
    assert found.labels == ("person", "car")
    assert [sample.path.stem for sample in found.samples] == ["a", "b", "c"]
    for sample in found.samples:
        rows = np.array(BOXES[sample.path.stem], np.float32).reshape(-1, 5)
        assert sample.size == SIZE
        np.testing.assert_array_equal(sample.labels, rows[:, 0])
        np.testing.assert_allclose(sample.boxes, rows[:, 1:], atol=1e-3)
    assert found.without_objects == 1
    assert found.counts() == {"person": 2, "car": 1}
    assert load_detection_set(tmp_path, name).labels == found.labels  # type: ignore[arg-type]


def write_official_coco(folder: Path, subfolder: str = "val2017") -> Path:
    """As COCO's own archives unpack."""
    for name in BOXES:
        _picture(folder / subfolder / f"{name}.png")
    file = folder / "annotations" / "instances_val2017.json"
    file.parent.mkdir()
    file.write_text(json.dumps(coco_content()))
    return file


@pytest.mark.parametrize("split", ["", "val2017"])
@pytest.mark.parametrize("subfolder", ["val2017", "images/val2017"])
def test_cocos_own_layout_loads(tmp_path: Path, subfolder: str, split: str) -> None:
    file = write_official_coco(tmp_path, subfolder)
    assert load_detection_set(file, split=split).counts() == {"person": 2, "car": 1}


def test_only_pictures_of_the_split_are_of_it(tmp_path: Path) -> None:
    file = write_official_coco(tmp_path)
    (tmp_path / "test2017").mkdir()
    (tmp_path / "val2017" / "b.png").rename(tmp_path / "test2017" / "b.png")
    found = load_detection_set(file, split="val2017")
    assert [sample.path.stem for sample in found.samples] == ["a", "c"]


def test_coco_annotations_without_an_area_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_coco(tmp_path)
    content = coco_content()
    content["annotations"][2]["bbox"] = [50, 10, 20, 0]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert load_detection_set(tmp_path).counts() == {"person": 1, "car": 1}
    assert "1 annotations without width or height are left out" in caplog.text


def test_only_keeps_the_order_that_is_asked_for(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    found: DetectionSet = load_detection_set(tmp_path).only(["car"])
    assert found.labels == ("car",)
    assert [sample.labels.tolist() for sample in found.samples] == [[], [0], []]
    with pytest.raises(DataError, match="expected some of person, car, got dog"):
        load_detection_set(tmp_path).only(["dog"])


def test_coco_crowds_are_ignored_objects(tmp_path: Path) -> None:
    write_coco(tmp_path)
    content = coco_content()
    content["annotations"][0]["iscrowd"] = 1
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert [sample.ignored.tolist() for sample in load_detection_set(tmp_path).samples] == [
        [True],
        [False, False],
        [],
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", r"b\.txt: expected a class of 0\.\.1 \(2 labels\), got 2"),
        ("0 0.5 0.5 0.1", r"b\.txt:1: expected class cx cy width height, got '0 0\.5 0\.5 0\.1'"),
        ("0 0.5 x 0.1 0.1", r"b\.txt:1: expected class cx cy width height"),
        ("0 0.5 0.5 40 0.1", r"b\.txt:1: expected numbers in 0\.\.1"),
        ("0 0.5 0.5 0 0.1", r"b\.txt: expected boxes with an area inside the 80×60 picture"),
        ("0 nan 0.5 0.1 0.1", r"b\.txt: expected boxes with an area"),
    ],
)
def test_faulty_yolo_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    write_yolo(tmp_path)
    (tmp_path / "labels" / "b.txt").write_text(line)
    with pytest.raises(DataError, match=message):
        load_detection_set(tmp_path)


def test_faulty_text_box_is_named(tmp_path: Path) -> None:
    write_text(tmp_path)
    (tmp_path / "a.txt").write_text("0 90 10 120 30")
    with pytest.raises(DataError, match=r"a\.txt: expected boxes with an area inside the 80×60 picture"):
        load_detection_set(tmp_path)


def test_all_label_files_empty_is_refused(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    for file in (tmp_path / "labels").glob("*.txt"):
        file.write_text("")
    with pytest.raises(DataError, match="expected objects, got 3 pictures whose labels are all empty"):
        load_detection_set(tmp_path)


def test_picture_that_does_not_decode_is_named(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    (tmp_path / "images" / "b.png").write_bytes(b"\x89PNG\r\n cut short")
    with pytest.raises(DataError, match=r"b\.png: expected a picture, got a file that does not decode"):
        load_detection_set(tmp_path)


def test_class_count_that_does_not_match_is_refused(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    (tmp_path / "data.yaml").write_text("nc: 3\nnames: [person, car]\n")
    with pytest.raises(DataError, match=r"data\.yaml nc: expected 2, the number of names, got 3"):
        load_detection_set(tmp_path)


def test_unknown_coco_category_is_named(tmp_path: Path) -> None:
    write_coco(tmp_path)
    content = coco_content()
    content["annotations"][1]["category_id"] = 99
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="annotation 1: expected one of the 2 categories, got category_id 99"):
        load_detection_set(tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"images": []}', '{"images": 3, "annotations": [], "categories": []}']
)
def test_broken_coco_file_is_one_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(DataError, match=r"annotations\.json: expected COCO annotations"):
        load_detection_set(tmp_path)


def test_broken_voc_is_named(tmp_path: Path) -> None:
    write_voc(tmp_path)
    (tmp_path / "Annotations" / "b.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match=r"b\.xml: expected VOC XML"):
        load_detection_set(tmp_path)
    (tmp_path / "Annotations" / "b.xml").write_text(
        "<annotation><filename>b.png</filename><object><name>dog</name></object></annotation>"
    )
    with pytest.raises(DataError, match="expected the classes person, car, the annotations also hold dog"):
        load_detection_set(tmp_path)


def test_folder_without_labels_says_what_was_looked_for(tmp_path: Path) -> None:
    _picture(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"expected annotations\.json, images/ and labels/"):
        load_detection_set(tmp_path)
    with pytest.raises(DataError, match="expected a folder or a COCO file, got nothing"):
        load_detection_set(tmp_path / "missing")


@pytest.mark.data
def test_coco_pictures_beside_the_checkout_load(shared_data: Path) -> None:
    found = load_detection_set(shared_data / "coco", split="val2017")
    assert len(found) == 252
    assert len(found.labels) == 80
    assert sum(found.counts().values()) == 1850
