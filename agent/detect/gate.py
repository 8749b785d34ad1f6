"""A detector that rests while nothing moves."""

from __future__ import annotations

from agent.detect.detector import Detector, Prepared
from agent.detect.device_status import DeviceStatus
from agent.detect.motion import MotionFinder
from agent.detect.settings import GateSettings
from agent.records import Detections, Frame

_MOST_AHEAD = 16
"""More frames than ever wait between `prepare` and `decode`; once that many came, nobody decodes."""


class GatedDetector:
    """Lets motion decide whether the model looks at a frame; a still picture keeps its last detections.

    Args:
        detector: of a model without states, since it does not see every frame.
        settings: hold and refresh times.
        finder: of motion.
    """

    def __init__(self, detector: Detector, settings: GateSettings, finder: MotionFinder) -> None:
        self.labels: tuple[str, ...] = detector.labels
        self.score_levels = detector.score_levels
        self._detector = detector
        self._settings = settings
        self._finder = finder
        self._moved_s: float | None = None
        self._looked_s: float | None = None
        """Time of the last frame that the model's detections are known of; some that were prepared never come
        so far: while newer ones overtake them, or while the camera is paused."""
        self._asked_s: float | None = None
        """Time of the last frame that was prepared for the model, unless it is known to have been dropped."""
        self._prepared = 0
        self._answered = 0
        """How many frames were prepared, and how many had been when one was decoded."""
        self._last = Detections.empty()

    @property
    def device_status(self) -> DeviceStatus | None:
        """That of the model."""
        return self._detector.device_status

    def prepare(self, frame: Frame) -> Prepared:
        """Prepare the frame for the model when something moves, moved lately, or it is time for a look.

        What moved in a frame that the model did not get to see is looked for once that is known: with the
        next frame after a pause, or the next but one after a frame that was overtaken. So a file's frames
        are the same ones at any speed.
        """
        if self._finder.moving(frame):
            self._moved_s = frame.time_s
        self._prepared += 1
        waits = self._prepared - self._answered <= _MOST_AHEAD
        looked_s, moved_s = self._asked_s if waits else self._looked_s, self._moved_s
        due = looked_s is None or frame.time_s - looked_s >= self._settings.refresh_s
        if looked_s is not None and moved_s is not None:
            due = due or frame.time_s - moved_s <= self._settings.hold_s or moved_s > looked_s
        if not due:
            return Prepared(frame.size, frame.time_s)
        self._asked_s = frame.time_s
        return self._detector.prepare(frame)

    def invoke(self, prepared: Prepared) -> None:
        """Run the model, unless it may rest."""
        if prepared.input is not None:
            self._detector.invoke(prepared)

    def decode(self, prepared: Prepared) -> Detections:
        """The model's detections, or the last ones when it rested."""
        if prepared.input is not None:
            self._last = self._detector.decode(prepared)
            self._looked_s = prepared.time_s
        asked_s = self._asked_s
        if asked_s is not None and prepared.time_s > asked_s and self._looked_s != asked_s:
            self._asked_s = self._looked_s  # it was dropped on its way
        self._answered = self._prepared
        return self._last

    def detect(self, frame: Frame) -> Detections:
        """All three phases."""
        prepared = self.prepare(frame)
        self.invoke(prepared)
        return self.decode(prepared)

    def close(self) -> None:
        """Give back what the model holds."""
        self._detector.close()
