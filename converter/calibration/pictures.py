"""Pictures from folders and videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from agent.errors import DataError
from agent.records import FloatArray, ImageArray
from converter.calibration.arrays import evenly

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm"})
FrameChoice = Literal["even", "motion"]


@dataclass(frozen=True)
class Pictures:
    """Pictures that can be gone through again and again.

    Args:
        count: how many.
        names: of each, for captions.
        each: yields them, (H, W, 3) uint8 BGR.
        warnings: what could not be read.
    """

    count: int
    names: tuple[str, ...]
    each: Callable[[], Iterator[ImageArray]]
    warnings: tuple[str, ...] = ()


def image_paths(folder: Path) -> list[Path]:
    """All pictures of a folder and those below it, sorted."""
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )


def read_image(path: Path) -> ImageArray | None:
    """A picture, (H, W, 3) BGR; None when it cannot be decoded."""
    try:
        content = np.fromfile(path, np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    except (OSError, cv2.error):
        return None
    return None if image is None else image.astype(np.uint8, copy=False)


def folder_pictures(folder: Path, max_samples: int | None) -> Pictures:
    """Pictures of a folder, evenly chosen.

    Raises:
        DataError: the folder holds none that can be read.
    """
    if not folder.is_dir():
        raise DataError(str(folder), "expected a folder of pictures, a video or an .npz, got another file")
    paths = image_paths(folder)
    if not paths:
        raise DataError(str(folder), f"expected pictures ({', '.join(sorted(IMAGE_SUFFIXES))}), got none")
    return chosen_files([paths[i] for i in evenly(len(paths), max_samples)])


def chosen_files(paths: Sequence[Path]) -> Pictures:
    """Picture files; those that cannot be decoded are left out, with a warning each.

    Raises:
        DataError: none can be read.
    """
    unreadable = [path for path in paths if read_image(path) is None]
    readable = [path for path in paths if path not in set(unreadable)]
    if not readable:
        raise DataError(str(unreadable[0]), "expected pictures that can be read, got none in this folder")
    warnings = tuple(
        f"{path}: expected a picture, got something that cannot be decoded; left out" for path in unreadable
    )
    return Pictures(
        len(readable), tuple(path.name for path in readable), lambda: _read_all(readable), warnings
    )


def _read_all(paths: Sequence[Path]) -> Iterator[ImageArray]:
    for path in paths:
        image = read_image(path)
        if image is None:
            raise DataError(str(path), "expected the picture that was there a moment ago, got none")
        yield image


def video_pictures(path: Path, max_samples: int | None, choice: FrameChoice = "even") -> Pictures:
    """Frames of a video: evenly in time, or at even steps of the motion summed up over time.

    Raises:
        DataError: it cannot be opened or holds no frame.
    """
    motion = [change for _, change in _frames_with_motion(path)]
    if not motion:
        raise DataError(str(path), "expected a video with frames, got none that can be decoded")
    wanted = min(max_samples or len(motion), len(motion))
    if choice == "even":
        rows = evenly(len(motion), wanted)
    else:
        summed = np.cumsum(motion)
        rows = np.unique(np.searchsorted(summed, np.linspace(0, summed[-1], wanted))).clip(
            max=len(motion) - 1
        )
    return chosen_frames(path, sorted({int(row) for row in rows}))


def chosen_frames(path: Path, rows: Sequence[int]) -> Pictures:
    """Frames of a video by their numbers, rising."""
    names = tuple(f"{path.name} frame {row}" for row in rows)
    return Pictures(len(rows), names, lambda: _pick(path, set(rows)))


def video_length(path: Path) -> int:
    """Frames of a video that can be decoded, counted: what a file says of its length is not always so.

    Raises:
        DataError: it cannot be opened.
    """
    return sum(1 for _ in decode_video(path))


def _pick(path: Path, rows: set[int]) -> Iterator[ImageArray]:
    for row, image in enumerate(decode_video(path)):
        if row in rows:
            yield image


def decode_video(path: Path) -> Iterator[ImageArray]:
    """All frames of a video, (H, W, 3) BGR.

    Raises:
        DataError: it cannot be opened.
    """
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise DataError(str(path), "expected a video, got something that cannot be opened")
        while True:
            good, image = video.read()
            if not good:
                return
            yield image.astype(np.uint8, copy=False)
    finally:
        video.release()


def _frames_with_motion(path: Path) -> Iterator[tuple[int, float]]:
    """Each frame's number and its mean absolute difference from the one before, in grey levels."""
    before: FloatArray | None = None
    for row, image in enumerate(decode_video(path)):
        small = cv2.cvtColor(
            cv2.resize(image, (64, 48), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY
        ).astype(np.float32)
        yield row, 0.0 if before is None else float(np.abs(small - before).mean())
        before = small
