"""Detections and tracks as MOTChallenge keeps them: `det.txt`, `gt.txt`, `seqinfo.ini`.

One object a line: frame (from 1), id (-1 in detections), left, top, width, height, score, then fields that
are not used here. A. Milan et al., MOT16: A Benchmark for Multi-Object Tracking, 2016.
"""

from __future__ import annotations

import configparser
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError, SourceError, StorageError
from agent.records import Detections, Tracks


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """What `seqinfo.ini` tells of a sequence.

    Args:
        name: of the sequence.
        fps: frames per second.
        length: number of frames.
        size: (width, height) in px.
    """

    name: str
    fps: float
    length: int
    size: tuple[int, int]


def read_sequence_info(path: Path) -> SequenceInfo:
    """Read a `seqinfo.ini`.

    Raises:
        SourceError: it cannot be read.
        DataError: a field is missing or no positive number.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise SourceError(str(path), f"expected a seqinfo.ini, got {error.strerror or error}") from error
    except (configparser.Error, UnicodeDecodeError) as error:
        raise DataError(str(path), f"expected an ini file, got {str(error).splitlines()[0]}") from error
    if not parser.has_section("Sequence"):
        raise DataError(str(path), "expected a section [Sequence], got none")
    section = parser["Sequence"]
    values: dict[str, float] = {}
    for key in ("frameRate", "seqLength", "imWidth", "imHeight"):
        try:
            values[key] = float(section[key])
        except KeyError as error:
            raise DataError(f"{path} {key}", "expected a number, got nothing") from error
        except ValueError as error:
            raise DataError(f"{path} {key}", f"expected a number, got {section[key]!r}") from error
        if not 0 < values[key] < 1e9:
            raise DataError(f"{path} {key}", f"expected a positive number, got {section[key]}")
    return SequenceInfo(
        section.get("name", path.parent.name),
        values["frameRate"],
        int(values["seqLength"]),
        (int(values["imWidth"]), int(values["imHeight"])),
    )


def read_rows(path: Path) -> NDArray[np.float64]:
    """The numbers of every line, sorted by frame.

    Returns:
        (N, 8) float64: frame, id, left, top, width, height, score, class. The class is the eighth number
        of lines that have just eight, as `edgetrack-agent detect` writes them, and otherwise 0.

    Raises:
        SourceError: the file cannot be read.
        DataError: a line has fewer than seven numbers, or a frame is not 1 or later; the line is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SourceError(str(path), f"expected MOTChallenge lines, got {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(str(path), "expected MOTChallenge lines, got bytes that are no text") from error
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.replace(",", " ").split()
        try:
            row = [float(part) for part in parts[:8]]
        except ValueError as error:
            raise DataError(f"{path}:{number}", f"expected numbers, got {line.strip()[:60]!r}") from error
        if len(row) < 7:
            raise DataError(
                f"{path}:{number}",
                f"expected frame, id, left, top, width, height, score, got {len(row)} numbers",
            )
        if not np.isfinite(row).all():
            raise DataError(f"{path}:{number}", f"expected finite numbers, got {line.strip()[:60]!r}")
        if row[0] < 1 or row[0] != int(row[0]):
            raise DataError(f"{path}:{number}", f"expected a frame number from 1, got {parts[0]}")
        if len(parts) != 8:
            row[7:] = [0.0]
        elif row[7] < 0 or row[7] != int(row[7]):
            raise DataError(f"{path}:{number}", f"expected a class number from 0 in column 8, got {parts[7]}")
        rows.append(row)
    table = np.array(rows, np.float64).reshape(-1, 8)
    ordered: NDArray[np.float64] = table[table[:, 0].argsort(kind="stable")]
    return ordered


def frames_of(rows: NDArray[np.float64], length: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """(frame, its rows) for frames 1 … length, empty ones too; `rows` are sorted by frame."""
    edges = np.searchsorted(rows[:, 0], np.arange(1, length + 2))
    for frame in range(1, length + 1):
        yield frame, rows[edges[frame - 1] : edges[frame]]


def to_detections(rows: NDArray[np.float64]) -> Detections:
    """Rows of one frame, as `read_rows` gives them."""
    boxes = rows[:, 2:6].astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(boxes, rows[:, 6].astype(np.float32), rows[:, 7].astype(np.int64))


def format_tracks(frame: int, tracks: Tracks) -> str:
    """The lines of one frame: frame, id, left, top, width, height, score, -1, -1, -1."""
    left_top = tracks.boxes[:, :2]
    size = tracks.boxes[:, 2:] - left_top
    return "".join(
        f"{frame},{id_},{x:.2f},{y:.2f},{w:.2f},{h:.2f},{score:.4f},-1,-1,-1\n"
        for id_, (x, y), (w, h), score in zip(
            tracks.ids.tolist(), left_top.tolist(), size.tolist(), tracks.scores.tolist(), strict=True
        )
    )


def write_text(path: Path, text: str) -> None:
    """Write a result file whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise StorageError(str(path), f"expected to write tracks, got {error.strerror or error}") from error
