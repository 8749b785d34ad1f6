"""Read an outbox's alerts from the raw pages of a damaged SQLite file and its WAL.

SQLite gives up a tree at its first bad page, and everything in a WAL behind its first bad frame. Here each
page is read on its own, and a row counts when its checksum is right.

Source: https://www.sqlite.org/fileformat2.html, sections 1.6 (b-tree pages), 2.1 (records), 4.1 (WAL).
"""

from __future__ import annotations

import copy
import mmap
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from agent.alerts.outbox_file import PAGE_SIZE
from agent.alerts.outbox_records import Counters, DamagedError, StoredAlert, stored_alert
from agent.alerts.salvage_wal import wal_frames

_LEAF = 0x0D  # table b-tree leaf page
_MAX_LOCAL = PAGE_SIZE - 35  # payload that stays on the leaf page
_MIN_LOCAL = (PAGE_SIZE - 12) * 32 // 255 - 23
_MAX_RECORD = 16 << 20
_ALERT_COLUMNS, _COUNTERS_COLUMNS = 9, 6
_INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class Remains:
    """What can be read of an outbox without SQLite.

    Args:
        database: the damaged file; None to look at the WAL alone.
        wal: its write-ahead log, which may be missing.
    """

    def __init__(self, database: Path | None, wal: Path) -> None:
        self._database = _mapped(database) if database is not None else b""
        self._wal = _copied(wal)
        self._frames = wal_frames(self._wal)
        newest_last = sorted(self._frames, key=lambda frame: frame.current)
        self._newest = {frame.page: frame.start for frame in newest_last}

    def passed_over(self) -> Self:
        """The part of it that SQLite does not see: frames of a WAL that was cut, or spoiled before them.

        An undamaged WAL has none of them, whenever its process was killed, but for a transaction that was not
        over.
        """
        part = copy.copy(self)
        part._database = b""
        part._frames = [frame for frame in self._frames if frame.current and not frame.taken]
        return part

    def counters(self) -> Counters:
        """The furthest counters found."""
        found = Counters()
        for rowid, values in self._rows():
            if rowid == 1 and len(values) == _COUNTERS_COLUMNS:
                *numbers, checksum = values[1:]
                counters = Counters(*(number for number in numbers if isinstance(number, int)))
                if counters.checksum == checksum:
                    found = found.merged(counters)
        return found

    def alerts(self) -> Iterator[StoredAlert]:
        """Alerts in no order, deleted ones too, some more than once."""
        for rowid, values in self._rows():
            if len(values) == _ALERT_COLUMNS:
                try:
                    yield stored_alert([rowid, *values[1:]])
                except DamagedError:
                    continue

    def _page(self, number: int) -> bytes:
        """The newest image of a page."""
        if number in self._newest:
            return self._wal[self._newest[number] : self._newest[number] + PAGE_SIZE]
        return bytes(self._database[(number - 1) * PAGE_SIZE : number * PAGE_SIZE])

    def _rows(self) -> Iterator[tuple[int, list[object]]]:
        """Every row of every image of a leaf page that can be decoded."""
        for start in range(0, len(self._database), PAGE_SIZE):
            yield from _rows(
                bytes(self._database[start : start + PAGE_SIZE]), 100 if start == 0 else 0, self._page
            )
        for frame in self._frames:
            image = self._wal[frame.start : frame.start + PAGE_SIZE]
            yield from _rows(image, 100 if frame.page == 1 else 0, self._page)


def _mapped(path: Path) -> mmap.mmap | bytes:
    """The file's content without reading it into memory; empty when there is none."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (FileNotFoundError, ValueError):  # ValueError: an empty file cannot be mapped
        return b""


def _copied(path: Path) -> bytes:
    """The file's content as it is now: SQLite cuts the WAL later, and a cut mapping kills the process."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _rows(page: bytes, header: int, page_of: Callable[[int], bytes]) -> Iterator[tuple[int, list[object]]]:
    """Rows of a leaf page that can be decoded; nothing for other pages."""
    if len(page) < header + 8 or page[header] != _LEAF:
        return
    (cells,) = struct.unpack_from(">H", page, header + 3)
    for index in range(min(cells, (PAGE_SIZE - header - 8) // 2)):
        try:
            (start,) = struct.unpack_from(">H", page, header + 8 + 2 * index)
            size, start = _varint(page, start)
            rowid, start = _varint(page, start)
            yield rowid, _record(_payload(page, start, size, page_of))
        except (IndexError, struct.error, UnicodeDecodeError, DamagedError):
            continue


def _payload(page: bytes, start: int, size: int, page_of: Callable[[int], bytes]) -> bytes:
    """A cell's payload, its overflow pages included (section 1.6)."""
    if size > _MAX_RECORD:
        raise DamagedError("a record beyond any size")
    if size <= _MAX_LOCAL:
        return page[start : start + size]
    local = _MIN_LOCAL + (size - _MIN_LOCAL) % (PAGE_SIZE - 4)
    if local > _MAX_LOCAL:
        local = _MIN_LOCAL
    payload = page[start : start + local]
    (following,) = struct.unpack_from(">I", page, start + local)
    while len(payload) < size:
        overflow = page_of(following)
        if len(overflow) < PAGE_SIZE:
            raise DamagedError("an overflow page is missing")
        (following,) = struct.unpack_from(">I", overflow, 0)
        payload += overflow[4 : 4 + size - len(payload)]
    return payload


def _record(payload: bytes) -> list[object]:
    """The columns of a record (section 2.1)."""
    header_size, place = _varint(payload, 0)
    body = header_size
    values: list[object] = []
    while place < header_size:
        kind, place = _varint(payload, place)
        if kind == 0:
            values.append(None)
        elif kind in _INTEGER_SIZES:
            size = _INTEGER_SIZES[kind]
            values.append(int.from_bytes(payload[body : body + size], "big", signed=True))
            body += size
        elif kind == 7:
            values.append(struct.unpack_from(">d", payload, body)[0])
            body += 8
        elif kind in (8, 9):
            values.append(kind - 8)
        elif kind >= 12:
            size = (kind - 12) // 2
            text = payload[body : body + size]
            values.append(text if kind % 2 == 0 else text.decode())
            body += size
        else:
            raise DamagedError("a column of a reserved type")
    return values


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A big-endian variable-length integer and the place behind it (section 1.6)."""
    value = 0
    for index in range(8):
        byte = data[place + index]
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, place + index + 1
    return value << 8 | data[place + 8], place + 9
