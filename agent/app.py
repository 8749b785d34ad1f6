"""The application: builds every stage from the configuration, starts them, stops them in order."""

from __future__ import annotations

import faulthandler
import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from agent.alerts.open_incidents import OpenIncidents
from agent.alerts.publisher import AlertPublisher, outbox_path
from agent.alerts.snapshot import SnapshotKeeper
from agent.alerts.topics import Topics
from agent.alerts.track_stream import TrackStream
from agent.assembly import build_pipeline, model_part
from agent.camera_status import PAUSED, CameraStatus
from agent.camera_threads import CameraThreads
from agent.config import CameraSettings, Config, load_config
from agent.config_check import check_config
from agent.detect.detector import open_detector
from agent.detect.device_status import log_status
from agent.detect.sharing import ModelPool
from agent.errors import BrokerError, EdgetrackError
from agent.observers import AnnotatedVideo, ProgressBars, Recorder
from agent.operations import Operations
from agent.pipeline import CameraPipeline, CameraSummary, Observer
from agent.records import Alert
from agent.rules.settings import rule_names
from agent.run_control import RunControl
from agent.service import CameraProgress, Notifier, ServiceWatch, configure_logging
from agent.web.memory import PageMemory
from agent.web.page import serving

log = logging.getLogger("edgetrack")
_STOP_S = 1.0
"""For the last alerts, and again for saying offline, so that a stop takes less than five seconds in all."""


def run_config(path: Path, *, annotate: Path | None, record: Path | None, progress: bool) -> None:
    """`edgetrack-agent run`: until stopped, or until every file has ended; prints a summary.

    On SIGHUP the configuration is taken anew. Should a new one pass its check and yet not start, the one
    before it goes on.

    Raises:
        EdgetrackError: nothing could be started, or a file broke in the middle.
    """
    configure_logging()
    notifier = Notifier()
    if notifier.watchdog_s is not None:
        faulthandler.enable()  # the watchdog's SIGABRT then shows where each thread hangs
    control = RunControl(lambda: check_config(path, tpu_in_use=True), notifier)
    config, last_good, page = load_config(path), None, PageMemory(path)
    with control.on_signals():
        while True:
            app = App(
                config,
                annotate=annotate,
                record=record,
                progress=progress,
                notifier=notifier,
                reload=control.reload,
                page=page,
                former=last_good,
            )
            try:
                summaries = app.run(control.stop)
            except EdgetrackError as error:
                if app.started or last_good is None:
                    raise
                log.error("%s; the old configuration goes on", error)  # noqa: TRY400 - the user's fault
                config, last_good = last_good, None
                continue
            new = control.take_new()
            if new is None:
                break
            config, last_good = new, config
            del app
            gc.collect()  # models and readers of the run before, which refer to each other
    for summary in summaries:
        print(
            f"{summary.camera}: {summary.frames} frames at {summary.fps:.1f}/s, {summary.dropped} dropped, "
            f"{summary.tracks} tracks, {summary.alerts} alerts"
        )


class App:
    """All cameras of one configuration, and the publisher that they share.

    Args:
        config: the whole configuration.
        annotate: folder for an annotated video of each camera, or None.
        record: folder for a recording of each camera, or None.
        progress: whether to show progress bars.
        console: where to show them; standard error when None.
        observers: called with every step of the camera of that name.
        drain_s: how long to wait for a broker that is slow or away when all files have ended; a stop takes
            its own, shorter time.
        notifier: the service manager, which is told when all cameras run and how they do.
        reload: checks and takes the configuration anew, for the command of that name.
        page: what the live page remembers over reloads.
        former: the configuration before a reload; what its device name retained is taken back.
    """

    def __init__(
        self,
        config: Config,
        *,
        annotate: Path | None = None,
        record: Path | None = None,
        progress: bool = False,
        console: Console | None = None,
        observers: Mapping[str, Sequence[Observer]] | None = None,
        drain_s: float = 5.0,
        notifier: Notifier | None = None,
        reload: Callable[[], None] | None = None,
        page: PageMemory | None = None,
        former: Config | None = None,
    ) -> None:
        self._config = config
        self._annotate = annotate
        self._record = record
        self._progress = progress
        self._console = console or Console(stderr=True)
        self._observers = observers or {}
        self._drain_s = drain_s
        self._notifier = notifier or Notifier({})
        self._reload = reload
        self._page = page
        self._former = former
        self._statuses: dict[str, CameraStatus] = {}
        self._models = ModelPool(log_status)
        self.started = False
        """Whether every stage could be opened."""

    def run(self, stop: threading.Event) -> list[CameraSummary]:
        """Run every camera in a thread of its own until `stop`, or until all sources have ended.

        The broker need not be there: alerts wait on the disk. What is wrong with it is logged at once, and,
        should alerts still wait at the end, raised.

        Raises:
            EdgetrackError: a stage cannot be opened, a file cannot be read to its end, or alerts still wait.
        """
        config = self._config
        with ExitStack() as stack:
            pipelines = []
            publisher = AlertPublisher(
                config.broker, config.outbox, config.device, config.home_assistant, config.frigate
            )
            if self._former is not None:
                publisher.take_back(Topics(self._former.broker.topic_root, self._former.device))
            stack.callback(lambda: publisher.close(_STOP_S if stop.is_set() else self._drain_s))
            bars = stack.enter_context(ProgressBars(self._console)) if self._progress else None
            outbox = outbox_path(config.outbox, config.device)
            incidents = OpenIncidents(outbox.with_name(f"incidents-{config.device}.json"))
            for name, camera in config.cameras.items():
                self._notifier.send("WATCHDOG=1")  # a device may take its time, and nobody else says so yet
                pipelines.append(self._build(name, camera, publisher, incidents, bars, stack))
            for name, end in incidents.interrupted(time.monotonic(), time.time()):
                with incidents.telling(name, end):
                    publisher.publish(end, name)
            operations = Operations(
                publisher,
                dict(zip(config.cameras, pipelines, strict=True)),
                config.cameras,
                outbox.with_name(f"rules-{config.device}.json"),
                self._reload,
                lambda camera, state: self._statuses[camera].set_state(state),
            )
            operations.prepare()
            publisher.start()
            by_name = dict(zip(config.cameras, pipelines, strict=True))
            for name, camera in config.cameras.items():
                begun = "connecting" if camera.live else "online"
                self._statuses[name].set_state(PAUSED if by_name[name].paused else begun)
            stack.enter_context(serving(config, by_name, lambda: publisher.stats, self._page, self._reload))
            threads = CameraThreads(pipelines, stop)
            cameras = [
                CameraProgress(pipeline, thread, config.cameras[pipeline.summary.camera])
                for pipeline, thread in zip(pipelines, threads.threads, strict=True)
            ]
            watch = ServiceWatch(self._notifier, cameras, lambda: publisher.stats)
            with threads.running():
                self.started = True
                with watch.running(), operations.running():
                    threads.join()
            for status in self._statuses.values():
                status.set_state("stopped")
            if not publisher.drain(_STOP_S if stop.is_set() else self._drain_s):
                undelivered = self._undelivered(publisher)
                if stop.is_set():  # asked for: that alerts wait for the next start is no failure then
                    log.warning("%s", undelivered)
                else:
                    threads.errors.append(undelivered)
        if threads.errors:
            raise threads.errors[0]
        return [pipeline.summary for pipeline in pipelines]

    def _build(
        self,
        name: str,
        camera: CameraSettings,
        publisher: AlertPublisher,
        incidents: OpenIncidents,
        bars: ProgressBars | None,
        stack: ExitStack,
    ) -> CameraPipeline:
        model = model_part(camera.detector)
        status = self._statuses[name] = CameraStatus(publisher, name)
        detector = open_detector(camera.detector, status.on_device, self._models)
        stack.callback(detector.close)
        rules = zip(rule_names(camera.rules), camera.rules, strict=True)
        pictured = {rule for rule, settings in rules if settings.snapshot}

        def publish(alert: Alert) -> None:
            picture = pipeline.picture_of(alert) if alert.rule in pictured else None
            snapshot = publisher.publish_snapshot(name, alert.rule, picture) if picture else None
            with incidents.telling(name, alert):
                publisher.publish(alert, name, model=model, snapshot=snapshot)

        zones = {zone: place.points for zone, place in camera.zones.items()}
        keeper = SnapshotKeeper(self._config.snapshots, detector.labels, zones) if pictured else None
        pipeline = build_pipeline(
            name,
            camera,
            publish=publish,
            on_status=status.on_source,
            detector=detector,
            snapshots=keeper,
        )
        stack.callback(pipeline.reader.close)
        observers, labels = pipeline.observers, detector.labels
        actions = pipeline.actions.labels if pipeline.actions else ()
        observers.extend(self._observers.get(name, ()))
        if camera.track_stream_per_s:
            observers.append(self._stream(name, camera, publisher, labels))
        if self._annotate is not None:
            video = AnnotatedVideo(
                self._annotate / f"{name}.mp4", camera, labels, pipeline.reader.fps, actions
            )
            observers.append(stack.enter_context(video))
        if self._record is not None:
            recorder = Recorder(self._record / f"{name}.ndjson", name, detector, actions)
            observers.append(stack.enter_context(recorder))
        if bars is not None:
            observers.append(bars.camera(name, pipeline.reader.frame_count))
        return pipeline

    def _stream(
        self, name: str, camera: CameraSettings, publisher: AlertPublisher, labels: tuple[str, ...]
    ) -> Observer:
        """What publishes the objects in sight of a camera."""
        topic, per_s = publisher.topics.tracks(name), camera.track_stream_per_s
        stream = TrackStream(
            self._config.device, name, labels, per_s, lambda payload: publisher.publish_stream(topic, payload)
        )
        return lambda step: stream.update(step.tracks, step.frame.time_s, step.frame.wall_s, step.frame.size)

    def _undelivered(self, publisher: AlertPublisher) -> BrokerError:
        stats, outbox = publisher.stats, outbox_path(self._config.outbox, self._config.device)
        return BrokerError(
            f"outbox {outbox}",
            f"expected the broker to take every alert, got {stats.queued} that still wait",
            f"they are sent at the next start ({stats.broker_error or 'the broker is slow'})",
        )
