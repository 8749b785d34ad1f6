"""What may look on while a camera runs: an annotated video, a recording, a progress bar."""

from __future__ import annotations

import logging
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from agent.detect.detector import Detector
from agent.errors import StorageError
from agent.pipeline import Step
from agent.recording import RecordedFrame, RecordingHeader, RecordingWriter
from agent.rules.settings import RulesSettings
from agent.vision.annotate import Annotator

log = logging.getLogger("edgetrack")


class AnnotatedVideo:
    """Writes every frame with what was seen on it to a video, and that of the last alert as a picture.

    Args:
        path: of the video (.mp4); the picture lies beside it as .png. See `free_path` for one that exists.
        settings: whose zones and tripwires are drawn.
        labels: class names.
        fps: of the video.
        actions: names of what tracks do.

    Raises:
        StorageError: on the first frame, if the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        settings: RulesSettings,
        labels: tuple[str, ...],
        fps: float | None = None,
        actions: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self._actions = actions
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._annotator = Annotator(
            labels,
            {name: zone.points for name, zone in settings.zones.items()},
            {name: wire.points for name, wire in settings.tripwires.items()},
        )

    def __call__(self, step: Step) -> None:
        caption = "  ".join(f"{alert.rule}: {alert.kind}" for alert in step.alerts)
        notes: list[str] = []
        if step.actions is not None:
            known = zip(step.actions.labels.tolist(), step.actions.scores.tolist(), strict=True)
            notes = [f"{self._actions[label]} {score:.2f}" if label >= 0 else "" for label, score in known]
        picture = self._annotator.draw(step.frame.image, step.tracks, caption, notes)
        if self._writer is None:
            self._writer = self._open(step.frame.size)
        self._writer.write(picture)
        if step.alerts:
            cv2.imwrite(str(self.path.with_suffix(".png")), picture)

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        make_folder(self.path.parent)
        self.path = free_path(self.path)
        writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self._fps or 15.0, size)
        if not writer.isOpened():
            raise StorageError(str(self.path), "expected a file that can be written, got none")
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()


class Recorder:
    """Writes detections and tracks of every frame to a recording.

    Args:
        path: of the recording; its folder is made. See `free_path` for one that exists.
        camera: its name.
        detector: whose class names and score levels are kept.
        actions: names of what tracks do.

    Raises:
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path, camera: str, detector: Detector, actions: tuple[str, ...] = ()) -> None:
        make_folder(path.parent)
        header = RecordingHeader(camera, detector.labels, detector.score_levels, actions)
        self._writer = RecordingWriter(free_path(path), header)

    def __call__(self, step: Step) -> None:
        frame = step.frame
        self._writer.write(
            RecordedFrame(
                frame.time_s,
                frame.wall_s,
                frame.index,
                frame.size,
                step.detections,
                step.tracks,
                step.actions,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            str(path), f"expected a folder that can be written, got {error.strerror}"
        ) from error


def free_path(path: Path) -> Path:
    """The path, or where it exists the first of NAME-2, NAME-3 … that does not.

    So nothing is written over that an earlier run saw, or this one before it took its configuration anew.
    """
    names = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    free = next(name for name in chain([path], names) if not name.exists())
    if free != path:
        log.info("%s is there already; what is seen now goes to %s", path, free.name)
    return free


class ProgressBars:
    """A bar for each camera; what is printed on the console meanwhile goes above them."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[alerts]} alerts"),
            console=console,
        )

    def camera(self, name: str, total: int | None = None) -> CameraBar:
        """A new bar.

        Args:
            name: of the camera.
            total: number of frames, None while not known.
        """
        return CameraBar(self._progress, self._progress.add_task(name, total=total, alerts=0))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class CameraBar:
    """One bar, advanced by every step."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._alerts = 0

    def __call__(self, step: Step) -> None:
        self._alerts += len(step.alerts)
        self._progress.update(self._task, advance=1, alerts=self._alerts)
