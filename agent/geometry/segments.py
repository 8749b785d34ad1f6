"""Paths against directed lines: which side, how far, and where they cross."""

from __future__ import annotations

import numpy as np

from agent.geometry.polygons import Float64Array


class LineSet:
    """Several directed segments, prepared once.

    Seen on the screen (y down), walking from the first end to the second, distances at the left hand are
    negative and those at the right hand positive.

    Args:
        ends: (W, 2, 2): first and second end of each. W may be 0.

    Raises:
        ValueError: another shape, or a segment without length.
    """

    def __init__(self, ends: Float64Array) -> None:
        ends = (
            np.asarray(ends, np.float64).reshape(-1, 2, 2)
            if np.size(ends) == 0
            else np.asarray(ends, np.float64)
        )
        if ends.ndim != 3 or ends.shape[1:] != (2, 2):
            raise ValueError(f"ends: expected shape (W, 2, 2), got {ends.shape}")
        step = ends[:, 1] - ends[:, 0]  # (W, 2)
        self.lengths: Float64Array = np.hypot(step[:, 0], step[:, 1])
        """(W,) length of each."""
        if (self.lengths == 0).any():
            raise ValueError(
                f"segment {int(np.argmin(self.lengths))}: expected two different ends, got one point"
            )
        self._origin = ends[:, 0]  # (W, 2)
        self._along = step / self.lengths[:, None]  # (W, 2), unit
        self._origin_x, self._origin_y = ends[:, 0, :1].copy(), ends[:, 0, 1:].copy()  # (W, 1)
        self._along_x, self._along_y = self._along[:, :1].copy(), self._along[:, 1:].copy()  # (W, 1)

    def __len__(self) -> int:
        return len(self.lengths)

    def distances(self, points: Float64Array) -> Float64Array:
        """Signed distance of each point from each line, prolonged without end.

        Args:
            points: (N, 2).

        Returns:
            (W, N): negative at the left hand (on the screen), positive at the right, 0 on the line.
        """
        x = points[:, 0] - self._origin_x  # (W, N)
        y = points[:, 1] - self._origin_y
        x *= self._along_y
        y *= self._along_x
        y -= x
        distances: Float64Array = y
        return distances

    def crossing(self, index: int, start: Float64Array, end: Float64Array) -> tuple[float, float]:
        """Where a straight path crosses one line, prolonged without end.

        Args:
            index: which line.
            start, end: (2,) each, not both on the same side and not both on the line.

        Returns:
            (part of the way from `start` to `end`, part of the way from the first end to the second); the
            crossing lies on the segment when the second is in 0..1.
        """
        at_start, at_end = self.distances(np.stack((start, end)))[index]
        part = float(at_start / (at_start - at_end))
        place = start + part * (end - start)
        along = float((place - self._origin[index]) @ self._along[index] / self.lengths[index])
        return part, along
