"""Offline smoothing of finished tracks: every box in the light of what came after it, and short gaps filled.

This needs the whole recording, so its output is no online result and must not be compared with one. The
filter is filterpy's: constant velocity on centre x, centre y, width and height, each on its own; white noise
of acceleration; then the backward pass.

H. Rauch, F. Tung, C. Striebel, Maximum Likelihood Estimates of Linear Dynamic Systems,
AIAA Journal 3(8), 1965.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import ConfigError, DataError, SourceError
from agent.track.motchallenge import read_rows, write_text

Rows = NDArray[np.float64]
"""(N, 8) frame, id, left, top, width, height, score, class."""

DEFAULT_FPS = 30.0
DEFAULT_MAX_GAP_S = 1.0
_CENTRE_NOISE, _SIZE_NOISE = 0.03, 0.05
"""Standard deviations of a box that a tracker gave, in box heights."""
_CENTRE_ACCELERATION, _SIZE_ACCELERATION = 0.5, 0.2
"""Roots of the spectral densities, in box heights / s^1.5."""
_INITIAL_SPEED = 1.0
"""Standard deviation, in box heights / s."""
_MIN_SIDE_PX = 1.0


@dataclass(frozen=True, slots=True)
class SmoothedFile:
    """What was done with one file.

    Args:
        output: where it was written.
        tracks: how many identities it holds.
        boxes: how many boxes were read.
        filled: how many were added in gaps.
    """

    output: Path
    tracks: int
    boxes: int
    filled: int


def smooth_rows(rows: Rows, fps: float = DEFAULT_FPS, max_gap_s: float = DEFAULT_MAX_GAP_S) -> Rows:
    """Smooth every track and fill its gaps of at most `max_gap_s`; ids are kept.

    Args:
        rows: (N, 8) of a tracker, as `read_rows` gives them.
        fps: frames per second.
        max_gap_s: time from the last box before a gap to the first after it; across longer ones a track is
            smoothed in parts and nothing is filled. 0 fills nothing.

    Returns:
        (M, 8), M ≥ N, sorted by frame, then id. A filled box has the lower score of the gap's two ends.

    Raises:
        ConfigError: fps or max_gap_s is not as above.
        DataError: a track has two boxes in one frame, or a box without area.
    """
    if not 0 < fps < np.inf:
        raise ConfigError("smooth fps", f"expected frames per second above 0, got {fps:g}")
    if not 0 <= max_gap_s < np.inf:
        raise ConfigError("smooth max_gap_s", f"expected seconds from 0, got {max_gap_s:g}")
    flat = rows[(rows[:, 4:6] <= 0).any(axis=1)]
    if len(flat):
        raise DataError(
            f"frame {flat[0, 0]:g}, track {flat[0, 1]:g}",
            f"expected a width and height above 0, got {flat[0, 4]:g} × {flat[0, 5]:g}",
        )
    ordered = rows[np.lexsort((rows[:, 0], rows[:, 1]))]
    same_track = ordered[1:, 1] == ordered[:-1, 1]
    step = ordered[1:, 0] - ordered[:-1, 0]
    twice = (same_track & (step == 0)).nonzero()[0]
    if len(twice):
        row = ordered[twice[0]]
        raise DataError(
            f"frame {row[0]:g}, track {row[1]:g}",
            "expected every id once a frame, got it twice; are these tracks, not detections?",
        )
    longest = max(1.0, max_gap_s * fps * (1 + 1e-9))
    parts = np.split(ordered, (~same_track | (step > longest)).nonzero()[0] + 1) if len(ordered) else []
    smoothed = np.concatenate([np.empty((0, 8)), *(_smooth_part(part, fps) for part in parts)])
    result: Rows = smoothed[np.lexsort((smoothed[:, 1], smoothed[:, 0]))]
    return result


def _smooth_part(part: Rows, fps: float) -> Rows:
    """One track without long gaps: (N, 8), ascending frames, to a row for every frame between."""
    from filterpy.common import Q_continuous_white_noise
    from filterpy.kalman import KalmanFilter

    if len(part) == 1:
        return part
    frames = np.arange(part[0, 0], part[-1, 0] + 1)
    seen = np.searchsorted(frames, part[:, 0])
    boxes = part[:, 2:6].copy()
    boxes[:, :2] += 0.5 * boxes[:, 2:]
    unit = float(np.median(boxes[:, 3]))
    noise = unit * np.array([_CENTRE_NOISE, _CENTRE_NOISE, _SIZE_NOISE, _SIZE_NOISE])
    density = (unit * np.array([_CENTRE_ACCELERATION] * 2 + [_SIZE_ACCELERATION] * 2)) ** 2

    # State: (p, v) of centre x, then of centre y, width and height.
    kalman = KalmanFilter(dim_x=8, dim_z=4)
    kalman.F = np.kron(np.eye(4), [[1.0, 1.0 / fps], [0.0, 1.0]])
    kalman.H = np.kron(np.eye(4), [[1.0, 0.0]])
    kalman.Q = np.kron(np.diag(density), Q_continuous_white_noise(dim=2, dt=1.0 / fps))
    kalman.R = np.diag(noise**2)
    kalman.x = np.kron(boxes[0], [1.0, 0.0])
    kalman.P = np.diag(np.stack((noise**2, np.full(4, (_INITIAL_SPEED * unit) ** 2)), axis=1).ravel())
    # The first box is the initial state, so it is not measured a second time.
    measured: list[NDArray[np.float64] | None] = [None] * len(frames)
    for place, box in zip(seen[1:].tolist(), boxes[1:], strict=True):
        measured[place] = box
    means, covariances = [kalman.x.copy()], [kalman.P.copy()]
    for box_or_gap in measured[1:]:
        kalman.predict()
        kalman.update(box_or_gap)
        means.append(kalman.x.copy())
        covariances.append(kalman.P.copy())
    state = kalman.rts_smoother(np.array(means), np.array(covariances))[0]  # (F, 8)

    result = np.empty((len(frames), 8))
    result[:, 0], result[:, 1] = frames, part[0, 1]
    result[:, 4:6] = np.maximum(state[:, 4::2], _MIN_SIDE_PX)
    result[:, 2:4] = state[:, 0:4:2] - 0.5 * result[:, 4:6]
    after = np.searchsorted(part[:, 0], frames)
    before = np.maximum(after - (part[after, 0] != frames), 0)
    result[:, 6] = np.minimum(part[before, 6], part[after, 6])
    result[:, 7] = part[before, 7]
    return result


def smooth_file(
    tracks: Path, output: Path, fps: float = DEFAULT_FPS, max_gap_s: float = DEFAULT_MAX_GAP_S
) -> SmoothedFile:
    """Smooth one MOTChallenge file of tracks.

    Raises:
        ConfigError: fps or max_gap_s is out of range.
        SourceError, DataError: the file cannot be read or holds no tracks; the line or track is named.
        StorageError: the output cannot be written.
    """
    rows = read_rows(tracks)
    if len(rows) and rows[:, 1].min() < 0:
        raise DataError(str(tracks), "expected tracks, got id -1, as detections have; track them first")
    try:
        smoothed = smooth_rows(rows, fps, max_gap_s)
    except DataError as error:
        raise DataError(f"{tracks} {error.where}", error.problem, error.hint) from error
    lines = "".join(
        f"{int(frame)},{int(id_)},{x:.2f},{y:.2f},{w:.2f},{h:.2f},{score:.4f},-1,-1,-1\n"
        for frame, id_, x, y, w, h, score, _ in smoothed.tolist()
    )
    write_text(output, lines)
    return SmoothedFile(output, len(np.unique(rows[:, 1])), len(rows), len(smoothed) - len(rows))


def smooth_path(
    tracks: Path,
    output: Path,
    fps: float = DEFAULT_FPS,
    max_gap_s: float = DEFAULT_MAX_GAP_S,
    on_progress: Callable[[str], None] | None = None,
) -> list[SmoothedFile]:
    """Smooth one file, or every .txt of a folder into another folder.

    Args:
        tracks: file or folder.
        output: the same kind; not the input itself, whose online tracks would be lost.
        fps, max_gap_s: see `smooth_rows`.
        on_progress: called with the name of every file that was written.

    Raises:
        ConfigError, SourceError, DataError, StorageError: see `smooth_file`.
    """
    if output.resolve() == tracks.resolve():
        raise ConfigError("--output", "expected another place than --tracks, got the same", "keep both")
    if not tracks.exists():
        raise SourceError(str(tracks), "expected a file or folder of tracks, got none")
    pairs = [(tracks, output)]
    if tracks.is_dir():
        pairs = [(path, output / path.name) for path in sorted(tracks.glob("*.txt"))]
        if not pairs:
            raise SourceError(str(tracks), "expected .txt files of tracks, got none")
    done = []
    for source, target in pairs:
        done.append(smooth_file(source, target, fps, max_gap_s))
        if on_progress is not None:
            on_progress(source.name)
    return done
