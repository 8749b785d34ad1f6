"""`edgetrack-agent detect` and `track`: the two stages on files, in MOTChallenge format."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent.capture.reader import FrameReader
from agent.capture.settings import SourceSettings
from agent.capture.source import open_source
from agent.config import load_section, make_section
from agent.detect.detector import open_detector
from agent.detect.settings import DetectorSettings
from agent.errors import ConfigError, StorageError
from agent.geometry.boxes import clip, xyxy_to_ltwh
from agent.observers import make_folder
from agent.records import Detections, Frame
from agent.track.sequences import sequences_in, track_sequence
from agent.track.settings import TrackerSettings


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Progress]:
    """A bar on standard error, with one task `what`; silent where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(what, total=total)
        yield progress


def detect_to_file(
    model: Path,
    labels: Path | None,
    source: str,
    output: Path,
    *,
    min_score: float | None,
    device: str,
    threads: int,
    runtime: str,
) -> None:
    """Detect on every frame of a finite source and write MOTChallenge lines with the class as eighth column.

    Raises:
        EdgetrackError: the source, the model or the output.
    """
    settings = detector_settings(
        model, labels, min_score=min_score, device=device, threads=threads, runtime=runtime
    )
    detector = open_detector(settings)
    video = make_section(SourceSettings, {"source": source})
    if video.live:
        raise ConfigError(
            "--source", f"expected a video file or a folder of pictures, got {video.shown_source}"
        )
    frames = count = 0
    try:
        with (
            FrameReader(lambda: open_source(video), video, prepare=detector.prepare) as reader,
            output.open("w", encoding="utf-8") as lines,
            progress_bar("detect", reader.frame_count) as progress,
        ):
            while not reader.ended:
                item = reader.get()
                if item is None:
                    continue
                frame, prepared = item
                detector.invoke(prepared)
                found = detector.decode(prepared)
                lines.writelines(_mot_lines(frame, found))
                frames, count = frames + 1, count + len(found)
                progress.advance(progress.task_ids[0])
    except OSError as error:
        raise StorageError(
            str(output), f"expected a file that can be written, got {error.strerror}"
        ) from error
    print(f"{output}: {count} detections in {frames} frames")


def _mot_lines(frame: Frame, found: Detections) -> Iterator[str]:
    """frame (from 1), -1, left, top, width, height, score, class; boxes are cut at the picture's edges."""
    rows = zip(xyxy_to_ltwh(clip(found.boxes, *frame.size)), found.scores, found.labels, strict=True)
    for (left, top, width, height), score, label in rows:
        yield f"{frame.index + 1},-1,{left:.2f},{top:.2f},{width:.2f},{height:.2f},{score:.4f},{label}\n"


def detector_settings(
    model: Path,
    labels: Path | None,
    *,
    min_score: float | None = None,
    device: str = "cpu",
    threads: int = 0,
    runtime: str = "auto",
) -> DetectorSettings:
    """The settings that command-line options stand for.

    Raises:
        ConfigError: an option is not as its field wants it.
    """
    options = {
        "model": model,
        "labels_file": labels,
        "min_score": min_score,
        "device": device,
        "threads": threads,
        "runtime": runtime,
    }
    return make_section(DetectorSettings, options)


def track_files(detections: Path, output: Path, fps: float | None, tracker: Path | None) -> None:
    """Track one file, or every sequence of a folder, and print a line for each.

    Raises:
        EdgetrackError: an input, the tracker's settings, or the output.
    """
    settings = TrackerSettings() if tracker is None else load_section(tracker, TrackerSettings)
    if not detections.is_dir():
        with progress_bar("track", None) as progress:
            done = track_sequence(
                detections,
                output,
                settings,
                fps,
                on_progress=lambda frame, total: progress.update(
                    progress.task_ids[0], completed=frame, total=total
                ),
            )
        print(f"{done.output}: {done.tracks} tracks in {done.frames} frames")
        return
    sequences = sequences_in(detections)
    make_folder(output)
    total = sum(info.length for info, _ in sequences)
    before = 0
    with progress_bar("track", total) as progress:
        for info, path in sequences:
            done = track_sequence(
                path,
                output / f"{path.parent.parent.name}.txt",
                settings,
                fps,
                info,
                on_progress=lambda frame, _, before=before: progress.update(  # type: ignore[misc]
                    progress.task_ids[0], completed=before + frame
                ),
            )
            before += info.length
            progress.console.print(
                f"{done.output}: {done.tracks} tracks in {done.frames} frames", highlight=False
            )
