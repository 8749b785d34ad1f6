"""Pictures chosen by a recording of the agent (`edgetrack-agent run --record`).

A recording holds what was seen in each frame of a camera, not the frames: they come from the video, or the
folder of pictures, that the agent ran over.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from agent.recording import RecordedFrame, Recording
from converter.calibration.pictures import (
    Pictures,
    chosen_files,
    chosen_frames,
    image_paths,
    video_length,
)

RECORDING_SUFFIX = ".ndjson"
_EMPTY_WEIGHT = 0.1
"""Of a frame in which nothing was seen, against one with a single object."""


def recorded_pictures(recording: Path, video: Path, max_samples: int | None) -> Pictures:
    """Frames at even steps of the objects seen, summed up over time.

    Args:
        recording: of one camera.
        video: what that camera showed: a video or a folder of pictures.
        max_samples: at most this many.

    Raises:
        DataError: either cannot be read, or the recording is of something longer.
    """
    frames = list(Recording(recording))
    if not frames:
        raise DataError(str(recording), "expected a recording with frames, got none")
    if not video.exists():
        raise DataError(str(video), "expected the video of the recording, got no such file or folder")
    files = image_paths(video) if video.is_dir() else []
    count = len(files) if video.is_dir() else video_length(video)
    last = max(frame.index for frame in frames)
    if last >= count:
        raise DataError(
            str(video),
            f"expected the {last + 1} or more frames that {recording.name} tells of, got {count}",
            "give the video or the pictures that the agent ran over when it recorded",
        )
    rows = _rows(frames, max_samples)
    pictures = chosen_files([files[row] for row in rows]) if video.is_dir() else chosen_frames(video, rows)
    return replace(pictures, warnings=(*pictures.warnings, *_doubts(frames, recording)))


def _objects(frame: RecordedFrame) -> int:
    """Seen in a frame: detections, or tracks where no detections were recorded."""
    found = frame.detections if frame.detections is not None else frame.tracks
    return 0 if found is None else len(found)


def _rows(frames: list[RecordedFrame], max_samples: int | None) -> list[int]:
    """Frame numbers, rising, each once."""
    if max_samples is None or max_samples >= len(frames):
        return sorted({frame.index for frame in frames})
    weights: NDArray[np.float64] = np.array([_objects(frame) or _EMPTY_WEIGHT for frame in frames])
    summed = np.cumsum(weights)
    places = np.searchsorted(summed, np.linspace(summed[0], summed[-1], max_samples))
    return sorted({frames[min(int(place), len(frames) - 1)].index for place in places})


def _doubts(frames: list[RecordedFrame], recording: Path) -> list[str]:
    if any(_objects(frame) for frame in frames):
        return []
    return [f"{recording.name}: nothing was seen in any of its {len(frames)} frames; chosen evenly"]
