"""Calibration samples from folders, videos and arrays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import DataError, ModelError
from agent.vision.letterbox import Letterbox
from agent.vision.model_spec import InputSpec
from converter.calibration.pictures import video_pictures
from converter.calibration.samples import input_tensor, load_samples

SPEC = InputSpec(width=32, height=24, mean=(10.0,), std=(50.0,))
RNG = np.random.default_rng(0)


def write_pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:03}.png"), RNG.integers(0, 255, (30, 40, 3), np.uint8))
    return folder


def test_pictures_enter_as_the_agent_lets_them_enter(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "p", 3)
    samples = load_samples(folder, SPEC, 10)
    letterbox = Letterbox(SPEC, input_tensor(SPEC))
    for path, sample in zip(sorted(folder.iterdir()), samples.each(), strict=True):
        expected = letterbox.new_buffer()
        image = cv2.imread(str(path))
        assert image is not None
        letterbox(image, expected)
        np.testing.assert_array_equal(sample[""], expected)


def test_few_samples_are_warned_of_and_many_varied_ones_are_not(tmp_path: Path) -> None:
    assert any(
        "single ones decide" in text
        for text in load_samples(write_pictures(tmp_path / "few", 3), SPEC, 10).warnings
    )
    assert load_samples(write_pictures(tmp_path / "many", 40), SPEC, 100).warnings == ()


def test_uniform_samples_are_warned_of(tmp_path: Path) -> None:
    one = RNG.normal(size=(1, 20, 20, 3)).astype(np.float32)
    path = tmp_path / "same.npz"
    np.savez(path, x=one + RNG.normal(0, 0.01, (50, 20, 20, 3)).astype(np.float32))
    assert any("nearly the same" in text for text in load_samples(path, None, 100).warnings)


def black(folder: Path) -> Path:
    """Pictures that the letterbox gives grey edges, but that show nothing."""
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), np.zeros((30, 90, 3), np.uint8))
    return folder


def test_samples_without_any_variation_are_refused(tmp_path: Path) -> None:
    flat = np.zeros((40, 3, 8, 8), np.float32)
    flat[:, 1] = 0.5  # a colour, as mean and std may make one of black
    for make in (
        lambda: _npz(tmp_path, x=np.zeros((40, 28, 28), np.float32)),
        lambda: _npz(tmp_path, x=flat),
        lambda: black(tmp_path / "black"),
    ):
        with pytest.raises(DataError, match=r"expected samples that vary, got the same flat value \(0\)"):
            load_samples(make(), SPEC, 100)


def test_one_value_that_differs_is_variation(tmp_path: Path) -> None:
    values = np.zeros((40, 28, 28), np.float32)
    values[39, 5, 5] = 1.0
    assert load_samples(_npz(tmp_path, x=values), None, 100).constant == {}


def test_one_of_several_inputs_may_only_be_flat_if_it_is_a_number_or_a_state(tmp_path: Path) -> None:
    count = 40
    path = _npz(
        tmp_path, x=RNG.normal(size=(count, 8)), mask=np.ones((count, 8)), rate=np.full((count, 1), 16e3)
    )
    samples = load_samples(path, None, 100)
    assert len(list(samples.bound(["x", "rate"])())) == count
    assert len(list(samples.bound(["x", "mask", "rate"], ["mask"])())) == count
    with pytest.raises(DataError, match=r"x\.npz input mask: expected samples that vary"):
        samples.bound(["x", "mask", "rate"])


def test_unreadable_picture_is_named_and_left_out(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "p", 2)
    (folder / "broken.jpg").write_bytes(b"no picture")
    samples = load_samples(folder, SPEC, 10)
    assert samples.count == 2
    assert any("broken.jpg" in text and "left out" in text for text in samples.warnings)


def test_samples_are_chosen_evenly(tmp_path: Path) -> None:
    path = tmp_path / "n.npz"
    np.savez(path, x=np.arange(100, dtype=np.float32).reshape(100, 1))
    chosen = [float(sample[""].item()) for sample in load_samples(path, None, 5).each()]
    assert chosen == [0, 25, 50, 74, 99]


def test_frames_of_a_video_follow_motion_when_asked_to(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for i in range(40):
        image = np.full((48, 64, 3), 60, np.uint8)
        if i >= 30:
            image[:, (i - 30) * 6 : (i - 30) * 6 + 8] = 255
        writer.write(image)
    writer.release()
    even = [int(name.rsplit(" ", 1)[1]) for name in video_pictures(path, 6, "even").names]
    motion = [int(name.rsplit(" ", 1)[1]) for name in video_pictures(path, 6, "motion").names]
    assert even == [0, 8, 16, 23, 31, 39]
    assert sum(frame >= 29 for frame in motion) >= len(motion) - 1
    assert len(list(video_pictures(path, 6, "motion").each())) == len(motion)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: path / "missing", "got no such file"),
        (lambda path: path, "expected pictures"),
        (lambda path: _file(path / "x.npz", b"damaged"), "expected arrays"),
        (lambda path: _npz(path, x=np.zeros((0, 3))), "one length above 0"),
        (lambda path: _npz(path, a=np.zeros((2, 3)), b=np.zeros((3, 3))), "arrays of one length"),
        (lambda path: _npz(path, x=np.array([[np.nan]])), "expected finite numbers"),
        (lambda path: _npz(path, x=np.array([["a"]])), "expected numbers"),
        (lambda path: _file(path / "v.mp4", b"no video"), "v.mp4"),
    ],
    ids=["missing", "empty-folder", "damaged", "no-rows", "lengths", "nan", "text", "video"],
)
def test_bad_source_is_one_line(tmp_path: Path, make: object, expected: str) -> None:
    assert callable(make)
    with pytest.raises(DataError) as caught:
        load_samples(make(tmp_path), SPEC, 10)
    assert expected in str(caught.value)


def test_pictures_without_a_spec_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="give --spec with"):
        load_samples(write_pictures(tmp_path / "p", 1), None, 10)


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path / "x.npz", **arrays)
    return path / "x.npz"
