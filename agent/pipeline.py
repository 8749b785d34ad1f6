"""One camera from picture to alert: reader → detector → tracker → rules → publish.

Together with `agent.app`, `agent.bench` and `agent.demo` this is where the stages meet; they never import
each other.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from agent.actions.recognizer import ActionRecognizer
from agent.alerts.snapshot import Picture, SnapshotKeeper
from agent.capture.reader import FrameReader
from agent.detect.detector import Detector, Prepared
from agent.detect.device_status import DeviceError
from agent.errors import EdgetrackError
from agent.records import Actions, Alert, Detections, FloatArray, Frame, Tracks, TrackState
from agent.rules.engine import RuleEngine
from agent.rules.masks import DetectionMasks
from agent.stage_times import StageTimes
from agent.track import Tracker


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one frame brought; handed to observers (annotation, recording, progress)."""

    frame: Frame
    detections: Detections
    tracks: Tracks
    alerts: tuple[Alert, ...]
    actions: Actions | None = None
    """What the tracks do; None where nobody looks."""


_LONGEST_FORECAST_S = 1.0
_ON_ITS_WAY_S = 1.0
"""A frame that a live camera has taken arrives within this time."""
Observer = Callable[[Step], None]
T = TypeVar("T")


@dataclass(slots=True)
class CameraSummary:
    """What a camera did, for the summary at the end and for `health`."""

    camera: str
    frames: int = 0
    dropped: int = 0
    """Frames of a live source that newer ones overtook, or that came while the model's device was lost."""
    detections: int = 0
    tracks: int = 0
    alerts: int = 0
    busy_s: float = 0.0
    """Wall-clock seconds between the first frame and the last."""

    @property
    def fps(self) -> float:
        """Frames per second of wall-clock time."""
        return self.frames / self.busy_s if self.busy_s > 0 else 0.0


class CameraPipeline:
    """Runs one camera in the thread that calls `run`.

    The reader's own thread captures and letterboxes the next frame meanwhile, so that a frame costs hardly
    more than the model's invoke().

    Args:
        camera: name in the configuration.
        reader: hands over (frame, prepared) pairs; `prepare` of `detector` runs in its thread.
        detector, masks, tracker, rules: the stages; their state belongs to this pipeline.
        publish: takes each alert; returns when it is safe on disk.
        snapshots: keeps the best picture of each track, where a rule asks for pictures.
        times: receives the duration of each stage.
        actions: names what tracks do; None where nobody asked.

    `observers` are called with every step, after its alerts are safe.
    """

    def __init__(
        self,
        camera: str,
        *,
        reader: FrameReader[Prepared],
        detector: Detector,
        masks: DetectionMasks,
        tracker: Tracker,
        rules: RuleEngine,
        publish: Callable[[Alert], object],
        times: StageTimes,
        snapshots: SnapshotKeeper | None = None,
        actions: ActionRecognizer | None = None,
    ) -> None:
        self.summary = CameraSummary(camera)
        self.observers: list[Observer] = []
        self.turns = 0
        """How often the loop of `run` has turned: at least every half second, also without frames."""
        self.unseen = 0
        """Frames of a live source that came while the model's device was lost: nothing is known of them."""
        self.times = times
        self.reader = reader
        self._detector = detector
        self._masks = masks
        self._tracker = tracker
        self.actions = actions
        self.rules = rules
        self.in_sight = 0
        """Confirmed tracks that were matched in the last frame."""
        self.paused = False
        """While true, frames are taken and not looked at."""
        self.min_score = 0.0
        """Detections below it are ignored, on top of what the detector leaves out."""
        self.snapshots = snapshots
        self.latest: tuple[Frame, Detections, Tracks] | None = None
        """The last frame that was looked at, where pictures are kept."""
        self._publish = publish
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._tracks, self._tracks_s = Tracks.empty(), 0.0
        self._counted: set[int] = set()
        """Living tracks that `summary.tracks` has counted."""

    def picture_of_now(self) -> Picture:
        """The scene as it was last looked at, anonymised; call it in the camera's thread.

        Raises:
            EdgetrackError: there was no frame yet, or pictures are not kept.
        """
        if self.snapshots is None or self.latest is None:
            raise EdgetrackError(
                f"camera {self.summary.camera}",
                "expected a frame and a rule with `snapshot: true`, got none",
            )
        frame, detections, tracks = self.latest
        return self.snapshots.picture_of_scene(frame.image, tracks, detections)

    def picture_of(self, alert: Alert) -> Picture | None:
        """The best picture of an alert's track, else of the scene; None before the first frame."""
        if self.snapshots is None or self.latest is None:
            return None
        picture = self.snapshots.picture_of(alert.track.id) if alert.track is not None else None
        return picture or self.picture_of_now()

    def call(self, action: Callable[[], T], timeout_s: float = 5.0) -> T:
        """Do something between two frames, in the camera's thread; at once when that is not running.

        Raises:
            EdgetrackError: the camera is at one frame for longer than `timeout_s`; nothing is done, also not
                later.
        """
        future = self.post(action)
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            if not future.cancel():  # begun: what it does is soon done
                return future.result()
            name = f"camera {self.summary.camera}"
            raise EdgetrackError(
                name, f"expected it to answer within {timeout_s:g} s, got nothing"
            ) from error

    def post(self, action: Callable[[], T]) -> Future[T]:
        """Have something done before the next frame, in the camera's thread, however long this one takes."""
        future: Future[T] = Future()
        self._calls.put((action, future))
        if self._ended.is_set() or not self.turns:
            self._answer_calls()
        return future

    def _answer_calls(self) -> None:
        while True:
            try:
                action, future = self._calls.get_nowait()
            except queue.Empty:
                return
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(action())
            except Exception as error:  # noqa: BLE001 - raised again where it was asked for
                future.set_exception(error)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of the detector."""
        return self._detector.labels

    @property
    def device_state(self) -> str | None:
        """State of the device that the model runs on; None where it is this process's CPU."""
        status = self._detector.device_status
        return str(status.state) if status else None

    def run(self, stop: threading.Event) -> CameraSummary:
        """Work until the source ends or `stop` is set; incidents that are open then are ended.

        Raises:
            SourceError: a file or folder cannot be read, or breaks in the middle. Live cameras are reopened
                instead.
            DeviceError: the model's device is lost, and the source is a file. Live cameras go on without.
        """
        summary, last_time_s, last_wall_s = self.summary, 0.0, 0.0
        started: float | None = None
        try:
            while not stop.is_set():
                self.turns += 1
                self._answer_calls()
                item = self.reader.get(timeout_s=0.5)
                if item is None:
                    if self.reader.ended:
                        break
                    if self.reader.live:
                        self._see_nothing(time.monotonic() - _ON_ITS_WAY_S)
                    continue
                if started is None:
                    started = time.perf_counter()
                frame, prepared = item
                if self.paused:
                    self._see_nothing(frame.time_s)
                    continue
                try:
                    self._step(frame, prepared)
                except DeviceError:  # reported by the detector, whose device is tried again meanwhile
                    if not self.reader.live:
                        raise
                    self.unseen += 1
                    self._see_nothing(frame.time_s)
                last_time_s, last_wall_s = frame.time_s, frame.wall_s
                summary.busy_s = time.perf_counter() - started
                summary.dropped = self.reader.dropped + self.unseen
        finally:
            self.reader.close()
            if summary.frames:
                for alert in self.rules.close(last_time_s, last_wall_s):
                    summary.alerts += 1
                    self._publish(alert)
            self._ended.set()
            self._answer_calls()
        return summary

    def _see_nothing(self, time_s: float) -> None:
        """No frame, or none that may be looked at: what lasts cannot last for ever."""
        for alert in self.rules.look_for_nothing(time_s):
            self.summary.alerts += 1
            self._publish(alert)
        if not self.rules.objects:
            self.in_sight = 0

    def _expected_boxes(self, time_s: float) -> FloatArray | None:
        """(N, 4) where the tracks should be by now, lost ones too."""
        tracks = self._tracks
        if not len(tracks):
            return None
        shift = tracks.velocities * np.float32(min(time_s - self._tracks_s, _LONGEST_FORECAST_S))
        boxes: FloatArray = (tracks.boxes + np.concatenate([shift, shift], axis=1))[
            tracks.states != TrackState.REMOVED
        ]
        return boxes

    def _step(self, frame: Frame, prepared: Prepared) -> None:
        times, summary = self.times, self.summary
        prepared.expected = self._expected_boxes(frame.time_s)
        with times.measure("invoke"):
            self._detector.invoke(prepared)
        with times.measure("decode"):
            detections = self._masks.apply(self._detector.decode(prepared), frame.size)
            if self.min_score:
                detections = detections[detections.scores >= self.min_score]
        with times.measure("track"):
            tracks = self._tracker.update(detections, frame.time_s, frame.size, frame.image)
            self._tracks, self._tracks_s = tracks, frame.time_s
        actions = None
        if self.actions is not None:
            with times.measure("actions"):
                actions = self.actions.update(tracks, frame.time_s, frame.size)
        with times.measure("rules"):
            alerts = tuple(self.rules.update(tracks, frame.time_s, frame.wall_s, frame.size, actions))
        with times.measure("publish"):
            if self.snapshots is not None:
                self.latest = (frame, detections, tracks)
                self.snapshots.update(frame.image, tracks, detections)
            for alert in alerts:
                self._publish(alert)
        summary.frames += 1
        summary.detections += len(detections)
        summary.alerts += len(alerts)
        confirmed = set(tracks.ids[tracks.states == TrackState.CONFIRMED].tolist())
        summary.tracks += len(confirmed - self._counted)
        self._counted = (self._counted | confirmed) & set(tracks.ids.tolist())
        self.in_sight = len(confirmed)
        if self.observers:
            step = Step(frame, detections, tracks, alerts, actions)
            for observer in self.observers:
                observer(step)
