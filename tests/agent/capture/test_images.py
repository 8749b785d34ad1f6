from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.capture.images import natural_key, read_picture
from agent.capture.settings import SourceSettings
from agent.capture.source import open_source
from agent.errors import SourceError


def write(path: Path, level: int) -> None:
    cv2.imwrite(str(path), np.full((12, 16, 3), level, np.uint8))


def test_folder_is_read_in_natural_order_on_its_timeline(tmp_path: Path) -> None:
    for level in (1, 2, 10, 20, 100):
        write(tmp_path / f"Pic{level}.png", level)
    write(tmp_path / ".hidden.png", 200)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    source = open_source(SourceSettings(source=str(tmp_path), fps=4))
    assert (source.frame_count, source.live) == (5, False)
    frames = [source.read() for _ in range(5)]
    assert [int(frame.image[0, 0, 0]) for frame in frames if frame] == [1, 2, 10, 20, 100]
    assert [frame.time_s for frame in frames if frame] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert source.read() is None
    source.close()


def test_natural_order_counts_numbers_by_value() -> None:
    names = ["b1", "a10", "a2", "A1", "a02b", "a", "10", "9", "²"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "A1", "a2", "a02b", "a10", "b1", "²"]


def test_real_pictures_come_as_opencv_reads_them(shared_data: Path) -> None:
    folder = shared_data / "coco" / "images" / "val2017"
    source = open_source(SourceSettings(source=str(folder)))
    assert source.frame_count == 252
    for path in sorted(folder.iterdir())[:20]:
        frame = source.read()
        assert frame is not None
        assert np.array_equal(frame.image, cv2.imread(str(path)))


def test_single_picture_is_a_source_of_one_frame(tmp_path: Path) -> None:
    write(tmp_path / "one.png", 7)
    source = open_source(SourceSettings(source=str(tmp_path / "one.png")))
    first, second = source.read(), source.read()
    assert first is not None and first.size == (16, 12)
    assert second is None


@pytest.mark.parametrize("damage", ["text", "empty", "cut"])
def test_unreadable_picture_is_named_and_passed_over(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2, 3):
        cv2.imwrite(
            str(tmp_path / f"{number}.jpg"), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        )
    bad = tmp_path / "2.jpg"
    content = {"text": b"hello", "empty": b"", "cut": bad.read_bytes()[:1500]}[damage]
    bad.write_bytes(content)
    source = open_source(SourceSettings(source=str(tmp_path), fps=4))
    frames = [source.read(), source.read()]
    assert [(frame.index, frame.time_s) for frame in frames if frame] == [(0, 0.0), (2, 0.5)]
    assert source.read() is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert re.search(r"2\.jpg: expected .*; replace or remove it \(picture 2 of 3\)$", record.message)


def test_folder_of_which_no_picture_can_be_read_fails_with_the_first(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.jpg").touch()
    source = open_source(SourceSettings(source=str(tmp_path)))
    with pytest.raises(SourceError, match=r"1\.jpg: expected a picture, got an empty file"):
        source.read()


def test_folder_without_pictures_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"\.jpg .*got a folder without any"):
        open_source(SourceSettings(source=str(tmp_path)))


def test_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        open_source(SourceSettings(source=str(tmp_path / "gone.jpg")))


def test_grey_picture_becomes_three_channels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 4), 9, np.uint8))
    assert read_picture(tmp_path / "grey.png").shape == (4, 4, 3)
