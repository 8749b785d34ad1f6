"""The protocol that every kind of source follows, and the choice among them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from agent.capture.settings import SourceSettings
from agent.errors import SourceError
from agent.records import Frame


class Source(Protocol):
    """An opened camera, stream, video or folder; used by one thread at a time.

    Frames carry monotonic time: of the capture for live sources, the position in the recording, from 0, for
    files. Their images are never written to again.
    """

    @property
    def live(self) -> bool:
        """True when frames come when they come, and one that is not read in time is lost."""

    @property
    def fps(self) -> float | None:
        """Nominal frames per second; None when the source does not tell."""

    @property
    def frame_count(self) -> int | None:
        """Frames in all; None for live sources and where a file does not tell."""

    def read(self) -> Frame | None:
        """Wait for the next frame; None at the end of a file or folder.

        Raises:
            SourceError: the source is lost, or a file breaks off or cannot be decoded.
        """

    def close(self) -> None:
        """Give the device, connection or file back; a second call does nothing."""


class SourceSetupError(SourceError):
    """A live source that no further attempt can open, since something on this machine is missing."""


def open_source(settings: SourceSettings) -> Source:
    """Open what `settings.source` names.

    Raises:
        SourceError: it is not there, refuses, or is not what its place asks for.
        SourceSetupError: a library that it needs is not installed.
    """
    if settings.kind == "v4l2":
        from agent.capture.v4l2 import V4l2Source

        return V4l2Source(settings)
    if settings.kind == "stream":
        from agent.capture.stream import StreamSource

        return StreamSource(settings)
    if settings.kind == "picamera":
        from agent.capture.picamera import PicameraSource

        return PicameraSource(settings)

    from agent.capture.images import PICTURE_SUFFIXES, ImagesSource
    from agent.capture.video import VideoSource

    path = Path(settings.source).expanduser()
    if path.is_dir() or path.suffix.lower() in PICTURE_SUFFIXES:
        return ImagesSource(path, settings)
    return VideoSource(path, settings)
