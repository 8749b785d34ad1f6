"""OpenCV's VideoCapture, quiet, and with its failures as SourceError."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import cv2

from agent.errors import SourceError


def silence_opencv() -> None:
    """Keep OpenCV and FFmpeg from writing to stderr, where they would mix with our one-line errors.

    FFmpeg's level (AV_LOG_QUIET, -8) is read when the first video is opened. Whoever sets
    OPENCV_FFMPEG_LOGLEVEL or OPENCV_LOG_LEVEL wants to see it all, and does.
    """
    if not os.environ.get("OPENCV_FFMPEG_DEBUG"):
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        owner: Any = getattr(cv2.utils, "logging", cv2)  # where OpenCV 5 has it, and OpenCV 4
        owner.setLogLevel(0)


def decode_threads(threads: int) -> dict[int, int]:
    """The FFmpeg property that limits decoding to so many threads, where this OpenCV has it (4.7 on)."""
    return {cv2.CAP_PROP_N_THREADS: threads} if hasattr(cv2, "CAP_PROP_N_THREADS") else {}


def open_capture(
    where: str, target: str | int, backend: int, properties: Mapping[int, int], *, problem: str, hint: str
) -> cv2.VideoCapture:
    """Open a VideoCapture.

    Args:
        where: the source as it may be shown.
        target: what OpenCV is given: path, URL, or number of a device.
        backend: cv2.CAP_FFMPEG or cv2.CAP_V4L2.
        properties: open-time properties of the backend.
        problem, hint: the error's text when it cannot be opened; OpenCV itself tells nothing.

    Raises:
        SourceError: it cannot be opened, or this OpenCV was built without the backend.
    """
    silence_opencv()
    if backend not in cv2.videoio_registry.getBackends():
        name = {cv2.CAP_FFMPEG: "FFmpeg", cv2.CAP_V4L2: "V4L2"}.get(backend, str(backend))
        raise SourceError(
            where, f"expected an OpenCV with {name}, got one without", "install opencv-python-headless"
        )
    flat = [number for pair in properties.items() for number in pair]
    try:
        capture = cv2.VideoCapture(target, backend, flat)
    except cv2.error as error:
        raise SourceError(where, f"{problem} ({first_line(error)})", hint) from error
    if not capture.isOpened():
        capture.release()
        raise SourceError(where, problem, hint)
    return capture


def first_line(error: cv2.error) -> str:
    """What an OpenCV error says, without its file and line."""
    return str(error.err or error).strip().splitlines()[0]
