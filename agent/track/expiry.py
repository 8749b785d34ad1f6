"""When a track that nobody sees is given up: in seconds, and sooner at the border of the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.track.kalman import Float64Array, P
from agent.track.lifecycle import HITS, TrackTable
from agent.track.settings import TrackerSettings

_TO_OUTWARD = np.array([[-1, 0, 0.5, 0], [0, -1, 0, 0.5], [1, 0, 0.5, 0], [0, 1, 0, 0.5]])
"""To (-x1, -y1, x2, y2): each grows as its side moves out of the picture."""


class Expiry:
    """Tells which tracks have waited too long.

    Args:
        settings: section `tracker` of the configuration.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._frame_size: tuple[int, int] | None = None

    def __call__(
        self, table: TrackTable, since_seen_s: Float64Array, frame_size: tuple[int, int] | None
    ) -> NDArray[np.bool_]:
        """(N,) whether each track is given up.

        Args:
            table: of N tracks.
            since_seen_s: (N,) seconds since each was seen.
            frame_size: (width, height) in px; without it no border makes tracks age faster.
        """
        settings = self._settings
        waited_s = since_seen_s
        if frame_size is not None:
            if frame_size != self._frame_size:
                width, height = self._frame_size = frame_size
                far = 1.0 - settings.border
                near = (-settings.border * width, -settings.border * height, far * width, far * height)
                self._border = np.array(near)[:, None]
            leaving = (_TO_OUTWARD @ table.motion[P] > self._border).any(axis=0)
            waited_s = since_seen_s * (1.0 + (settings.border_ageing - 1.0) * leaving)
        confirmed = table.whole[HITS] >= settings.confirm_hits
        return waited_s > np.where(confirmed, settings.lost_s, settings.tentative_s)
