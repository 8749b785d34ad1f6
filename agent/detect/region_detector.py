"""A detector that also looks at parts of the frame at their own resolution."""

from __future__ import annotations

import logging

import numpy as np

from agent.detect.detector import AreaFilter, Prepared
from agent.detect.device_status import DeviceStatus
from agent.detect.motion import MotionFinder
from agent.detect.region_merge import merge_views
from agent.detect.region_plan import RegionPlan, region_size
from agent.detect.settings import RegionSettings
from agent.detect.tflite_detector import TfliteDetector
from agent.records import Detections, Frame, IntArray

_log = logging.getLogger("edgetrack.detect")


class RegionDetector:
    """Runs a model on the whole frame and on a few regions of it, and joins what it finds.

    Args:
        whole: the detector of the whole frame; of any size of box.
        close: that of the regions, on the same model; its letterbox and buffers serve another thread.
        settings: which regions, and how many.
        area: keeps boxes of a wanted size.
        finder: of motion, for regions around it; None for a grid.
    """

    def __init__(
        self,
        whole: TfliteDetector,
        close: TfliteDetector,
        settings: RegionSettings,
        area: AreaFilter,
        finder: MotionFinder | None,
    ) -> None:
        self.labels: tuple[str, ...] = whole.labels
        self.score_levels = whole.score_levels
        self._whole = whole
        self._close = close
        self._settings = settings
        self._area = area
        self._finder = finder
        self._frame_size = (0, 0)
        self._plan: RegionPlan | None = None
        self._told = False

    @property
    def device_status(self) -> DeviceStatus | None:
        """That of the model."""
        return self._whole.device_status

    def prepare(self, frame: Frame) -> Prepared:
        """Letterbox the whole frame and find what moves in it; may run beside `invoke` and `decode`."""
        prepared = self._whole.prepare(frame)
        prepared.image = frame.image
        if self._finder is not None:
            prepared.motion = self._finder.boxes(frame)
        return prepared

    def invoke(self, prepared: Prepared) -> None:
        """Run the model on the whole frame, then on each region; each is a turn of its own at the model."""
        self._whole.invoke(prepared)
        image = prepared.image
        if image is None:
            raise ValueError("prepared: expected a frame from prepare(), got one that was decoded already")
        for region in self._regions(prepared):
            left, top, right, bottom = region.tolist()
            part = self._close.prepare(Frame(image[top:bottom, left:right], prepared.time_s, 0.0, 0))
            self._close.invoke(part)
            prepared.parts.append((region, part))

    def decode(self, prepared: Prepared) -> Detections:
        """What was found in any view, each object once, in px of the frame."""
        whole = self._whole.decode(prepared)
        parts, prepared.parts, prepared.image = prepared.parts, [], None
        found = []
        for region, part in parts:
            seen = self._close.decode(part)
            offset = np.tile(region[:2], 2).astype(np.float32)
            found.append(Detections(seen.boxes + offset, seen.scores, seen.labels))
        regions = np.array([region for region, _ in parts], np.int64).reshape(-1, 4)
        return self._area(merge_views(whole, regions, found, prepared.frame_size), prepared.frame_size)

    def detect(self, frame: Frame) -> Detections:
        """All three phases."""
        prepared = self.prepare(frame)
        self.invoke(prepared)
        return self.decode(prepared)

    def close(self) -> None:
        """Give back the model."""
        self._close.close()
        self._whole.close()

    def _regions(self, prepared: Prepared) -> IntArray:
        """(R, 4) where to look closer in this frame."""
        if prepared.frame_size != self._frame_size:
            self._frame_size = prepared.frame_size
            self._plan = self._new_plan(prepared.frame_size)
        if self._plan is None:
            return np.zeros((0, 4), np.int64)
        if self._settings.kind == "grid":
            return self._plan.next_tiles(prepared.time_s)
        targets = [boxes for boxes in (prepared.motion, prepared.expected) if boxes is not None]
        if not targets:
            return np.zeros((0, 4), np.int64)
        return self._plan.around(np.concatenate(targets), prepared.time_s)

    def _new_plan(self, frame_size: tuple[int, int]) -> RegionPlan | None:
        size = region_size(self._whole.input_size, frame_size, self._settings.zoom)
        if size is None and not self._told:
            self._told = True
            _log.warning(
                "detector.regions: expected a frame much larger than the model's %d x %d, got %d x %d; "
                "regions are left out; raise zoom to enlarge them",
                *self._whole.input_size,
                *frame_size,
            )
        return None if size is None else RegionPlan(frame_size, size, self._settings.max_regions)
