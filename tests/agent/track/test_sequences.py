"""MOTChallenge files in and out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.errors import DataError, SourceError, StorageError
from agent.track.motchallenge import frames_of, read_rows, read_sequence_info, to_detections
from agent.track.sequences import sequences_in, track_sequence
from agent.track.settings import TrackerSettings

INFO = "[Sequence]\nname=street\nframeRate=10\nseqLength=30\nimWidth=640\nimHeight=480\n"


def walk(frames: int = 20) -> str:
    return "".join(f"{n},-1,{100 + 6 * n},150,40,100,0.99,-1,-1,-1\n" for n in range(1, frames + 1))


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A folder with one sequence."""
    (tmp_path / "gt" / "street" / "det").mkdir(parents=True)
    (tmp_path / "gt" / "street" / "seqinfo.ini").write_text(INFO)
    (tmp_path / "gt" / "street" / "det" / "det.txt").write_text(walk())
    return tmp_path / "gt"


def test_a_walk_becomes_one_track_of_confirmed_frames(street: Path, tmp_path: Path) -> None:
    ((info, path),) = sequences_in(street)
    steps: list[tuple[int, int]] = []
    done = track_sequence(
        path,
        tmp_path / "out" / "street.txt",
        TrackerSettings(),
        info=info,
        on_progress=lambda *s: steps.append(s),
    )
    rows = read_rows(done.output)
    assert (done.name, done.frames, done.tracks) == ("street", 30, 1)
    assert rows[:, 0].tolist() == list(range(2, 21))
    assert set(rows[:, 1]) == {1.0}
    np.testing.assert_allclose(rows[-1, 2:6], [220, 150, 40, 100], atol=2)
    assert steps[-1] == (30, 30)
    assert list(done.output.parent.iterdir()) == [done.output]


def test_the_frame_rate_sets_the_time(street: Path, tmp_path: Path) -> None:
    text = "".join(line for n, line in enumerate(walk(30).splitlines(keepends=True)) if not 14 <= n < 22)
    det = street / "street" / "det" / "det.txt"
    det.write_text(text)
    fast = track_sequence(det, tmp_path / "fast.txt", TrackerSettings(), fps=30)
    slow = track_sequence(det, tmp_path / "slow.txt", TrackerSettings(), fps=3)
    assert (fast.tracks, slow.tracks) == (1, 2)


def test_the_eighth_of_eight_columns_is_the_class(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("1,-1,0,0,10,20,0.9,2\n2,-1,0,0,10,20,0.9,7,-1,-1\n")
    labels = [to_detections(rows).labels.tolist() for _, rows in frames_of(read_rows(path), 2)]
    assert labels == [[2], [0]]


def test_frames_need_not_be_in_order_and_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("\n3 -1 0 0 10 20 0.5\n\n1,-1,5,5,10,20,0.5\n")
    assert [len(rows) for _, rows in frames_of(read_rows(path), 4)] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1,-1,a,0,10,20,0.5", "expected numbers, got '1,-1,a,0,10,20,0.5'"),
        ("1,-1,0,0,10,20", "got 6 numbers"),
        ("0,-1,0,0,10,20,0.5", "expected a frame number from 1, got 0"),
        ("1.5,-1,0,0,10,20,0.5", "expected a frame number from 1, got 1.5"),
        ("1,-1,nan,0,10,20,0.5", "expected finite numbers"),
        ("1,-1,0,0,10,20,0.5,-2", "expected a class number from 0"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "det.txt"
    path.write_text(walk(2) + line + "\n")
    with pytest.raises(DataError) as caught:
        read_rows(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert fault in str(caught.value)


def test_a_faulty_box_is_named_by_file_and_frame_and_nothing_is_written(tmp_path: Path) -> None:
    path, output = tmp_path / "det.txt", tmp_path / "out.txt"
    path.write_text(walk(2) + "3,-1,0,0,-10,20,0.5\n")
    with pytest.raises(DataError, match=r"det\.txt frame 3: expected x1 < x2"):
        track_sequence(path, output, TrackerSettings())
    assert not output.exists()


def test_missing_and_unreadable_files_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="got No such file"):
        read_rows(tmp_path / "none.txt")
    (tmp_path / "picture.txt").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="bytes that are no text"):
        read_rows(tmp_path / "picture.txt")
    with pytest.raises(SourceError, match=r"expected folders with seqinfo\.ini"):
        sequences_in(tmp_path)
    (tmp_path / "det.txt").write_text(walk(3))
    with pytest.raises(StorageError, match="expected to write tracks"):
        track_sequence(tmp_path / "det.txt", tmp_path / "det.txt" / "out.txt", TrackerSettings())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "expected a section"),
        ("frameRate=1", "expected an ini file"),
        (INFO.replace("frameRate=10\n", ""), "frameRate: expected a number, got nothing"),
        (INFO.replace("=10", "=ten"), "frameRate: expected a number, got 'ten'"),
        (INFO.replace("=10", "=0"), "frameRate: expected a positive number"),
    ],
)
def test_a_faulty_seqinfo_is_named(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "seqinfo.ini"
    path.write_text(content)
    with pytest.raises(DataError, match=fault):
        read_sequence_info(path)


def test_detections_beyond_the_sequence_are_an_error(street: Path, tmp_path: Path) -> None:
    ((info, path),) = sequences_in(street)
    path.write_text(walk(31))
    with pytest.raises(DataError, match=r"expected 30 frames as seqinfo\.ini says, got frame 31"):
        track_sequence(path, tmp_path / "out.txt", TrackerSettings(), info=info)
