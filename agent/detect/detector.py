"""What a detector is: three phases, so that the next frame is prepared while the model looks at this one."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.detect.device_status import DeviceState, DeviceStatus, OnDevice
from agent.detect.settings import DetectorSettings, RegionSettings
from agent.errors import ConfigError, ModelError
from agent.geometry.boxes import areas
from agent.records import Detections, FloatArray, Frame, ImageArray, IntArray
from agent.vision.letterbox import Placement

if TYPE_CHECKING:
    from agent.detect.motion import MotionFinder
    from agent.detect.sharing import ModelPool
    from agent.detect.tflite_detector import TfliteDetector

_DECISION_S = 90.0  # within which it is known whether a device starts: longer than that may take


class Prepared:
    """A frame on its way through a detector.

    Args:
        frame_size: (width, height) in px.
        time_s: of the frame.
    """

    __slots__ = (
        "detections",
        "expected",
        "frame_size",
        "image",
        "input",
        "motion",
        "outputs",
        "parts",
        "placement",
        "time_s",
    )

    def __init__(self, frame_size: tuple[int, int], time_s: float) -> None:
        self.frame_size = frame_size
        self.time_s = time_s
        self.placement: Placement | None = None
        self.input: NDArray[Any] | None = None
        """The model's input, written by `prepare`; None when the model need not look at this frame."""
        self.outputs: list[NDArray[Any]] = []
        """Copies of the model's outputs, made by `invoke`."""
        self.detections: Detections | None = None
        """Set by detectors that find them earlier than in `decode`."""
        self.expected: FloatArray | None = None
        """(N, 4) xyxy px: where known objects should be in this frame; set by who follows them, before
        `invoke`."""
        self.motion: FloatArray | None = None
        """(N, 4) xyxy px: what moves in the frame, where that was looked for."""
        self.image: ImageArray | None = None
        """The frame itself, where regions of it may be looked at."""
        self.parts: list[tuple[IntArray, Prepared]] = []
        """Regions, (4,) xyxy px, that the model looked at beside the whole frame."""


class Detector(Protocol):
    """Frames in, detections out. `detect` is `prepare`, `invoke` and `decode` in turn.

    `prepare` may run in another thread than `invoke` and `decode`, some frames ahead; frames are passed to
    each phase in their order. A prepared frame may be dropped between phases.
    """

    labels: tuple[str, ...]
    """Names of the classes, in the order of their ids."""
    score_levels: tuple[float, float, float]
    """Scores from which a detection may continue a track, is trusted, and may start one."""

    @property
    def device_status(self) -> DeviceStatus | None:
        """The last report of the device; None where the model runs in this process."""
        ...

    def prepare(self, frame: Frame) -> Prepared:
        """Bring a frame into the form that the model takes."""
        ...

    def invoke(self, prepared: Prepared) -> None:
        """Run the model."""
        ...

    def decode(self, prepared: Prepared) -> Detections:
        """Read the detections, in px of the frame."""
        ...

    def detect(self, frame: Frame) -> Detections:
        """All three phases."""
        ...

    def close(self) -> None:
        """Give back what it holds: devices, processes."""
        ...


class AreaFilter:
    """Keeps boxes of a wanted size.

    Args:
        min_area, max_area: as fractions of the picture.
    """

    def __init__(self, min_area: float, max_area: float) -> None:
        self._min_area = min_area
        self._max_area = max_area

    def __call__(self, detections: Detections, frame_size: tuple[int, int]) -> Detections:
        """The detections whose box has a wanted size and any area at all."""
        parts: FloatArray = areas(detections.boxes) / np.float32(frame_size[0] * frame_size[1])
        kept = (parts > 0) & (parts >= self._min_area) & (parts <= self._max_area)
        return detections if kept.all() else detections[kept]


def open_detector(
    settings: DetectorSettings, on_device: OnDevice | None = None, models: ModelPool | None = None
) -> Detector:
    """The detector that the settings ask for.

    Args:
        settings: a camera's.
        on_device: told when an Edge TPU is lost, which the CPU then stands in for, and when it is back;
            without it that is logged.
        models: those of all cameras; without it the detector's model is its own.

    Raises:
        ModelError: the model, its spec, its labels or the runtime do not fit.
        ConfigError: a gate stands before a recurrent model, or regions are asked of one.
    """
    # Imported here so that a camera with a motion detector loads no runtime for models.
    from agent.detect.motion import MotionDetector, MotionFinder

    if settings.kind == "motion":
        return MotionDetector(settings)
    from agent.detect.gate import GatedDetector
    from agent.detect.tflite_detector import TfliteDetector

    if settings.gate is None and settings.regions is None:
        return TfliteDetector(settings, on_device, models)
    detector: Detector
    if settings.regions is None:
        detector = _stateless(TfliteDetector(settings, on_device, models), "gate")
        finder = MotionFinder(settings.motion)
    else:
        detector, finder = _open_regions(settings, settings.regions, on_device, models)
    return detector if settings.gate is None else GatedDetector(detector, settings.gate, finder)


def _open_regions(
    settings: DetectorSettings, regions: RegionSettings, on_device: OnDevice | None, models: ModelPool | None
) -> tuple[Detector, MotionFinder]:
    """A detector that looks at regions too, and what finds motion for it and for a gate."""
    from agent.detect.motion import MotionFinder
    from agent.detect.region_detector import RegionDetector
    from agent.detect.sharing import ModelPool
    from agent.detect.tflite_detector import TfliteDetector

    models = models or ModelPool()
    any_size = settings.model_copy(update={"min_area": 0.0, "max_area": 1.0})
    whole = _stateless(TfliteDetector(any_size, on_device, models), "regions")
    close = TfliteDetector(any_size, None, models)
    finder = MotionFinder(settings.motion, regions.min_motion_area)
    area = AreaFilter(settings.min_area, settings.max_area)
    around = finder if regions.kind == "motion" else None
    return RegionDetector(whole, close, regions, area, around), finder


def _stateless(detector: TfliteDetector, setting: str) -> TfliteDetector:
    """The detector, if its model may miss frames and see parts of them.

    Raises:
        ConfigError: it may not.
    """
    if not detector.spec.states:
        return detector
    detector.close()
    raise ConfigError(
        f"detector.{setting}",
        f"expected a model without states, {detector.spec.name} feeds outputs back to inputs",
        f"leave {setting} out: a recurrent model must see every frame, and whole ones",
    )


def probe_detector(settings: DetectorSettings) -> Detector:
    """Open a detector with its model in a process of its own, whatever `isolate` says, and try it once.

    For checks: a file that crashes the native parser is contained, and a device that does not start is an
    error although the CPU could stand in for it.

    Raises:
        ModelError, ConfigError: as `open_detector`; or the device does not start.
    """
    reports: queue.SimpleQueue[DeviceStatus] = queue.SimpleQueue()
    isolated = settings if settings.isolate == "never" else settings.model_copy(update={"isolate": "always"})
    detector = open_detector(isolated, reports.put)
    if settings.kind == "motion" or settings.device == "cpu" or settings.isolate == "never":
        return detector
    # With a CPU model to begin with, the device may still be starting: its own deadline ends that.
    try:
        found = [reports.get(timeout=_DECISION_S)]
    except queue.Empty:
        detector.close()
        raise ModelError(
            f"device {settings.device}", "expected it to start or to fail, got neither"
        ) from None
    while not reports.empty():
        found.append(reports.get())
    for status in found:
        if status.state is not DeviceState.ONLINE:
            detector.close()
            where, _, problem = status.reason.partition(": ")
            raise ModelError(where, problem)
    return detector
