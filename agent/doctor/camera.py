"""Cameras: whether pictures come, how many, and whether there is anything to see in them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from agent.capture.picture import measure
from agent.capture.reader import FrameReader, SourceStatus
from agent.capture.settings import SourceSettings
from agent.capture.source import open_source
from agent.doctor.finding import Finding, fail, ok, warn
from agent.records import Frame

_WATCH_S = 3.0
_FIRST_FRAME_S = 15.0  # an RTSP camera may wait seconds for its next key frame
_DARK = 20.0  # of 255: one pixel in a hundred is brighter; a sensor with its lens covered gives noise below
_BARE = 0.45  # grey levels a pixel at 80 × 60 px: no contour anywhere
_SOFT = 0.2  # detail over contour; of 252 pictures of COCO none has less than 0.3, blurred by 6 px all have
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

    with (
        _silent(),
        FrameReader[None](
            lambda: open_source(settings), settings, camera=name, on_status=on_status
        ) as reader,
    ):
        frames = _read(reader, first_frame_s, reasons)
        nominal = reader.fps
    if not frames:
        why = reasons[-1] if reasons else f"no picture in {first_frame_s:g} s"
        where = f"{settings.shown_source}: "
        yield fail(where + why.removeprefix(where), "check cable, address and password, then this again")
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
    yield from _check_picture(settings, frames)


@contextmanager
def _silent() -> Iterator[None]:
    """The reader's warnings are findings here; that it would try again is none."""
    log = logging.getLogger("edgetrack.capture")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _check_picture(settings: SourceSettings, frames: list[Frame]) -> Iterator[Finding]:
    """Whether there is anything to see; what is unusual only for this camera shows the agent's own status."""
    picture, where = measure(frames[-1].image), settings.shown_source
    rich = np.argsort(picture.fine)[-16:]  # blocks with most detail
    same = all(np.array_equal(frame.image, frames[0].image) for frame in frames[1:])
    if picture.bright < _DARK:
        yield warn(f"{where}: the picture is black", "take off the lens cap; give it light")
    elif picture.coarse[rich].max() < _BARE:
        yield warn(f"{where}: nothing is to be seen in the picture", "see what covers the lens")
    elif np.median(picture.texture[rich]) < _SOFT:
        yield warn(f"{where}: the picture is out of focus", "clean the lens; turn it until edges are sharp")
    if settings.live and len(frames) > 2 and same:
        advice = "restart the camera; a stream that repeats quiet pictures exactly wants frozen_after_s: 0"
        yield warn(f"{where}: {len(frames)} times exactly the same picture", advice)


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
