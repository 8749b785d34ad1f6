"""Bundles appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.errors import StorageError
from converter import bundle
from converter.bundle import staged


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
        pytest.raises(StorageError, match="No space left on device; make room"),
        staged(tmp_path / "out") as folder,
    ):
        (folder / "model.tflite").write_bytes(b"new")
    assert list(tmp_path.iterdir()) == []


def test_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="expected a folder, got a file"), staged(tmp_path / "out"):
        pass
