"""Cameras: whether pictures come, how many, and whether there is anything to see in them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from agent.capture.reader import FrameReader, SourceStatus
from agent.capture.settings import SourceSettings
from agent.capture.source import open_source
from agent.doctor.finding import Finding, fail, ok, warn
from agent.records import Frame

_WATCH_S = 3.0
_FIRST_FRAME_S = 15.0  # an RTSP camera may wait seconds for its next key frame
_DARK = 6.0  # mean grey level, of 255; a sensor with its lens covered gives 0 to 3 and noise
_SLOW = 0.8


def check_camera(
    name: str, settings: SourceSettings, *, service_runs: bool, first_frame_s: float = _FIRST_FRAME_S
) -> Iterator[Finding]:
    """Watch a camera for three seconds.

    Args:
        name: of the camera.
        settings: its section.
        service_runs: whether the agent runs, which then holds USB and ribbon cable cameras.
        first_frame_s: how long to wait for a first picture.

    Raises:
        SourceError: a file cannot be opened or read.
    """
    if service_runs and settings.kind in ("v4l2", "picamera"):
        yield ok(f"{settings.shown_source}: held by the running service, whose status gives its rate")
        return
    reasons: list[str] = []

    def on_status(status: SourceStatus) -> None:
        if status.reason:
            reasons.append(status.reason)

    with FrameReader[None](
        lambda: open_source(settings), settings, camera=name, on_status=on_status
    ) as reader:
        frames = _read(reader, first_frame_s, reasons)
        nominal = reader.fps
    if not frames:
        why = reasons[-1] if reasons else f"no picture in {first_frame_s:g} s"
        yield fail(f"{settings.shown_source}: {why}", "check cable, address and password, then this again")
        return
    width, height = frames[-1].size
    text = f"{settings.shown_source}: {width}×{height}"
    if not settings.live:
        yield ok(f"{text}, a file of {f'{nominal:g} frames/s' if nominal else 'no stated rate'}")
    elif len(frames) < 2:
        yield warn(f"{text}, one frame in {_WATCH_S:g} s", "see the camera's own settings, or its light")
    else:
        rate = (len(frames) - 1) / (frames[-1].time_s - frames[0].time_s)
        text += f", {rate:.1f} frames/s"
        if settings.fps and rate < _SLOW * settings.fps:
            yield warn(f"{text}, {settings.fps:g} asked for", "ask for less, a smaller size, or more light")
        else:
            yield ok(text)
    if frames[-1].image.mean() < _DARK:
        yield warn(f"{settings.shown_source}: the picture is black", "take off the lens cap; give it light")


def _read(reader: FrameReader[None], first_frame_s: float, reasons: list[str]) -> list[Frame]:
    """Frames of three seconds from the first on; at most 30 of a file, none once the camera is refused."""
    frames: list[Frame] = []
    end_s = time.monotonic() + first_frame_s
    while time.monotonic() < end_s and not reader.ended and not (reasons and not frames):
        item = reader.get(timeout_s=0.2)
        if item is None:
            continue
        if not frames:
            end_s = time.monotonic() + _WATCH_S
        frames.append(item[0])
        if reader.frame_count is not None and len(frames) >= 30:
            break
    return frames
