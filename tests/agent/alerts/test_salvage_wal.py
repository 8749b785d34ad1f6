from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.alerts.outbox_file import PAGE_SIZE
from agent.alerts.salvage_wal import wal_frames

FRAME = PAGE_SIZE + 24


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose WAL is in its second round, shorter than the first, whose end is still there."""
    folder = tmp_path_factory.mktemp("live")
    database = sqlite3.connect(folder / "o.sqlite", isolation_level=None)
    database.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, content BLOB)")
    for _ in range(20):
        database.execute("INSERT INTO t (content) VALUES (randomblob(3000))")
    database.execute("PRAGMA wal_checkpoint(RESTART)")
    for _ in range(4):
        database.execute("INSERT INTO t (content) VALUES (randomblob(9000))")
    copy = tmp_path_factory.mktemp("killed") / "state"
    shutil.copytree(folder, copy)
    database.close()
    return copy


def damaged(whole: bytes) -> Iterator[bytes]:
    generator = random.Random(1)
    yield whole
    for start in range(32, len(whole), FRAME):
        yield whole[:start]
        yield whole[: start + 100]
        yield whole[: start + 24] + generator.randbytes(PAGE_SIZE) + whole[start + FRAME :]
        yield whole[:start] + generator.randbytes(24) + whole[start + 24 :]
    for byte in range(32):
        yield whole[:byte] + bytes([whole[byte] ^ 0x10]) + whole[byte + 1 :]


def test_frames_that_are_taken_are_those_that_sqlite_takes(killed: Path, tmp_path: Path) -> None:
    whole = (killed / "o.sqlite-wal").read_bytes()
    counts = set()
    for number, wal in enumerate(damaged(whole)):
        copy = tmp_path / str(number)
        shutil.copytree(killed, copy)
        (copy / "o.sqlite-wal").write_bytes(wal)
        (copy / "o.sqlite-shm").unlink(missing_ok=True)
        database = sqlite3.connect(copy / "o.sqlite")
        (_, frames, _) = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        database.close()
        found = wal_frames(wal)
        assert [frame.taken for frame in found] == [place < frames for place in range(len(found))]
        counts.add(frames)
    assert len(counts) > 3


def test_frames_of_the_round_before_are_not_current(killed: Path) -> None:
    found = wal_frames((killed / "o.sqlite-wal").read_bytes())
    current = [frame.current for frame in found]
    assert current == sorted(current, reverse=True)
    assert {True, False} == set(current)
    assert [frame.taken for frame in found] == current, "an undamaged WAL is taken to its end"
    assert wal_frames(b"") == []
