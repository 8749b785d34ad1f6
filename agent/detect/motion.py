"""Objects without a model: whatever moves against the background."""

from __future__ import annotations

import cv2
import numpy as np

from agent.detect.background import Background
from agent.detect.detector import AreaFilter, Prepared
from agent.detect.settings import DetectorSettings, MotionSettings
from agent.geometry.boxes import areas
from agent.records import Detections, FloatArray, Frame, ImageArray

LABEL = "motion"
SCORE_LEVELS = (0.5, 0.5, 0.5)
"""Whatever moves and is large enough is an object."""
_MIN_FILL = 0.15  # of a box: what holds less moving pixels is noise strung together
_STACK_GAP = 0.08  # of the height of both together, between parts of one object above each other
_MOST_PARTS = 50  # more are rain or noise, and cost the square of their number
_STACK_OVERLAP = 0.5  # of the narrower one's width, that parts of one object share


class MotionFinder:
    """Boxes around what moves in the frames of one camera. Keeps a background, so frames come in order.

    Args:
        settings: see `MotionSettings`.
        least_area: smaller boxes than the settings ask for are given from this fraction of the picture up;
            `moving` goes by the settings.
    """

    def __init__(self, settings: MotionSettings, least_area: float = 1.0) -> None:
        self._settings = settings
        self._least_area = min(least_area, settings.min_area)
        self._last: tuple[float, FloatArray] | None = None
        self._background: Background | None = None
        self._small: ImageArray | None = None
        self._speck = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
        self._reach = 1
        self._bridge = self._speck

    def shrink(self, image: ImageArray) -> ImageArray:
        """A frame at the size at which motion is looked for; frames that are small enough as they are."""
        height, width = image.shape[:2]
        if width <= self._settings.width:
            return image
        # Averaging whole blocks is several times faster than a broken ratio.
        factor = -(-width // self._settings.width)
        size = (max(width // factor, 1), max(height // factor, 1))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def find(self, small: ImageArray, time_s: float, frame_size: tuple[int, int]) -> Detections:
        """Boxes of one frame.

        Args:
            small: from `shrink`.
            time_s: of the frame.
            frame_size: (width, height) in px of the frame itself.

        Returns:
            Boxes in px of the frame; the score is 0.5 to 1 with the share of the box that moves.
        """
        background = self._background_for(small)
        mask = background.apply(small, time_s)
        if time_s - background.started_s < self._settings.warm_up_s:
            return Detections.empty()
        cv2.morphologyEx(mask, cv2.MORPH_OPEN, self._speck, mask)
        changed = cv2.countNonZero(mask)
        if changed > self._settings.max_change * mask.size:
            background.start_over()
            return Detections.empty()
        if not changed:
            return Detections.empty()
        return self._boxes(mask, frame_size)

    def boxes(self, frame: Frame) -> FloatArray:
        """What moves in a frame: (N, 4) xyxy px. May be asked twice for the last frame."""
        if self._last is None or self._last[0] != frame.time_s:
            found = self.find(self.shrink(frame.image), frame.time_s, frame.size)
            self._last = frame.time_s, found.boxes
        return self._last[1]

    def moving(self, frame: Frame) -> bool:
        """Whether anything moves in a frame that is large enough; for use as a gate."""
        least = self._settings.min_area * frame.size[0] * frame.size[1]
        return bool((areas(self.boxes(frame)) >= least * (1 - 1e-5)).any())

    def _background_for(self, small: ImageArray) -> Background:
        """The background model, a new one when the pictures have another size."""
        size = (small.shape[1], small.shape[0])
        if self._background is None or self._background.size != size:
            self._background = Background(self._settings, size)
            # Dilation by r on both sides bridges gaps of 2 r.
            self._reach = max(round(self._settings.merge_gap * size[0] / 2), 0)
            side = 2 * self._reach + 1
            self._bridge = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
        return self._background

    def _boxes(self, mask: ImageArray, frame_size: tuple[int, int]) -> Detections:
        """Boxes around the parts of the mask, those that nearly touch taken together."""
        height, width = mask.shape
        joined = cv2.dilate(mask, self._bridge)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        if count < 2:
            return Detections.empty()
        left, top, wide, high = (stats[1:, column].astype(np.float32) for column in range(4))
        boxes: FloatArray = np.stack([left, top, left + wide, top + high], axis=1)
        # Give back what dilation added, except at the picture's edge, where it could add nothing.
        limits = np.array([width, height, width, height], np.float32)
        inner = np.array([1, 1, -1, -1], np.float32) * self._reach
        at_edge = (boxes == 0) | (boxes == limits)
        boxes += np.where(at_edge, np.float32(0), inner)
        moving = np.bincount(parts[mask > 0], minlength=count)[1:]
        box_areas = np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1.0)
        fill = np.minimum(moving / box_areas, 1.0).astype(np.float32)
        kept = (box_areas >= self._least_area * mask.size) & (fill >= _MIN_FILL)
        boxes, moved = join_parts(boxes[kept], moving[kept].astype(np.float32))
        fill = np.minimum(moved / np.maximum(areas(boxes), 1.0), 1.0).astype(np.float32)
        scale = np.array([frame_size[0] / width, frame_size[1] / height] * 2, np.float32)
        boxes = boxes * scale
        return Detections(boxes, 0.5 + fill / 2, np.zeros(len(boxes), np.int64))


def join_parts(boxes: FloatArray, moving: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Join boxes that are parts of one object: one inside another, or one closely above another.

    An edge of the background behind a person cuts a figure across, so that head, body and legs come apart.
    What stands side by side with a gap stays apart.

    Args:
        boxes: (N, 4) float32, xyxy.
        moving: (N,) float32, moving pixels in each.

    Returns:
        (M, 4) and (M,) float32, M <= N: boxes around the parts, and the sums of their pixels.
    """
    while 1 < len(boxes) <= _MOST_PARTS:
        low, high = boxes[:, None], boxes[None]
        wide = boxes[:, 2] - boxes[:, 0]
        shared = np.minimum(low[..., 2:], high[..., 2:]) - np.maximum(low[..., :2], high[..., :2])
        together = np.maximum(low[..., 3], high[..., 3]) - np.minimum(low[..., 1], high[..., 1])
        across = shared[..., 0] >= _STACK_OVERLAP * np.minimum(wide[:, None], wide[None])
        near = -shared[..., 1] <= _STACK_GAP * together
        one = np.triu(across & near, 1)
        if not one.any():
            break
        first, second = np.argwhere(one)[0]
        boxes[first, :2] = np.minimum(boxes[first, :2], boxes[second, :2])
        boxes[first, 2:] = np.maximum(boxes[first, 2:], boxes[second, 2:])
        moving[first] += moving[second]
        boxes, moving = np.delete(boxes, second, axis=0), np.delete(moving, second)
    return boxes, moving


class MotionDetector:
    """The motion finder behind a detector's three phases.

    Args:
        settings: of kind motion.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        self.labels: tuple[str, ...] = (LABEL,)
        self.score_levels = SCORE_LEVELS
        self._finder = MotionFinder(settings.motion)
        self._area = AreaFilter(settings.min_area, settings.max_area)
        self._min_score = settings.min_score_by_label.get(LABEL, settings.min_score or 0.0)

    @property
    def device_status(self) -> None:
        """None: it needs no device."""
        return

    def prepare(self, frame: Frame) -> Prepared:
        """Reduce a frame; may run beside `invoke` and `decode`."""
        prepared = Prepared(frame.size, frame.time_s)
        prepared.input = self._finder.shrink(frame.image)
        return prepared

    def invoke(self, prepared: Prepared) -> None:
        """Compare the frame with the background and learn it."""
        if prepared.input is None:
            raise ValueError("prepared: expected a frame from prepare(), got one that was decoded already")
        prepared.detections = self._finder.find(prepared.input, prepared.time_s, prepared.frame_size)

    def decode(self, prepared: Prepared) -> Detections:
        """The boxes of a wanted size and score, in px of the frame."""
        if prepared.detections is None:
            raise ValueError("prepared: expected a frame from invoke(), got one that never was there")
        found, prepared.input, prepared.detections = prepared.detections, None, None
        return self._area(found[found.scores >= self._min_score], prepared.frame_size)

    def detect(self, frame: Frame) -> Detections:
        """All three phases."""
        prepared = self.prepare(frame)
        self.invoke(prepared)
        return self.decode(prepared)

    def close(self) -> None:
        """Nothing to give back."""
