"""Calibration pictures chosen by a recording of the agent."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import DataError
from agent.recording import RecordedFrame, RecordingHeader, RecordingWriter
from agent.records import Detections
from agent.vision.model_spec import InputSpec
from converter.calibration.recording import recorded_pictures
from converter.calibration.samples import load_samples

FRAMES = 40
SPEC = InputSpec(width=32, height=24)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder in which each picture has its own grey."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(FRAMES):
        cv2.imwrite(str(folder / f"{i:03}.png"), np.full((24, 32, 3), i * 6, np.uint8))
    return folder


def record(path: Path, objects: dict[int, int], count: int = FRAMES) -> Path:
    """A recording with so many objects in some frames and none in the others."""
    with RecordingWriter(path, RecordingHeader("front", ("person",))) as writer:
        for index in range(count):
            seen = objects.get(index, 0)
            boxes = np.tile(np.array([[1, 1, 9, 9]], np.float32), (seen, 1))
            found = Detections(boxes, np.ones(seen, np.float32), np.zeros(seen, np.int64))
            writer.write(RecordedFrame(index / 10, 1e9 + index / 10, index, (32, 24), found))
    return path


def test_frames_with_objects_are_chosen_first(tmp_path: Path, pictures: Path) -> None:
    recording = record(tmp_path / "front.ndjson", dict.fromkeys(range(20, 30), 2))
    chosen = [int(name.split(".")[0]) for name in recorded_pictures(recording, pictures, 10).names]
    assert sum(20 <= frame < 30 for frame in chosen) >= 8
    assert min(chosen) < 20  # what the camera shows of an empty scene counts too


def test_pictures_are_those_that_the_recording_means(tmp_path: Path, pictures: Path) -> None:
    recording = record(tmp_path / "front.ndjson", {})
    samples = load_samples(recording, SPEC, FRAMES, video=pictures)
    greys = [round(float(sample[""].max()) * 255) for sample in samples.each()]
    assert greys == [i * 6 for i in range(FRAMES)]
    assert any("nothing was seen" in text for text in samples.warnings)


def test_frames_come_from_a_video_too(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for i in range(FRAMES):
        writer.write(np.full((48, 64, 3), i * 6, np.uint8))
    writer.release()
    recording = record(tmp_path / "front.ndjson", {7: 20, 31: 20})
    chosen = recorded_pictures(recording, path, 4)
    assert {"v.mp4 frame 7", "v.mp4 frame 31"} <= set(chosen.names)
    greys = [float(image.mean()) / 6 for image in chosen.each()]
    np.testing.assert_allclose(greys, [int(name.split()[-1]) for name in chosen.names], atol=0.7)


def test_other_video_than_the_recorded_one_is_refused(tmp_path: Path, pictures: Path) -> None:
    recording = record(tmp_path / "front.ndjson", {}, count=FRAMES + 5)
    with pytest.raises(DataError, match=r"expected the 45 or more frames .* got 40"):
        recorded_pictures(recording, pictures, 10)


@pytest.mark.parametrize(
    ("content", "video", "expected"),
    [
        ("", True, "got an empty file"),
        ('{"format": "other"}\n', True, "format"),
        (None, False, "which holds no pictures"),
    ],
    ids=["empty", "no-recording", "no-video"],
)
def test_what_is_missing_is_said(
    tmp_path: Path, pictures: Path, content: str | None, video: bool, expected: str
) -> None:
    recording = record(tmp_path / "front.ndjson", {3: 1})
    if content is not None:
        recording.write_text(content)
    with pytest.raises(DataError, match=expected):
        load_samples(recording, SPEC, 10, video=pictures if video else None)
