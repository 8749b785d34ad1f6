"""Draw what the agent saw on a picture: boxes, trails, zones, tripwires."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from agent.records import ImageArray, Tracks, TrackState

# Okabe-Ito, BGR: eight colours that people with colour-blindness can tell apart.
_PALETTE = (
    (0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240),
    (178, 114, 0), (0, 94, 213), (167, 121, 204), (255, 255, 255),
)  # fmt: skip
_ZONE = (66, 228, 240)
_TRIPWIRE = (0, 94, 213)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Annotator:
    """Draws on copies of frames; keeps the trails of the tracks that are alive.

    Args:
        labels: class names.
        zones: name to (x, y) corners in 0..1.
        tripwires: name to its two ends in 0..1.
        trail: how many points of a track's path are kept.
    """

    def __init__(
        self,
        labels: Sequence[str],
        zones: Mapping[str, Sequence[tuple[float, float]]],
        tripwires: Mapping[str, Sequence[tuple[float, float]]],
        trail: int = 60,
    ) -> None:
        self._labels = labels
        self._zones = zones
        self._tripwires = tripwires
        self._trail = trail
        self._trails: dict[int, deque[tuple[int, int]]] = {}

    def draw(
        self, image: ImageArray, tracks: Tracks, caption: str = "", notes: Sequence[str] = ()
    ) -> ImageArray:
        """The picture with everything on it.

        Args:
            image: (H, W, 3) uint8 BGR; not changed.
            tracks: boxes in px of this picture.
            caption: a line for the lower edge.
            notes: words for the label of each track, such as what it does; empty for none.

        Returns:
            (H, W, 3) uint8 BGR.
        """
        canvas = image.copy()
        self._draw_geometry(canvas)
        alive = set()
        for row in range(len(tracks)):
            if tracks.states[row] in (TrackState.CONFIRMED, TrackState.LOST):
                alive.add(int(tracks.ids[row]))
                self._draw_track(canvas, tracks, row, notes[row] if notes else "")
        self._trails = {track: path for track, path in self._trails.items() if track in alive}
        if caption:
            height, width = canvas.shape[:2]
            canvas[height - 22 :] //= 3
            cv2.putText(
                canvas, caption[: width // 8], (6, height - 7), _FONT, 0.45, (255,) * 3, 1, cv2.LINE_AA
            )
        return canvas

    def _draw_geometry(self, canvas: ImageArray) -> None:
        height, width = canvas.shape[:2]
        scale = np.array([width, height])
        for name, points in self._zones.items():
            corners = np.round(np.array(points) * scale).astype(np.int32)
            tinted = canvas.copy()
            cv2.fillPoly(tinted, [corners], _ZONE)
            cv2.addWeighted(tinted, 0.15, canvas, 0.85, 0, dst=canvas)
            cv2.polylines(canvas, [corners], True, _ZONE, 1, cv2.LINE_AA)
            _label(canvas, name, int(corners[:, 0].min()), int(corners[:, 1].min()), _ZONE)
        for name, points in self._tripwires.items():
            a, b = np.round(np.array(points) * scale).astype(int)
            cv2.line(canvas, tuple(map(int, a)), tuple(map(int, b)), _TRIPWIRE, 2, cv2.LINE_AA)
            _label(canvas, name, int(a[0]), int(a[1]), _TRIPWIRE)

    def _draw_track(self, canvas: ImageArray, tracks: Tracks, row: int, note: str) -> None:
        track_id = int(tracks.ids[row])
        colour = _PALETTE[track_id % len(_PALETTE)]
        left, top, right, bottom = (round(float(value)) for value in tracks.boxes[row])
        lost = tracks.states[row] == TrackState.LOST
        trail = self._trails.setdefault(track_id, deque(maxlen=self._trail))
        if not lost:
            trail.append(((left + right) // 2, bottom))
        if len(trail) > 1:
            cv2.polylines(canvas, [np.array(trail, np.int32)], False, colour, 1, cv2.LINE_AA)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, 1 if lost else 2)
        label = int(tracks.labels[row])
        name = self._labels[label] if label < len(self._labels) else str(label)
        note = f" {note}" if note else ""
        _label(canvas, f"{name} {track_id}{note}" + (" (lost)" if lost else ""), left, top, colour)


def _label(canvas: ImageArray, text: str, left: int, bottom: int, colour: tuple[int, int, int]) -> None:
    """Dark text on a patch of `colour`, kept inside the picture."""
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.4, 1)
    left = max(0, min(left, canvas.shape[1] - width - 4))
    bottom = max(height + 5, bottom)
    cv2.rectangle(canvas, (left, bottom - height - 5), (left + width + 4, bottom), colour, cv2.FILLED)
    cv2.putText(canvas, text, (left + 2, bottom - 3), _FONT, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
