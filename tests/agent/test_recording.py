from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import DataError, StorageError
from agent.recording import RecordedFrame, Recording, RecordingHeader, RecordingWriter
from agent.records import Actions, Detections, Tracks

HEADER = RecordingHeader("front", ("person", "car"))


def objects(count: int, seed: int = 0) -> tuple[Detections, Tracks]:
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(-10, 2000, (count, 4)).astype(np.float32)
    scores = rng.uniform(0, 1, count).astype(np.float32)
    labels = rng.integers(0, 2, count)
    tracks = Tracks(
        ids=rng.integers(0, 10**12, count),
        boxes=boxes,
        velocities=rng.normal(0, 100, (count, 2)).astype(np.float32),
        scores=scores,
        labels=labels,
        states=rng.integers(0, 4, count),
        age_s=rng.exponential(10, count).astype(np.float32),
        since_seen_s=rng.exponential(0.1, count).astype(np.float32),
    )
    return Detections(boxes, scores, labels), tracks


def write(path: Path, *frames: RecordedFrame) -> Path:
    with RecordingWriter(path, HEADER) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(0, 5),
    seed=st.integers(0, 10_000),
    which=st.sampled_from(["detections", "tracks", "both"]),
)
def test_what_is_written_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, count: int, seed: int, which: str
) -> None:
    detections, tracks = objects(count, seed)
    frame = RecordedFrame(
        1234.567891234,
        1.7e9 + 0.123456,
        7,
        (640, 480),
        detections if which != "tracks" else None,
        tracks if which != "detections" else None,
    )
    recording = Recording(write(tmp_path_factory.mktemp("recording") / "front.ndjson", frame))
    assert recording.header == HEADER
    for _ in range(2):  # a recording can be read again
        [back] = recording
        assert (back.time_s, back.wall_s, back.index, back.size) == (
            1234.567891234,
            1.7e9 + 0.123456,
            7,
            (640, 480),
        )
        for name in ("detections", "tracks"):
            first, second = getattr(frame, name), getattr(back, name)
            assert (first is None) == (second is None)
            for key in first.__dataclass_fields__ if first is not None else ():
                assert getattr(first, key).dtype == getattr(second, key).dtype
                assert np.array_equal(getattr(first, key), getattr(second, key))


def test_a_frame_is_in_the_file_once_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "front.ndjson"
    writer = RecordingWriter(path, HEADER)
    writer.write(RecordedFrame(0.0, 0.0, 0, (10, 10), *objects(2)))
    assert len(list(Recording(path))) == 1
    writer.close()


def test_a_last_line_that_is_cut_off_is_left_out_at_any_byte(tmp_path: Path) -> None:
    frames = [RecordedFrame(float(n), float(n), n, (10, 10), *objects(1, n)) for n in range(3)]
    whole = write(tmp_path / "whole.ndjson", *frames).read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    cut = tmp_path / "cut.ndjson"
    for end in range(last, len(whole) - 1):
        cut.write_bytes(whole[:end])
        assert len(list(Recording(cut))) == 2


def line(**changes: Any) -> dict[str, Any]:
    content = {
        "time_s": 1.0,
        "wall_s": 2.0,
        "index": 1,
        "size": [10, 10],
        "detections": {"boxes": [[0, 0, 1, 1]], "scores": [0.5], "labels": [0]},
    }
    return {key: value for key, value in (content | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (line(time_s="now"), "3 time_s: expected a number, got 'now'"),
        (line(time_s=0.5), "3 time_s: expected at least 1, that of the line before, got 0.5"),
        (line(index=None), "3 index: expected a number, got None"),
        (line(size=[10]), r"3 size: expected [width, height] in px, got [10]"),
        (
            line(extra=1),
            (
                "3 extra: expected one of actions, detections, index, size, time_s, tracks, wall_s, "
                "got an unknown key"
            ),
        ),
        (
            line(detections=None),
            "3: expected the same of detections, tracks, actions as in the line before, got others",
        ),
        (line(detections=[1]), "3 detections: expected the keys boxes, scores, labels, got [1]"),
        (
            line(detections={"boxes": [[0, 0, 1]], "scores": [0.5], "labels": [0]}),
            "3 detections.boxes: expected a list of 1 [n, n, n, n], got [[0, 0, 1]]",
        ),
        (
            line(detections={"boxes": [[0, 0, 1, 1]], "scores": [], "labels": [0]}),
            "3 detections.scores: expected a list of 1 numbers, got []",
        ),
        (
            line(detections={"boxes": [[0, 0, 1, 1]], "scores": [0.5], "labels": [0.5]}),
            "3 detections.labels: expected whole numbers, got [0.5]",
        ),
        (
            line(detections={"boxes": [[0, 0, 1, "x"]], "scores": [0.5], "labels": [0]}),
            "3 detections.boxes: expected a list of 1 [n, n, n, n], got [[0, 0, 1, 'x']]",
        ),
        ([1, 2], "3: expected a JSON object, got [1, 2]"),
    ],
)
def test_a_wrong_frame_names_its_line_and_place(tmp_path: Path, wrong: Any, message: str) -> None:
    path = tmp_path / "front.ndjson"
    header = {"format": "edgetrack-recording", "version": 1, "camera": "front", "labels": ["person"]}
    path.write_text("".join(json.dumps(content) + "\n" for content in (header, line(), wrong)))
    with pytest.raises(DataError) as caught:
        list(Recording(path))
    assert str(caught.value) == f"{path}:{message}"


def test_a_state_that_is_none_is_refused(tmp_path: Path) -> None:
    _, tracks = objects(1)
    path = write(tmp_path / "front.ndjson", RecordedFrame(0.0, 0.0, 0, (10, 10), None, tracks))
    text = path.read_text().replace(f'"states":[{tracks.states[0]}]', '"states":[9]')
    path.write_text(text)
    with pytest.raises(DataError, match=r"2 tracks\.states: expected 0 tentative, 1 confirmed, .* got \[9\]"):
        list(Recording(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a recording, got an empty file"),
        ("{not json}\n", ":1: expected a JSON object, got '{not json}"),
        ('{"format": "other"}\n', ":1 format: expected 'edgetrack-recording', got 'other'"),
        ('{"format": "edgetrack-recording", "version": 2}\n', ":1 version: expected 1, got 2"),
        (
            '{"format": "edgetrack-recording", "version": 1, "labels": "x"}\n',
            ":1 labels: expected a list of class names",
        ),
    ],
)
def test_what_is_no_recording_is_refused_at_once(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "front.ndjson"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        Recording(path)
    assert message in str(caught.value)


def test_a_broken_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "front.ndjson", *(RecordedFrame(float(n), 0.0, n, (10, 10), *objects(1)) for n in range(3))
    )
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[2][:20] + "\n"
    path.write_text("".join(lines))
    with pytest.raises(DataError, match=r":3: expected a JSON object"):
        list(Recording(path))


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "front.ndjson", RecordedFrame(0.0, 0.0, 0, (10, 10), *objects(1)))
    path.write_text(path.read_text().replace('"time_s":0.0', '"time_s":NaN'))
    with pytest.raises(DataError, match="NaN is no number"):
        list(Recording(path))


def test_missing_files_and_other_bytes_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a recording, got No such file"):
        Recording(tmp_path / "nothing.ndjson")
    (tmp_path / "picture.ndjson").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(DataError, match="expected UTF-8 text, got other bytes"):
        Recording(tmp_path / "picture.ndjson")
    with pytest.raises(StorageError, match="expected a file that can be written"):
        RecordingWriter(tmp_path / "no" / "front.ndjson", HEADER)


def test_actions_are_read_back_with_their_names(tmp_path: Path) -> None:
    actions = Actions(np.array([1, -1], np.int64), np.array([0.75, 0.0], np.float32))
    header = RecordingHeader("front", ("person",), actions=("walk", "fall"))
    with RecordingWriter(tmp_path / "front.ndjson", header) as writer:
        writer.write(RecordedFrame(1.0, 2.0, 0, (10, 10), *objects(2), actions))
    recording = Recording(tmp_path / "front.ndjson")
    assert recording.header == header
    [back] = recording
    assert back.actions is not None
    assert back.actions.labels.tolist() == [1, -1]
    assert back.actions.scores.tolist() == [0.75, 0.0]


def test_actions_without_their_tracks_or_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "front.ndjson"
    header = {"format": "edgetrack-recording", "version": 1, "labels": [], "actions": ["walk"]}
    told = {"actions": {"labels": [0], "scores": [0.5]}}
    path.write_text("".join(json.dumps(content) + "\n" for content in (header, line(**told))))
    with pytest.raises(DataError, match=r"2 actions: expected a row for each track \(none\), got 1"):
        list(Recording(path))


@pytest.mark.parametrize(
    ("key", "value"),
    [("index", "1e999"), ("time_s", "9" * 400), ("wall_s", "-1e999"), ("index", "[" * 100_000)],
)
def test_number_that_nothing_can_hold_is_one_clear_line(tmp_path: Path, key: str, value: str) -> None:
    frame = {"time_s": "1", "wall_s": "1", "index": "0", "size": "[640, 480]", key: value}
    path = tmp_path / "front.ndjson"
    line = ", ".join(f'"{name}": {content}' for name, content in frame.items())
    header = '{"format": "edgetrack-recording", "version": 1, "camera": "front", "labels": []}'
    path.write_text(f"{header}\n{{{line}}}\n")
    with pytest.raises(DataError, match=r"front.ndjson:2"):
        list(Recording(path))
