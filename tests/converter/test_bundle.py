"""Bundles appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from agent.errors import StorageError
from converter import bundle
from converter.bundle import check_output, staged
from converter.conversion import Request, convert
from converter.report.content import ReportContent
from converter.report.page import write_report


def test_files_appear_together_and_old_ones_stay_until_then(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "model.json").write_text("old")
    with staged(output) as folder:
        (folder / "model.tflite").write_bytes(b"new")
        (folder / "model.json").write_text("new")
        assert (output / "model.json").read_text() == "old"
        assert not (output / "model.tflite").exists()
    assert {path.name: path.read_bytes() for path in output.iterdir()} == {
        "model.tflite": b"new",
        "model.json": b"new",
    }
    assert list(tmp_path.iterdir()) == [output]


def test_what_was_compiled_from_a_replaced_model_goes(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    stale = {"m_edgetpu.tflite", "m_segment_0_of_2_edgetpu.tflite", "m_segment_1_of_2_edgetpu.tflite"}
    others = {"other.tflite", "other_edgetpu.tflite", "m_x_edgetpu.tflite", "m_edgetpu.log"}
    for name in stale | others | {"m.tflite"}:
        (output / name).write_text("old")
    with staged(output) as folder:
        (folder / "m.tflite").write_text("new")
        assert (output / "m_edgetpu.tflite").exists()
    assert {path.name for path in output.iterdir()} == others | {"m.tflite"}


def test_what_is_compiled_anew_stays(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "m_edgetpu.tflite").write_text("old")
    with staged(output) as folder:
        for name in ("m.tflite", "m_edgetpu.tflite"):
            (folder / name).write_text("new")
    assert {path.name: path.read_text() for path in output.iterdir()} == {
        "m.tflite": "new",
        "m_edgetpu.tflite": "new",
    }


def test_report_alone_removes_nothing(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    for name in ("m.tflite", "m_edgetpu.tflite"):
        (output / name).write_text("old")
    with staged(output) as folder:
        (folder / "report.html").write_text("red")
    assert len(list(output.iterdir())) == 3


def test_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyError), staged(tmp_path / "out") as folder:
        (folder / "model.tflite").write_bytes(b"half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_one_line_and_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(bundle, "_flush", full)
    with (
        pytest.raises(StorageError, match="No space left on device; make room and convert again; nothing"),
        staged(tmp_path / "out") as folder,
    ):
        (folder / "model.tflite").write_bytes(b"new")
    assert list(tmp_path.iterdir()) == []


def test_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="expected a folder, got a file"), staged(tmp_path / "out"):
        pass


def test_full_disk_under_the_report_names_the_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *args: object, **kwargs: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_text", full)
    line = re.escape(f"{tmp_path / 'out'}: expected a place to write to, got: No space left on device; make")
    with (
        pytest.raises(StorageError, match=f"^{line}.*nothing was written$"),
        staged(tmp_path / "out") as folder,
    ):
        write_report(ReportContent("m", "passed", "s"), folder)


def test_place_that_cannot_be_written_is_known_before_anything_is_read(tmp_path: Path) -> None:
    model, data, file = tmp_path / "m.onnx", tmp_path / "none.npz", tmp_path / "file"
    model.write_bytes(b"never opened")
    file.write_text("a file")
    for output, line in (
        (file, "file: expected a folder, got a file"),
        (file / "below" / "it", "file: expected a folder, got a file"),
        (Path("/proc/x"), "/proc/x: expected a place to write to, got: "),
    ):
        with pytest.raises(StorageError, match=re.escape(line)):
            convert(Request(model, data, output))
    assert {path.name for path in tmp_path.iterdir()} == {"m.onnx", "file"}


def test_place_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    check_output(there)
    check_output(tmp_path / "new" / "and" / "below")
    assert (list(tmp_path.iterdir()), list(there.iterdir())) == ([there], [])
