"""What a video file says of itself: which container, how long, and whether it is all there.

OpenCV ends quietly wherever a file breaks off; the container's own sizes tell that it did.
Sources: ISO/IEC 14496-12 (MP4, MOV), Microsoft AVI RIFF file reference, RFC 8794 and 9559 (Matroska, WebM).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from agent.errors import SourceError

_MP4_BOXES = frozenset((b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"pnot"))
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"


@dataclass(frozen=True, slots=True)
class Container:
    """What the first bytes and the structure of a file tell.

    Args:
        kind: "other" for what only FFmpeg can tell.
        missing_bytes: how much the file lacks of what its structure announces.
        has_index: False for an MP4 without its `moov` box: the recording was never finished.
        duration_s: as the header states it; None when it does not.
        has_video: False for an MP4 whose tracks are all of other kinds, such as sound.
    """

    kind: Literal["mp4", "avi", "matroska", "picture", "text", "empty", "other"]
    missing_bytes: int = 0
    has_index: bool = True
    duration_s: float | None = None
    has_video: bool = True


def inspect_container(path: Path) -> Container:
    """Look at a file's structure; reads little of it, whatever its size.

    Raises:
        SourceError: there is no such file, or it cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
            return _inspect(file, head, size)
    except OSError as error:
        problem = error.strerror or str(error)
        raise SourceError(str(path), f"expected a video file, got: {problem}", "check the path") from error


def _inspect(file: BinaryIO, head: bytes, size: int) -> Container:
    if not head:
        return Container("empty")
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")) or head[8:12] == b"WEBP":
        return Container("picture")
    if head[4:8] in _MP4_BOXES:
        return _inspect_mp4(file, size)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        announced = int.from_bytes(head[4:8], "little")
        return Container("avi", missing_bytes=max(0, announced + 8 - size) if announced else 0)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _inspect_matroska(head, size)
    return Container("text" if _is_text(head) else "other")


def _inspect_mp4(file: BinaryIO, size: int) -> Container:
    """Walk the boxes of the top level: 4 bytes size, 4 bytes type, 8 bytes size when the first says 1."""
    place, has_index, duration_s, has_video = 0, False, None, True
    while place + 8 <= size:
        file.seek(place)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        body = place + 8
        if length == 1:
            length, body = int.from_bytes(header[8:16], "big"), place + 16
        elif length == 0:  # to the end of the file
            length = size - place
        if length < 8:
            break
        if kind == b"moov":
            has_index = True
            file.seek(body)
            duration_s = _mp4_duration_s(file.read(256))
            handlers = set(_mp4_handlers(file, body, min(place + length, size)))
            has_video = b"vide" in handlers or b"soun" not in handlers
        if place + length > size:
            return Container("mp4", place + length - size, has_index, duration_s, has_video)
        place += length
    return Container("mp4", 0, has_index, duration_s, has_video)


def _mp4_handlers(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """What the tracks of an index are for: in moov/trak/mdia/hdlr, behind version, flags and 4 bytes."""
    place = start
    while place + 8 <= end:
        file.seek(place)
        header = file.read(20)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if kind in (b"trak", b"mdia"):
            yield from _mp4_handlers(file, place + 8, min(place + length, end))
        elif kind == b"hdlr":
            yield header[16:20]
        if length < 8:
            return
        place += length


def _mp4_duration_s(moov: bytes) -> float | None:
    """Duration in the `mvhd` box, the first in `moov`: version, flags, two times, scale, duration."""
    start = moov.find(b"mvhd")
    if start < 0 or start + 4 >= len(moov):
        return None
    wide = moov[start + 4] == 1
    place, width = (start + 8 + 16, 8) if wide else (start + 8 + 8, 4)
    scale = int.from_bytes(moov[place : place + 4], "big")
    duration = int.from_bytes(moov[place + 4 : place + 4 + width], "big")
    unknown = (1 << 8 * width) - 1
    return duration / scale if scale and duration not in (0, unknown) else None


def _inspect_matroska(head: bytes, size: int) -> Container:
    """The segment holds everything, and says how large it is; all ones where the writer could not know."""
    start = head.find(_MATROSKA_SEGMENT)
    place = start + len(_MATROSKA_SEGMENT)
    if start < 0 or place >= len(head) or head[place] == 0:
        return Container("matroska")
    width = 9 - head[place].bit_length()  # leading zero bits of the first byte tell how many bytes follow
    value = int.from_bytes(head[place : place + width], "big") & ((1 << 7 * width) - 1)
    if value == (1 << 7 * width) - 1:
        return Container("matroska")
    return Container("matroska", max(0, place + width + value - size))


def _is_text(head: bytes) -> bool:
    """True for bytes that a person could read; a character cut in two at the end is no objection."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
    return not any(byte < 32 and byte not in b"\t\n\f\r\x1b" for byte in head)
