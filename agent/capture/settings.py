"""What a user writes of a camera's source."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from agent.capture.redact import redact
from agent.settings import Seconds, Section

SourceKind = Literal["path", "v4l2", "stream", "picamera"]
PictureFault = Literal["black", "covered", "blurred", "moved", "garbage"]
Pixels = Annotated[int, Field(ge=16, le=16384)]
STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp")


class SourceSettings(Section):
    """Where a camera's pictures come from.

    Live sources (USB, stream, picamera) hand over the newest picture, and are reopened whenever they are
    lost. Files and folders hand over every picture, and end.
    """

    source: str = Field(repr=False)
    """Path of a video or of a folder of pictures; `0` or `/dev/video0` for a USB camera; `rtsp://…`,
    `http://…` for a stream; `picamera:0` for a Raspberry Pi camera."""
    width: Pixels | None = None
    """Px, before rotation. USB cameras take the nearest that they have; all others deliver this width, with
    the height to scale when `height` is not given."""
    height: Pixels | None = None
    """Px, before rotation; as `width`."""
    rotation: Literal[0, 90, 180, 270] = 0
    """Degrees by which pictures are turned clockwise."""
    fps: float | None = Field(default=None, gt=0, le=1000)
    """Pictures per second. Cameras are asked for it, and what they and streams deliver beyond it is skipped.
    Files lose nothing: for a video it takes the place of the file's own time stamps, for a folder it is the
    timeline (25 when not given)."""
    decode_threads: int = Field(default=1, ge=1, le=64)
    """Threads that decode a video or stream. One costs the least CPU and delay, and leaves the other cores to
    the detector; more help where one core cannot keep up with a large stream."""
    stale_after_s: float = Field(default=5.0, gt=0)
    """Seconds without a picture after which a live source counts as lost and is reopened."""
    frozen_after_s: Seconds = 5.0
    """Seconds of exactly the same picture after which a live source counts as frozen and is reopened; sensors
    are noisy, so this does not happen to a live one. 0 switches it off, for test cards and for streams whose
    encoder repeats quiet pictures exactly."""
    picture_fault_after_s: Seconds = 10.0
    """Seconds of a picture that is wrong after which a live source is reported so, as `picture_faults` lists;
    its pictures are processed as ever. 0 switches it off."""
    picture_faults: tuple[PictureFault, ...] = ("black", "covered", "blurred", "moved", "garbage")
    """What is looked for: no light; the view hidden; out of focus; another view than in the minutes before
    (leave it out for a camera that turns); noise, upon which the source is reopened. What a camera usually
    shows is learned while it runs: night, fog and snow are no faults."""
    reconnect_min_s: float = Field(default=1.0, gt=0)
    """Seconds before the first attempt to reopen; each further one doubles it."""
    reconnect_max_s: float = Field(default=30.0, gt=0)
    """Longest time between two attempts; there is no last one."""

    @field_validator("source", mode="before")
    @classmethod
    def _source_is_text(cls, value: Any) -> Any:
        """`source: 0` is the first USB camera; a scheme that nothing here can read is refused."""
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            return value
        text = value.strip()
        if not text or (text[0] == "-" and text[1:].isdigit()):
            raise ValueError(f"expected a path, a device, a URL or picamera:0, got {text!r}")
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
        if scheme and scheme[1].lower() not in STREAM_SCHEMES:
            known = ", ".join(f"{name}://" for name in STREAM_SCHEMES)
            raise ValueError(f"expected {known}, got {redact(text)}; files are written as plain paths")
        if text.startswith("picamera") and not re.fullmatch(r"picamera(:\d{1,2})?", text):
            raise ValueError(f"expected picamera:0, picamera:1 …, got {text!r}; write ./{text} for a file")
        return text

    @model_validator(mode="after")
    def _check_source_times(self) -> SourceSettings:
        if self.reconnect_max_s < self.reconnect_min_s:
            raise ValueError(
                f"reconnect_max_s: expected at least reconnect_min_s ({self.reconnect_min_s:g}), "
                f"got {self.reconnect_max_s:g}"
            )
        if self.live and self.fps is not None and self.stale_after_s * self.fps < 2:
            raise ValueError(
                f"stale_after_s: expected at least two pictures' time at {self.fps:g} fps "
                f"({2 / self.fps:g} s), got {self.stale_after_s:g}"
            )
        return self

    @property
    def kind(self) -> SourceKind:
        """Which kind of source the text names; whether a path is a video or a folder shows when opened."""
        if self.source.isdecimal() or self.source.startswith("/dev/"):
            return "v4l2"
        if self.source.startswith("picamera"):
            return "picamera"
        return "stream" if "://" in self.source else "path"

    @property
    def live(self) -> bool:
        """True for cameras and streams, False for files and folders."""
        return self.kind != "path"

    @property
    def shown_source(self) -> str:
        """The source as it may be logged: without user names, passwords and keys."""
        return redact(self.source)
