"""Which frames of a write-ahead log SQLite reads when it opens a database.

Source: https://www.sqlite.org/fileformat2.html, sections 4.1 (format) and 4.2 (checksums).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from agent.alerts.outbox_file import PAGE_SIZE

_HEADER, _FRAME_HEADER = 32, 24
_BYTE_ORDER = {0x377F0682: "<", 0x377F0683: ">"}  # of the words that are summed up
_32_BITS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a page.

    Args:
        page: its number, from 1.
        start: place of the image in the WAL.
        current: whether it is of the WAL's present round; others were left over from an earlier one.
        taken: whether SQLite reads it: it is sound, as is all before it, up to the end of a transaction.
    """

    page: int
    start: int
    current: bool
    taken: bool


def wal_frames(wal: bytes) -> list[Frame]:
    """All frames of a WAL, in order; the last may be cut.

    Where the WAL's own header is spoiled, SQLite reads nothing, and the first frame tells the round.
    """
    starts = range(_HEADER, len(wal) - _FRAME_HEADER, _FRAME_HEADER + PAGE_SIZE)
    taken = _taken(wal, starts)
    salts = wal[16:24] if _header_sound(wal) else wal[_HEADER + 8 : _HEADER + 16]
    return [
        Frame(
            page=struct.unpack_from(">I", wal, start)[0],
            start=start + _FRAME_HEADER,
            current=wal[start + 8 : start + 16] == salts,
            taken=number < taken,
        )
        for number, start in enumerate(starts)
    ]


def _taken(wal: bytes, starts: range) -> int:
    """How many frames SQLite reads."""
    if not _header_sound(wal):
        return 0
    order = _BYTE_ORDER[struct.unpack_from(">I", wal)[0]]
    sums = struct.unpack_from(">II", wal, 24)
    taken = 0
    for number, start in enumerate(starts, 1):
        page, pages_after, *_, first, second = struct.unpack_from(">6I", wal, start)
        if not page or wal[start + 8 : start + 16] != wal[16:24]:
            break
        sums = _checksum(wal[start : start + 8], order, sums)
        sums = _checksum(wal[start + _FRAME_HEADER : start + _FRAME_HEADER + PAGE_SIZE], order, sums)
        if sums != (first, second):
            break
        if pages_after:  # a transaction ends here
            taken = number
    return taken


def _header_sound(wal: bytes) -> bool:
    if len(wal) < _HEADER:
        return False
    magic, _, page_size = struct.unpack_from(">3I", wal)
    if magic not in _BYTE_ORDER or page_size != PAGE_SIZE:
        return False
    return _checksum(wal[:24], _BYTE_ORDER[magic], (0, 0)) == struct.unpack_from(">II", wal, 24)


def _checksum(content: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """The running sums after `content`, but for odd bytes at the end of a frame that is cut."""
    words = struct.unpack_from(f"{order}{len(content) // 8 * 2}I", content)
    first, second = sums
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = first + even + second & _32_BITS
        second = second + odd + first & _32_BITS
    return first, second
