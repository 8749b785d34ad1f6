"""A folder of pictures as if it were a video."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

import cv2
import numpy as np

from agent.capture.adjust import adjuster
from agent.capture.opencv_capture import first_line, silence_opencv
from agent.capture.settings import SourceSettings
from agent.errors import SourceError
from agent.records import Frame, ImageArray

_log = logging.getLogger("edgetrack.capture")

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
DEFAULT_FPS = 25.0


class ImagesSource:
    """The pictures of a folder in natural order (2.jpg before 10.jpg), or a single picture.

    One that cannot be read is named in a warning and passed over; its place on the timeline stays empty.

    Args:
        path: the folder; hidden files and other kinds of files in it are passed over, folders not entered.
        settings: `fps` is the timeline; size and rotation.

    Raises:
        SourceError: there is no such folder, or no picture in it.
    """

    live = False

    def __init__(self, path: Path, settings: SourceSettings) -> None:
        silence_opencv()
        self._paths = _pictures(path)
        self.names = tuple(file.name for file in self._paths)
        """File names in the order of the frames."""
        self._adjust = adjuster(settings, resize=True)
        self.fps = settings.fps or DEFAULT_FPS
        self.frame_count = len(self._paths)
        self._index = 0
        self._bad: SourceError | None = None
        """The first picture that could not be read."""
        self._any_good = False
        self._started_wall_s = time.time()

    def read(self) -> Frame | None:
        """The next picture that can be read; None after the last.

        Raises:
            SourceError: none of all could be read; names the first.
        """
        while self._index < len(self._paths):
            index, self._index = self._index, self._index + 1
            try:
                image = read_picture(self._paths[index])
            except SourceError as error:
                self._bad = self._bad or error
                if len(self._paths) > 1:
                    _log.warning("%s (picture %d of %d)", error, index + 1, len(self._paths))
                continue
            self._any_good = True
            time_s = index / self.fps
            return Frame(self._adjust(image), time_s, self._started_wall_s + time_s, index)
        if self._bad is not None and not self._any_good:
            raise self._bad
        return None

    def close(self) -> None:
        """Nothing is held open between pictures."""


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts numbers within names by value and letters without case."""
    parts = re.split(r"(\d+)", name.casefold())
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)


def read_picture(path: Path) -> ImageArray:
    """Decode a picture; turned upright as its EXIF says.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        SourceError: it cannot be read, or holds no whole picture.
    """
    hint = "replace or remove it"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(str(path), f"expected a picture, got: {error.strerror or error}", hint) from error
    # Decoders fill what is cut off with grey; the end-of-image marker tells.
    if content.startswith(b"\xff\xd8") and b"\xff\xd9" not in content[-4096:]:
        raise SourceError(str(path), "expected a whole JPEG, got one that is cut off", hint)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except cv2.error as error:
        raise SourceError(str(path), f"expected a picture, got: {first_line(error)}", hint) from error
    if image is None:
        got = "a file that is none" if content else "an empty file"
        raise SourceError(str(path), f"expected a picture, got {got}", hint)
    return image  # type: ignore[return-value]


def _pictures(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            path.stat()
            return [path]
        found = [
            file
            for file in path.iterdir()
            if file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".") and file.is_file()
        ]
    except OSError as error:
        problem = error.strerror or str(error)
        raise SourceError(str(path), f"expected pictures, got: {problem}", "check the path") from error
    if not found:
        kinds = " ".join(sorted(PICTURE_SUFFIXES))
        raise SourceError(
            str(path), f"expected pictures ({kinds}), got a folder without any", "check the path"
        )
    return sorted(found, key=lambda file: (natural_key(file.name), file.name))
