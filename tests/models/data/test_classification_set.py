from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import DataError
from models.data.classification_set import load_classification_set, split


def _npz(path: Path, **arrays: object) -> Path:
    base: dict[str, object] = {
        "x": np.arange(4 * 8 * 8 * 3, dtype=np.uint8).reshape(4, 8, 8, 3),
        "y": np.array([0, 1, 1, 0]),
    }
    np.savez(path, **{**base, **arrays})  # type: ignore[arg-type]
    return path


def test_npz_is_read_as_bgr_with_its_names(tmp_path: Path) -> None:
    path = _npz(tmp_path / "set.npz", classes=np.array(["cat", "dog"]))
    found = load_classification_set(path)
    assert found.labels == ("cat", "dog")
    assert found.classes.tolist() == [0, 1, 1, 0]
    with np.load(path) as stored:
        assert np.array_equal(found.images[..., ::-1], stored["x"])


def test_npz_of_grey_pictures_gets_an_axis_and_numbers_as_names(tmp_path: Path) -> None:
    found = load_classification_set(_npz(tmp_path / "set.npz", x=np.zeros((4, 8, 8), np.uint8)))
    assert found.images.shape == (4, 8, 8, 1)
    assert found.labels == ("0", "1")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 8, 8), np.float32)}, r"set\.npz x: expected uint8 \(N, H, W\).*got float32"),
        ({"y": np.zeros(3, np.int64)}, r"set\.npz y: expected 4 whole numbers"),
        ({"y": np.array([0, 1, 1, -1])}, r"set\.npz y: expected classes of 0\.\.1, .* got -1\.\.1"),
        ({"y": np.array([0, 1, 2, 0]), "classes": np.array(["a", "b"])}, r"as there are 2 names, got 0\.\.2"),
    ],
)
def test_faulty_npz_is_named(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_classification_set(_npz(tmp_path / "set.npz", **arrays))


def test_file_that_is_no_npz_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "set.npz").write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"set\.npz: expected an \.npz with x and y"):
        load_classification_set(tmp_path / "set.npz")
    with pytest.raises(DataError, match=r"expected an \.npz file or a folder of classes"):
        load_classification_set(tmp_path / "set.csv")


def test_damaged_npz_is_one_clear_line(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez_compressed(tmp_path / "set.npz", x=x, y=np.zeros(40, np.int64))
    whole = (tmp_path / "set.npz").read_bytes()
    holes = bytearray(whole)
    holes[200:400] = bytes(200)
    for content in (whole[: len(whole) // 2], bytes(holes), b""):
        (tmp_path / "cut.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"cut\.npz: expected an \.npz with x and y, got ") as caught:
            load_classification_set(tmp_path / "cut.npz")
        assert "\n" not in str(caught.value)
    np.savez(tmp_path / "other.npz", x=x, z=x)
    with pytest.raises(DataError, match=r"other\.npz: expected an \.npz with x and y, got x, z without y"):
        load_classification_set(tmp_path / "other.npz")
    with (tmp_path / "single.npz").open("wb") as file:
        np.save(file, x)
    with pytest.raises(DataError, match="got a single array"):
        load_classification_set(tmp_path / "single.npz")


def _folder(path: Path) -> Path:
    for number, name in enumerate(("apple", "pear")):
        (path / name).mkdir(parents=True)
        for count in range(3):
            cv2.imwrite(str(path / name / f"{count}.png"), np.full((20, 30, 3), 60 * number + 40, np.uint8))
    return path


def test_folder_names_the_classes_and_pictures_are_resized(tmp_path: Path) -> None:
    found = load_classification_set(_folder(tmp_path / "fruit"), (12, 10))
    assert found.labels == ("apple", "pear")
    assert found.images.shape == (6, 10, 12, 3)
    assert [int(image.mean()) for image in found.images] == [40, 40, 40, 100, 100, 100]
    swapped = load_classification_set(tmp_path / "fruit", (12, 10), ("pear", "apple"))
    assert swapped.classes.tolist() == [0, 0, 0, 1, 1, 1]
    assert int(swapped.images[0].mean()) == 100


def test_faulty_folders_are_named(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "fruit")
    with pytest.raises(DataError, match="expected the classes apple, plum, got apple, pear"):
        load_classification_set(folder, (8, 8), ("apple", "plum"))
    (folder / "pear" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1\.png: expected a picture, got a file that does not decode"):
        load_classification_set(folder, (8, 8))
    (folder / "quince").mkdir()
    for file in (folder / "pear").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="pear: expected pictures, got none"):
        load_classification_set(folder, (8, 8))


def test_split_holds_back_a_part_of_every_class(tmp_path: Path) -> None:
    path = _npz(
        tmp_path / "set.npz",
        x=np.arange(40, dtype=np.uint8).repeat(64).reshape(40, 8, 8),
        y=np.arange(40) % 4,
    )
    data = load_classification_set(path)
    rest, held_out = split(data, 0.2, seed=1)
    assert np.bincount(held_out.classes).tolist() == [2, 2, 2, 2]
    marks = sorted([*rest.images[:, 0, 0, 0].tolist(), *held_out.images[:, 0, 0, 0].tolist()])
    assert marks == list(range(40))
    again = split(data, 0.2, seed=1)[1]
    assert np.array_equal(again.images, held_out.images)


def test_npz_that_says_it_is_larger_than_any_memory_is_one_line(tmp_path: Path) -> None:
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
        archive.writestr("y.npy", header.getvalue())
    with pytest.raises(DataError, match=r"set\.npz: expected an \.npz with x and y, got .*allocate"):
        load_classification_set(tmp_path / "set.npz")


def test_npz_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"x")
        archive.infolist()[0].file_size = 2**40
    with pytest.raises(DataError, match=r"set\.npz: expected .* of under \d+ bytes, got 1099511627776"):
        load_classification_set(path)
