from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.alerts.outbox import Outbox
from agent.alerts.outbox_records import StoredAlert
from agent.alerts.schema import new_id
from agent.alerts.settings import OutboxSettings
from agent.errors import StorageError

MakeOutbox = Callable[..., Outbox]


def put(
    outbox: Outbox, number: int = 1, *, priority: int = 1, size: int = 20, topic: str = "t"
) -> list[StoredAlert]:
    return [
        outbox.put(topic, new_id(), lambda sequence: b"%d " % sequence + b"x" * size, priority)
        for _ in range(number)
    ]


def sequences(outbox: Outbox) -> list[int]:
    return [alert.sequence for alert in outbox.pending(100_000)]


def test_alert_is_on_the_disk_when_put_returns(outbox_path: Path) -> None:
    """The process ends at once after `put`, without closing anything."""
    program = (
        "import os, sys; from pathlib import Path; from agent.alerts.outbox import Outbox;"
        "from agent.alerts.settings import OutboxSettings;"
        "outbox = Outbox(Path(sys.argv[1]), OutboxSettings());"
        "[outbox.put('t', f'{n:026d}', lambda s: b'payload %d' % s) for n in range(5)];"
        "os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(outbox_path)], check=False)
    assert done.returncode == 9
    outbox = Outbox(outbox_path, OutboxSettings())
    assert [alert.payload for alert in outbox.pending(10)] == [b"payload %d" % n for n in range(1, 6)]
    outbox.close()


def test_pending_gives_the_rest_in_order_behind_a_position(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    stored = put(outbox, 5)
    assert outbox.pending(2) == stored[:2]
    assert outbox.pending(10, stored[1].position) == stored[2:]


def test_acknowledged_alerts_never_come_back(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    stored = put(outbox, 4)
    outbox.acknowledge(stored[:3])
    outbox.acknowledge(stored[:1])
    assert outbox.pending(10) == stored[3:]
    outbox.close()
    assert make_outbox().pending(10) == stored[3:]


def test_sequence_goes_on_after_everything_was_delivered_and_the_process_ended(
    make_outbox: MakeOutbox,
) -> None:
    outbox = make_outbox()
    outbox.acknowledge(put(outbox, 7))
    outbox.close()
    assert put(make_outbox())[0].sequence == 8


def test_positions_grow_although_the_outbox_was_empty(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    first = put(outbox)
    outbox.acknowledge(first)
    assert put(outbox)[0].position > first[0].position


def test_builder_that_fails_costs_no_number(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()

    def fail(sequence: int) -> bytes:
        raise ValueError(sequence)

    with pytest.raises(ValueError, match="1"):
        outbox.put("t", new_id(), fail)
    assert put(outbox)[0].sequence == 1


def test_second_process_is_told_that_the_outbox_is_taken(make_outbox: MakeOutbox, outbox_path: Path) -> None:
    make_outbox()
    program = (
        "import sys; from pathlib import Path; from agent.alerts.outbox import Outbox;"
        "from agent.alerts.settings import OutboxSettings; Outbox(Path(sys.argv[1]), OutboxSettings())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(outbox_path)], capture_output=True, text=True, check=False
    )
    assert "expected to be its only user" in done.stderr


def test_database_of_something_else_is_refused_and_left_alone(
    make_outbox: MakeOutbox, outbox_path: Path
) -> None:
    other = sqlite3.connect(outbox_path)
    other.execute("CREATE TABLE photos (name TEXT)")
    other.execute("INSERT INTO photos VALUES ('cat')")
    other.commit()
    other.close()
    with pytest.raises(StorageError, match="photos"):
        make_outbox()
    kept = sqlite3.connect(outbox_path)
    assert kept.execute("SELECT name FROM photos").fetchall() == [("cat",)]
    kept.close()


def test_full_outbox_drops_the_oldest_of_the_lowest_priority_and_counts(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_size_mb=0.1)
    high = put(outbox, 20, priority=1, size=1000)
    put(outbox, 150, priority=0, size=1000)
    left = outbox.pending(1000)
    assert [alert for alert in left if alert.priority == 1] == high
    assert outbox.dropped == 170 - len(left) > 50
    assert outbox.payload_bytes <= 100_000
    low = [alert.sequence for alert in left if alert.priority == 0]
    assert low == list(range(low[0], 171))


def test_drops_are_remembered_over_a_restart(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_size_mb=0.01)
    put(outbox, 50, size=1000)
    dropped = outbox.dropped
    outbox.close()
    assert make_outbox(max_size_mb=0.01).dropped == dropped > 0


@pytest.mark.parametrize(
    ("synchronised_then", "synchronised_now", "expected"),
    [(True, True, 0), (False, True, 3), (True, False, 3)],
)
def test_age_is_held_against_alerts_only_when_both_clocks_can_be_believed(
    make_outbox: MakeOutbox, synchronised_then: bool, synchronised_now: bool, expected: int
) -> None:
    outbox = make_outbox({"wall": lambda: 1000.0, "synchronised": lambda: synchronised_then}, max_age_s=60)
    put(outbox, 3)
    outbox.close()
    later = make_outbox({"wall": lambda: 2000.0, "synchronised": lambda: synchronised_now}, max_age_s=60)
    assert len(later.pending(10)) == expected
    assert later.dropped == 3 - expected


def test_emptied_outbox_gives_its_space_back(make_outbox: MakeOutbox, outbox_path: Path) -> None:
    outbox = make_outbox(synchronous="normal")
    stored = put(outbox, 6000, size=1000)
    assert (
        outbox_path.stat().st_size + outbox_path.with_name(outbox_path.name + "-wal").stat().st_size
        > 6_000_000
    )
    outbox.acknowledge(stored)
    assert outbox_path.stat().st_size < 100_000
    assert put(outbox)[0].sequence == 6001


def test_disk_that_refuses_at_the_start_keeps_alerts_in_memory_until_it_recovers(
    make_outbox: MakeOutbox, tmp_path: Path
) -> None:
    now = [0.0]
    blocker = tmp_path / "state"
    blocker.write_text("a file where the folder should be")
    outbox = make_outbox({"monotonic": lambda: now[0]}, path=blocker / "outbox.sqlite")
    stored = put(outbox, 3)
    assert outbox.disk_error is not None
    assert (len(outbox), outbox.in_memory) == (3, 3)
    assert outbox.pending(10) == stored
    blocker.unlink()
    now[0] = 6.0
    put(outbox)
    assert (outbox.disk_error, outbox.in_memory) == (None, 0)
    outbox.acknowledge(stored[:1])
    assert sequences(outbox) == [2, 3, 4]
    outbox.close()
    assert sequences(make_outbox(path=blocker / "outbox.sqlite")) == [2, 3, 4]


def test_write_that_went_through_and_failed_all_the_same_leaves_no_alert_twice(
    make_outbox: MakeOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    outbox = make_outbox({"monotonic": lambda: now[0]})
    put(outbox, 3)
    file = outbox._file
    assert file is not None
    write = file.write

    def write_and_fail(**changes: Any) -> None:
        write(**changes)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    monkeypatch.setattr(file, "write", write_and_fail)
    put(outbox, 3)
    assert (outbox.disk_error, outbox.in_memory) == ("disk I/O error", 3)
    now[0] = 6.0
    put(outbox)
    assert (outbox.disk_error, outbox.in_memory, len(outbox)) == (None, 0, 7)
    assert sequences(outbox) == list(range(1, 8))


def test_full_disk_keeps_alerts_in_memory_and_bounds_them(make_outbox: MakeOutbox) -> None:
    now = [0.0]
    outbox = make_outbox({"monotonic": lambda: now[0]}, max_in_memory=5)
    stored = put(outbox, 2)
    assert outbox._file is not None
    database = outbox._file._database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")  # SQLite answers SQLITE_FULL, as on a full disk
    late = put(outbox, 8, size=5000)
    low = put(outbox, 1, size=5000, priority=0)
    assert "full" in str(outbox.disk_error)
    assert outbox.in_memory == 5
    assert outbox.dropped == 4
    assert low[0] not in outbox.pending(20)
    assert outbox.pending(20) == stored + late[-5:]
    outbox.acknowledge(stored)
    assert outbox.pending(20) == late[-5:]
    database.execute("PRAGMA max_page_count = 1000000")
    now[0] = 6.0
    assert outbox.pending(20) == late[-5:]
    assert (outbox.disk_error, outbox.in_memory) == (None, 0)
    outbox.close()
    reopened = make_outbox()
    assert reopened.pending(20) == late[-5:]
    assert reopened.dropped == 4


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to mount a small tmpfs"
)
def test_really_full_disk_is_survived(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this kernel or container lets nobody mount a tmpfs")
    now = [0.0]
    try:
        outbox = Outbox(disk / "outbox.sqlite", OutboxSettings(), monotonic=lambda: now[0])
        stored = put(outbox, 400, size=1000)
        assert outbox.disk_error is not None
        assert 0 < outbox.in_memory < 400
        assert outbox.pending(1000) == stored
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        now[0] = 6.0
        put(outbox)
        assert (outbox.disk_error, outbox.in_memory) == (None, 0)
        assert sequences(outbox) == list(range(1, 402))
        outbox.close()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_threads_put_and_acknowledge_at_once_without_losing_any(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(synchronous="normal")
    delivered: list[int] = []
    writers = [threading.Thread(target=put, args=(outbox, 200)) for _ in range(3)]
    for writer in writers:
        writer.start()
    while len(delivered) < 600:
        alerts = outbox.pending(50)
        outbox.acknowledge(alerts)
        delivered += [alert.sequence for alert in alerts]
    for writer in writers:
        writer.join()
    assert delivered == list(range(1, 601))
    assert len(outbox) == 0


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(1, 5)),
            st.tuples(st.just("ack"), st.integers(0, 5)),
            st.just(("reopen", 0)),
        ),
        max_size=25,
    )
)
def test_outbox_equals_a_list_whatever_is_done_in_whatever_order(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "outbox.sqlite"
    outbox = Outbox(path, OutboxSettings(synchronous="normal"))
    model: list[int] = []
    made = 0
    for step, number in steps:
        if step == "put":
            put(outbox, number)
            model += range(made + 1, made + number + 1)
            made += number
        elif step == "ack":
            outbox.acknowledge(outbox.pending(number))
            model = model[number:]
        else:
            outbox.close()
            outbox = Outbox(path, OutboxSettings(synchronous="normal"))
        assert sequences(outbox) == model
        assert len(outbox) == len(model)
    outbox.close()
