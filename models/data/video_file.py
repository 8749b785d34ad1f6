"""Writing generated frames to a video file that every OpenCV reads."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

from agent.errors import StorageError
from agent.records import ImageArray


def write_video(
    path: Path, frames: Iterable[ImageArray], size: tuple[int, int], rate_hz: float, quality: int = 23
) -> int:
    """Write H.264 (yuv420p, MP4) with ffmpeg.

    Only the first frame is a key frame: a later one would make the whole picture jump a little, which a
    motion detector sees.

    Args:
        path: of the file.
        frames: (H, W, 3) uint8 BGR each.
        size: (width, height) px, even numbers.
        rate_hz: frames a second.
        quality: x264's constant rate factor; lower is better and larger.

    Returns:
        Number of frames written.

    Raises:
        StorageError: there is no ffmpeg, or it could not write.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise StorageError(str(path), "expected the program ffmpeg on PATH, got none", "install ffmpeg")
    command = [
        program, "-hide_banner", "-loglevel", "error", "-y",
        "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{size[0]}x{size[1]}", "-r", str(rate_hz), "-i", "-",
        "-c:v", "libx264", "-preset", "slow", "-crf", str(quality), "-pix_fmt", "yuv420p", "-threads", "1",
        "-x264-params", "keyint=infinite:scenecut=0", "-movflags", "+faststart",
        "-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact", str(path),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    pipe = cast("IO[bytes]", process.stdin)
    count = 0
    broken = ""
    try:
        for frame in frames:
            pipe.write(frame.tobytes())
            count += 1
    except BrokenPipeError:
        broken = "ffmpeg stopped reading"
    _, error = process.communicate()
    if process.returncode != 0 or broken:
        detail = error.decode("utf-8", "replace").strip().splitlines()
        problem = detail[-1] if detail else broken or f"exit code {process.returncode}"
        raise StorageError(str(path), f"expected ffmpeg to write H.264, got: {problem}")
    return count
