"""Pictures for alerts: the best sight of each track, anonymised before it is kept, small enough for MQTT."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from agent.alerts.settings import SnapshotSettings
from agent.records import BoolArray, Detections, FloatArray, ImageArray, IntArray, Tracks, TrackState
from agent.vision.privacy import PeopleFinder, anonymise

_BETTER = 1.2  # a new sight replaces the kept one when it is this much better: encoding costs
_SHARPNESS_PX = 128  # sharpness is judged at this size, so that it does not grow with the camera's resolution
_QUALITY_STEP, _LOWEST_QUALITY = 15, 20
_BOX_COLOUR, _ZONE_COLOUR = (0, 94, 213), (66, 228, 240)


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG that may leave the process.

    Args:
        jpeg: its bytes.
        width, height: px.
    """

    jpeg: bytes
    width: int
    height: int

    @property
    def sha256(self) -> str:
        """Hexadecimal."""
        return hashlib.sha256(self.jpeg).hexdigest()


@dataclass(slots=True)
class _Best:
    quality: float
    picture: Picture


def sharpness(image: ImageArray) -> float:
    """Variance of the Laplacian of a picture's brightness, at a fixed size; 0 for an empty one.

    Args:
        image: (H, W, 3) uint8 BGR.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    if image.size == 0:
        return 0.0
    scale = _SHARPNESS_PX / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


class SnapshotKeeper:
    """Keeps the best picture of every track that is alive.

    Args:
        settings: size, quality, privacy.
        labels: class names of the detector.
        zones: corners in 0..1 of what is drawn where `settings.draw` is on.
    """

    def __init__(
        self,
        settings: SnapshotSettings,
        labels: Sequence[str],
        zones: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    ) -> None:
        self._settings = settings
        self._labels = labels
        self._zones = zones or {}
        self._people = PeopleFinder(labels, settings.people)
        self._best: dict[int, _Best] = {}

    def __len__(self) -> int:
        """How many pictures are kept."""
        return len(self._best)

    def update(self, image: ImageArray, tracks: Tracks, detections: Detections | None = None) -> None:
        """Take a frame: keep it for the tracks that it shows better than any before.

        Args:
            image: (H, W, 3) uint8 BGR; not changed, not kept.
            tracks: all of them; pictures of removed ones are dropped with the next frame, so that what is
                told of their end can still have one.
            detections: of this frame, so that people who are not tracked are anonymised too.
        """
        present = set(tracks.ids.tolist())
        self._best = {track: best for track, best in self._best.items() if track in present}
        height, width = image.shape[:2]
        for row in np.flatnonzero(tracks.states == TrackState.CONFIRMED).tolist():
            inside = np.clip(tracks.boxes[row], 0, (width, height, width, height)).astype(int)
            left, top, right, bottom = inside.tolist()
            area = max(0, right - left) * max(0, bottom - top)
            track = int(tracks.ids[row])
            kept = self._best.get(track)
            quality = float(tracks.scores[row]) * area * sharpness(image[top:bottom, left:right])
            if quality > 0 and (kept is None or quality > _BETTER * kept.quality):
                self._best[track] = _Best(quality, self._render(image, tracks, detections, row))

    def picture_of(self, track: int) -> Picture | None:
        """The best picture of a track; None when it was never seen well enough."""
        best = self._best.get(track)
        return best.picture if best is not None else None

    def picture_of_scene(
        self, image: ImageArray, tracks: Tracks, detections: Detections | None = None
    ) -> Picture:
        """A picture of now, for alerts of a whole zone or camera and for the snapshot command."""
        return self._render(image, tracks, detections, None)

    def _render(
        self, image: ImageArray, tracks: Tracks, detections: Detections | None, row: int | None
    ) -> Picture:
        """Anonymise, draw, scale, encode."""
        settings = self._settings
        scale = min(1.0, settings.max_width / image.shape[1])
        canvas = image
        if scale < 1.0:
            size = (settings.max_width, max(1, round(image.shape[0] * scale)))
            canvas = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        subject = None if row is None else int(tracks.labels[row])
        private = [tracks.boxes[self._private(tracks.labels, subject)]]
        if detections is not None:
            private.append(detections.boxes[self._private(detections.labels, subject)])
        boxes: FloatArray = np.concatenate(private) * np.float32(scale)
        canvas = anonymise(canvas, boxes, settings.privacy)
        if settings.draw:
            self._draw(canvas, tracks.boxes * np.float32(scale), tracks, row)
        return _encode(canvas, settings)

    def _private(self, labels: IntArray, subject: int | None) -> BoolArray:
        """(N,) what must not be recognised, in a picture of an object of class `subject` (None: of none)."""
        if self._settings.privacy_of == "others":
            return np.ones(len(labels), dtype=bool) if subject is None else labels != subject
        return self._people.rows(labels)

    def _draw(self, canvas: ImageArray, boxes: FloatArray, tracks: Tracks, row: int | None) -> None:
        height, width = canvas.shape[:2]
        for points in self._zones.values():
            corners = np.round(np.array(points) * (width, height)).astype(np.int32)
            cv2.polylines(canvas, [corners], True, _ZONE_COLOUR, 1, cv2.LINE_AA)
        if row is None:
            return
        left, top, right, bottom = (round(float(value)) for value in boxes[row])
        cv2.rectangle(canvas, (left, top), (right, bottom), _BOX_COLOUR, 2)
        label = int(tracks.labels[row])
        name = self._labels[label] if 0 <= label < len(self._labels) else str(label)
        text = f"{name} {float(tracks.scores[row]):.2f}"
        place = (max(0, left), max(12, top - 4))
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness, cv2.LINE_AA)


def _encode(canvas: ImageArray, settings: SnapshotSettings) -> Picture:
    """As JPEG of at most `max_bytes`: first with less quality, then smaller."""
    quality = settings.quality
    while True:
        done, encoded = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise ValueError(f"snapshot: expected a JPEG, got a fault for a picture of {canvas.shape}")
        if len(encoded) <= settings.max_bytes or min(canvas.shape[:2]) <= 16:
            return Picture(encoded.tobytes(), canvas.shape[1], canvas.shape[0])
        if quality > _LOWEST_QUALITY:
            quality = max(_LOWEST_QUALITY, quality - _QUALITY_STEP)
        else:
            half = (max(1, canvas.shape[1] // 2), max(1, canvas.shape[0] // 2))
            canvas = np.asarray(cv2.resize(canvas, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)
