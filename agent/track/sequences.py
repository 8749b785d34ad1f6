"""Whole recordings of detections through the tracker: one MOTChallenge file, or a folder of sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.errors import DataError, SourceError
from agent.track.motchallenge import (
    SequenceInfo,
    format_tracks,
    frames_of,
    read_rows,
    read_sequence_info,
    to_detections,
    write_text,
)
from agent.track.settings import TrackerSettings
from agent.track.tracker import Tracker

DEFAULT_FPS = 30.0
OnProgress = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""


@dataclass(frozen=True, slots=True)
class TrackedSequence:
    """What was done with one sequence.

    Args:
        name: of the sequence.
        frames: how many it has.
        tracks: how many identities were confirmed.
        output: where they were written.
    """

    name: str
    frames: int
    tracks: int
    output: Path


def track_sequence(
    detections: Path,
    output: Path,
    settings: TrackerSettings,
    fps: float | None = None,
    info: SequenceInfo | None = None,
    *,
    on_progress: OnProgress | None = None,
) -> TrackedSequence:
    """Track one file of detections, online, and write the confirmed tracks.

    Args:
        detections: MOTChallenge lines.
        output: file to write.
        settings: of the tracker.
        fps: frames per second; None: those of `info`, or 30.
        info: of the sequence; None: it ends with its last detection, and the frame's size is not known.
        on_progress: called after every frame.

    Raises:
        SourceError, DataError: the detections cannot be read; the line is named.
        StorageError: the tracks cannot be written.
    """
    rows = read_rows(detections)
    last = int(rows[-1, 0]) if len(rows) else 0
    length = last if info is None else info.length
    if last > length:
        raise DataError(str(detections), f"expected {length} frames as seqinfo.ini says, got frame {last}")
    rate = fps or (info.fps if info is not None else DEFAULT_FPS)
    tracker = Tracker(settings)
    lines = []
    ids: set[int] = set()
    for frame, found in frames_of(rows, length):
        try:
            tracks = tracker.update(
                to_detections(found), (frame - 1) / rate, info.size if info else None
            ).visible
        except DataError as error:
            raise DataError(f"{detections} frame {frame}", error.problem, error.hint) from error
        lines.append(format_tracks(frame, tracks))
        ids.update(tracks.ids.tolist())
        if on_progress is not None:
            on_progress(frame, length)
    write_text(output, "".join(lines))
    name = info.name if info is not None else detections.stem
    return TrackedSequence(name, length, len(ids), output)


def sequences_in(folder: Path) -> tuple[tuple[SequenceInfo, Path], ...]:
    """(info, det.txt) of every `SEQ/seqinfo.ini` with a `SEQ/det/det.txt` below a folder, by folder.

    Raises:
        SourceError: there is none.
        DataError: a seqinfo.ini is not as MOTChallenge has it.
    """
    found = tuple(
        (read_sequence_info(path), path.parent / "det" / "det.txt")
        for path in sorted(folder.glob("*/seqinfo.ini"))
        if (path.parent / "det" / "det.txt").is_file()
    )
    if not found:
        raise SourceError(str(folder), "expected folders with seqinfo.ini and det/det.txt, got none")
    return found
