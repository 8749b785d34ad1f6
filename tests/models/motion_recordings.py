"""Recordings of people whose paths are known, written as the agent writes its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.recording import RecordedFrame, RecordingHeader, RecordingWriter
from agent.records import Detections
from models.motion.trajectories import true_paths

ROOT = Path(__file__).resolve().parents[2]
HEIGHT_PX = 80.0
SIZE = (2400, 1600)


def walkers(count: int, frames: int, fps: float, seed: int) -> np.ndarray:
    """(frames, 2, count) px: people far apart, who walk, turn, stop and start."""
    path = true_paths(np.random.default_rng(seed), count, frames, 1 / fps) * HEIGHT_PX
    lanes = np.stack([np.full(count, SIZE[0] / 2), np.linspace(150, SIZE[1] - 150, count)])
    return path * np.array([[1.0], [0.1]]) + lanes


def record(path: Path, centres: np.ndarray, fps: float) -> Path:
    """Write what a detector sees of them.

    Args:
        path: of the file.
        centres: (frames, 2, N) px; NaN where somebody is not in sight.
        fps: frames per second.
    """
    half = HEIGHT_PX * np.array([0.2, 0.5])
    with RecordingWriter(path, RecordingHeader("front", ("person",), (0.25, 0.5, 0.6))) as writer:
        for index, frame in enumerate(centres):
            centre = frame.T[np.isfinite(frame[0])]
            boxes = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
            found = Detections(boxes, np.full(len(boxes), 0.9, np.float32), np.zeros(len(boxes), np.int64))
            time_s = index / fps
            writer.write(RecordedFrame(time_s, 1.7e9 + time_s, index, SIZE, found))
    return path
