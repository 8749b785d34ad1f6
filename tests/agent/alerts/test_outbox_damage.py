"""Torn writes: a copy of the outbox is damaged in every way a card damages it, and opened."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.alerts.outbox import Outbox
from agent.alerts.outbox_file import PAGE_SIZE
from agent.alerts.outbox_records import StoredAlert
from agent.alerts.schema import new_id
from agent.alerts.settings import OutboxSettings

SETTINGS = OutboxSettings(synchronous="normal")
FRAME = PAGE_SIZE + 24


@dataclass(frozen=True)
class Killed:
    """An outbox as a killed process leaves it: the newest alerts in the WAL, older ones in the file."""

    folder: Path
    pending: list[StoredAlert]
    acknowledged: list[StoredAlert]

    def copy(self, to: Path) -> Path:
        shutil.copytree(self.folder, to)
        return to / "outbox.sqlite"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("live")
    outbox = Outbox(folder / "outbox.sqlite", SETTINGS)
    stored = [outbox.put("t", new_id(), lambda s: b"%d " % s + b"x" * (s * 37 % 900)) for _ in range(60)]
    outbox.acknowledge(stored[:10])
    outbox.close()
    outbox = Outbox(folder / "outbox.sqlite", SETTINGS)
    stored += [outbox.put("t", new_id(), lambda s: b"%d " % s + b"y" * (s * 37 % 900)) for _ in range(39)]
    stored.append(outbox.put("t", new_id(), lambda s: b"%d " % s + b"z" * 20_000))  # on overflow pages
    outbox.acknowledge(stored[10:20])
    copy = tmp_path_factory.mktemp("killed") / "state"
    shutil.copytree(folder, copy)
    outbox.close()
    return Killed(copy, stored[20:], stored[:20])


@pytest.fixture
def open_copy(tmp_path: Path) -> Iterator[Callable[[Path], Outbox]]:
    opened: list[Outbox] = []

    def open_(path: Path) -> Outbox:
        opened.append(Outbox(path, SETTINGS))
        return opened[-1]

    yield open_
    for outbox in opened:
        outbox.close()


def contents(outbox: Outbox) -> dict[str, tuple[int, bytes]]:
    return {alert.id: (alert.sequence, alert.payload) for alert in outbox.pending(10_000)}


def expected(alerts: list[StoredAlert]) -> dict[str, tuple[int, bytes]]:
    return {alert.id: (alert.sequence, alert.payload) for alert in alerts}


def test_undamaged_outbox_of_a_killed_process_gives_exactly_what_waited(
    killed: Killed, tmp_path: Path, open_copy: Callable[[Path], Outbox]
) -> None:
    outbox = open_copy(killed.copy(tmp_path / "copy"))
    assert contents(outbox) == expected(killed.pending)
    assert outbox.put("t", new_id(), lambda s: b"%d" % s).sequence == 101
    assert not list((tmp_path / "copy").glob("*.damaged*"))


def test_wal_cut_at_every_page_boundary_loses_nothing_written_before(
    killed: Killed, tmp_path: Path, open_copy: Callable[[Path], Outbox]
) -> None:
    whole = (killed.folder / "outbox.sqlite-wal").read_bytes()
    before_wal = [alert for alert in killed.pending if alert.sequence <= 60]
    kept = []
    for number, size in enumerate(range(0, len(whole), FRAME)):
        path = killed.copy(tmp_path / str(number))
        path.with_name("outbox.sqlite-wal").write_bytes(whole[: 32 + size])
        found = contents(open_copy(path))
        assert expected(before_wal).items() <= found.items()
        assert found.keys() <= {alert.id for alert in killed.pending + killed.acknowledged}
        kept.append(sum(sequence > 60 for sequence, _ in found.values()))
    assert kept == sorted(kept)
    assert kept[0] == 0
    assert kept[-1] >= 38


def test_what_a_damaged_wal_gives_back_stands_where_it_stood(
    killed: Killed, tmp_path: Path, open_copy: Callable[[Path], Outbox]
) -> None:
    whole = (killed.folder / "outbox.sqlite-wal").read_bytes()
    positions = {alert.id: alert.position for alert in killed.pending + killed.acknowledged}
    noise = random.Random(1).randbytes(PAGE_SIZE)
    carried_over = 0
    for number, start in enumerate(range(32, len(whole) - FRAME + 1, FRAME)):
        path = killed.copy(tmp_path / str(number))
        path.with_name("outbox.sqlite-wal").write_bytes(whole[: start + 24] + noise + whole[start + FRAME :])
        found = open_copy(path).pending(10_000)
        assert [alert.position for alert in found] == [positions[alert.id] for alert in found]
        assert [alert.sequence for alert in found] == sorted(alert.sequence for alert in found)
        carried_over += sum(alert.sequence > 60 for alert in found)
    assert carried_over > 100


def test_flipped_page_of_the_wal_loses_no_alert_of_the_pages_behind_it(
    killed: Killed, tmp_path: Path, open_copy: Callable[[Path], Outbox]
) -> None:
    whole = (killed.folder / "outbox.sqlite-wal").read_bytes()
    noise = random.Random(1).randbytes(PAGE_SIZE)
    starts = range(32, len(whole) - FRAME + 1, FRAME)
    pages = [int.from_bytes(whole[start : start + 4]) for start in starts]
    for number, start in enumerate(starts):
        path = killed.copy(tmp_path / str(number))
        damaged = whole[: start + 24] + noise + whole[start + FRAME :]
        path.with_name("outbox.sqlite-wal").write_bytes(damaged)
        missing = expected(killed.pending).keys() - contents(open_copy(path)).keys()
        # Later images of the page hold its rows again; those of its last image are the ones that can be lost.
        assert len(missing) <= (0 if pages[number] in pages[number + 1 :] else 12), f"frame {number}"


@pytest.mark.parametrize("damage", ["cut", "zero", "noise"])
def test_database_damaged_at_every_page_opens_and_carries_over_the_other_pages(
    killed: Killed, tmp_path: Path, open_copy: Callable[[Path], Outbox], damage: str
) -> None:
    """The process was closed in order: all is in the file, whose pages are damaged one by one."""
    closed = killed.copy(tmp_path / "closed")
    Outbox(closed, SETTINGS).close()
    whole = closed.read_bytes()
    generator = random.Random(2)
    for number, start in enumerate(range(0, len(whole), PAGE_SIZE)):
        path = tmp_path / str(number) / "outbox.sqlite"
        path.parent.mkdir()
        page = {"cut": b"", "zero": bytes(PAGE_SIZE), "noise": generator.randbytes(PAGE_SIZE)}[damage]
        path.write_bytes(whole[:start] + page + (b"" if damage == "cut" else whole[start + PAGE_SIZE :]))
        outbox = open_copy(path)
        found = contents(outbox)
        readable = expected(killed.pending)
        assert all(found[id_] == readable[id_] for id_ in found.keys() & readable.keys())
        if damage != "cut":
            assert len(readable.keys() - found.keys()) <= 12, f"page {number}"
        if number:  # a file without its first page is an empty one, or set aside
            aside = list(path.parent.glob("*.damaged-*"))
            assert aside or len(found) + outbox.damaged == len(readable)
        assert outbox.put("t", new_id(), lambda s: b"new").position > 0
        assert b"new" in [alert.payload for alert in outbox.pending(10_000)]


def test_single_bits_flipped_anywhere_never_change_what_is_delivered(
    killed: Killed, tmp_path: Path, open_copy: Callable[[Path], Outbox]
) -> None:
    closed = killed.copy(tmp_path / "closed")
    Outbox(closed, SETTINGS).close()
    whole = bytearray(closed.read_bytes())
    known = expected(killed.pending + killed.acknowledged)
    generator = random.Random(3)
    for number in range(60):
        bit = generator.randrange(len(whole) * 8)
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path = tmp_path / str(number) / "outbox.sqlite"
        path.parent.mkdir()
        path.write_bytes(damaged)
        outbox = open_copy(path)
        found = contents(outbox)
        assert found.items() <= known.items()
        assert len(found) >= 65, f"bit {bit}"


def test_file_that_is_no_database_is_kept_aside(tmp_path: Path, open_copy: Callable[[Path], Outbox]) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"not a database" * 1000)
    outbox = open_copy(path)
    outbox.put("t", new_id(), lambda s: b"new")
    assert [alert.payload for alert in outbox.pending(10)] == [b"new"]
    (aside,) = tmp_path.glob("outbox.sqlite.damaged-*")
    assert aside.read_bytes() == b"not a database" * 1000


def test_sequence_goes_on_after_damage(
    killed: Killed, tmp_path: Path, open_copy: Callable[[Path], Outbox]
) -> None:
    path = killed.copy(tmp_path / "copy")
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(100)
    path.write_bytes(content)
    assert open_copy(path).put("t", new_id(), lambda s: b"new").sequence == 101


def test_end_between_setting_aside_and_renaming_is_taken_up(
    killed: Killed, tmp_path: Path, open_copy: Callable[[Path], Outbox]
) -> None:
    path = killed.copy(tmp_path / "copy")
    Outbox(path, SETTINGS).close()
    path.rename(path.with_name("outbox.sqlite.rebuilt"))
    assert contents(open_copy(path)) == expected(killed.pending)


def test_tables_of_another_version_are_set_aside_and_their_alerts_carried_over(
    killed: Killed, tmp_path: Path, open_copy: Callable[[Path], Outbox]
) -> None:
    path = killed.copy(tmp_path / "copy")
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 77")
    database.execute("DROP TABLE counters")
    database.close()
    assert contents(open_copy(path)) == expected(killed.pending)
    assert list(path.parent.glob("*.damaged-*"))
