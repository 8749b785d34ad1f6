"""`edgetrack-agent bench --soak SECONDS`: the whole pipeline for that long, and whether anything grows."""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.assembly import build_pipeline
from agent.camera_threads import CameraThreads
from agent.capture.looped import LoopedSource
from agent.capture.source import Source
from agent.config import CameraSettings
from agent.detect.sharing import ModelPool
from agent.detect.tflite_detector import TfliteDetector
from agent.doctor.machine import run_tool
from agent.footprint import Footprint, footprint, machine_name, peak_rss_mb
from agent.pipeline import CameraPipeline, Step
from agent.stage_times import STAGES

_MOST_SAMPLES = 600
_BARE_EVERY_S = 3.0
_BARE_INVOCATIONS = 10
_SHORTEST_S = 59.0  # a slope over less says nothing
_WARM_UP = 1 / 3  # of the samples: what is still filling its buffers then is no leak
_WORK = STAGES[STAGES.index("invoke") :]  # what comes before runs in the reader's thread


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """How to soak.

    Args:
        seconds: for how long.
        cameras: that look at the source, each in a thread of its own, on one model.
        paced: whether a file comes at its own rate; else as fast as it is looked at.
    """

    seconds: float
    cameras: int = 1
    paced: bool = False


class Durations:
    """A histogram of durations with steps of one percent: its memory does not grow with what it counts."""

    _LEAST_S, _STEP, _BINS = 1e-5, 1.01, 1700  # to 220 s

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(self._BINS, np.int64)

    def add(self, duration_s: float) -> None:
        """Count one."""
        place = np.log(max(duration_s, self._LEAST_S) / self._LEAST_S) / np.log(self._STEP)
        self._counts[min(int(place), self._BINS - 1)] += 1

    @classmethod
    def quantiles_ms(cls, parts: Sequence[Durations], quantiles: Sequence[float]) -> list[float]:
        """Quantiles of all of them together, within a percent; zeros when nothing was counted."""
        counts = np.sum([part._counts for part in parts], axis=0).cumsum()
        places = np.searchsorted(counts, np.array(quantiles) * counts[-1])
        middle = cls._LEAST_S * cls._STEP ** (places + 0.5) if counts[-1] else np.zeros(len(quantiles))
        return [round(float(value) * 1e3, 2) for value in middle]


class _Watched:
    """An observer that notes how long a camera's thread worked on each frame, its wait for the model too."""

    def __init__(self, pipeline: CameraPipeline) -> None:
        self.pipeline = pipeline
        self.work = Durations()

    def __call__(self, _: Step) -> None:
        self.work.add(self.pipeline.times.last_s(_WORK))


def soak_pipeline(
    settings: CameraSettings, options: SoakOptions, console: Console, *, as_json: bool = False
) -> None:
    """Run cameras on one model and print frames/s, the time of frames, and what the process took.

    Args:
        settings: of each camera.
        options: for how long, how many, how fast.
        console: for the table.
        as_json: one line of JSON on standard output instead.

    Raises:
        EdgetrackError: the model or the source; or a camera ended early.
    """
    with tempfile.TemporaryDirectory() as folder:
        outbox = OutboxSettings(path=Path(folder) / "outbox.sqlite")
        publisher = AlertPublisher(BrokerSettings(), outbox, "bench")
        pool = ModelPool()
        detectors: list[TfliteDetector] = []
        try:
            detectors.extend(TfliteDetector(settings.detector, None, pool) for _ in range(options.cameras))
            watched = [
                _Watched(_camera(f"camera{number}", settings, options, detector, publisher))
                for number, detector in enumerate(detectors)
            ]
            report = _Soak(settings, options, watched, detectors[0]).run()
        finally:
            for detector in detectors:
                detector.close()
            publisher.close(timeout_s=0.0)
    if as_json:
        print(json.dumps(report))
    else:
        _print_table(report, console)


def _camera(
    name: str,
    settings: CameraSettings,
    options: SoakOptions,
    detector: TfliteDetector,
    publisher: AlertPublisher,
) -> CameraPipeline:
    def open_camera() -> Source:
        return LoopedSource(settings, paced=options.paced)

    return build_pipeline(
        name,
        settings,
        publish=lambda alert: publisher.publish(alert, name),
        detector=detector,
        open_camera=open_camera,
    )


class _Soak:
    """One run: cameras in threads of their own, looked at from this one."""

    def __init__(
        self,
        settings: CameraSettings,
        options: SoakOptions,
        watched: Sequence[_Watched],
        detector: TfliteDetector,
    ) -> None:
        self._settings, self._options = settings, options
        self._watched = watched
        self._detector = detector
        self._stop = threading.Event()
        self._threads = CameraThreads([each.pipeline for each in watched], self._stop)
        for each in watched:
            each.pipeline.observers.append(each)
        self._bare_s: list[float] = []
        self._bare_wall_s = self._bare_cpu_s = 0.0
        self._samples: list[Footprint] = []

    def run(self) -> dict[str, Any]:
        """Soak, and tell.

        Raises:
            EdgetrackError: a camera failed.
        """
        with self._threads.running():
            while self._frames < len(self._watched) and self._going_on:
                self._stop.wait(0.01)
            first = footprint()
            frames = self._frames
            self._watch(first)
            last, frames = self._samples[-1], self._frames - frames
            self._stop.set()
            self._threads.join()
        if self._threads.errors:
            raise self._threads.errors[0]
        return self._report(first, last, frames)

    @property
    def _frames(self) -> int:
        return sum(each.pipeline.summary.frames for each in self._watched)

    @property
    def _going_on(self) -> bool:
        return not self._stop.is_set() and all(thread.is_alive() for thread in self._threads.threads)

    def _watch(self, first: Footprint) -> None:
        """Look at the process now and then, with bare invocations between, until the time is over."""
        end_s = first.time_s + self._options.seconds
        sample_every_s = max(0.2, self._options.seconds / _MOST_SAMPLES)
        sample_s, bare_s = first.time_s, first.time_s
        self._samples.append(first)
        while (now_s := time.monotonic()) < end_s and self._going_on:
            if now_s >= bare_s:
                self._invoke_alone()
                bare_s = now_s + _BARE_EVERY_S
            sample_s = max(sample_s + sample_every_s, now_s)
            self._stop.wait(min(sample_s, end_s) - now_s)
            self._samples.append(footprint())

    def _invoke_alone(self) -> None:
        """Time the model alone, the cameras waiting for it meanwhile."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        self._bare_s.append(self._detector.time_invoke_s(_BARE_INVOCATIONS))
        self._bare_wall_s += time.perf_counter() - wall_s
        self._bare_cpu_s += time.process_time() - cpu_s

    def _report(self, first: Footprint, last: Footprint, frames: int) -> dict[str, Any]:
        seconds = last.time_s - first.time_s - self._bare_wall_s
        fps, bare_s = frames / seconds, statistics.median(self._bare_s)
        cpu_s = last.cpu_s - first.cpu_s
        p50, p95, p99 = Durations.quantiles_ms([each.work for each in self._watched], (0.5, 0.95, 0.99))
        summaries = [each.pipeline.summary for each in self._watched]
        temperatures = [sample.temperature_c for sample in self._samples if sample.temperature_c is not None]
        others_s = last.machine_cpu_s - first.machine_cpu_s - cpu_s
        runner = self._detector.interpreter
        return {
            "machine": machine_name(),
            "python": platform.python_version(),
            "runtime": runner.runtime,
            "device": self._settings.detector.device,
            "threads_of_model": self._settings.detector.threads,
            "model": runner.path.name,
            "source": self._settings.shown_source,
            "rate": "source" if self._options.paced or self._settings.live else "full speed",
            "cameras": self._options.cameras,
            "seconds": round(last.time_s - first.time_s, 1),
            "frames": frames,
            "dropped": sum(summary.dropped for summary in summaries),
            "alerts": sum(summary.alerts for summary in summaries),
            "fps": round(fps, 2),
            "frames_by_camera": [summary.frames for summary in summaries],
            "bare_invoke_ms": round(bare_s * 1e3, 3),
            "ratio_to_bare_invoke": round(fps * bare_s, 3),
            "frame_ms": {"p50": p50, "p95": p95, "p99": p99},
            "cpu_percent": round(100 * (cpu_s - self._bare_cpu_s) / seconds, 1),
            "cpu_ms_a_frame": round(1e3 * (cpu_s - self._bare_cpu_s) / max(frames, 1), 2),
            "others_cpu_percent": round(100 * max(others_s, 0.0) / (last.time_s - first.time_s), 1),
            "load_1min": round(os.getloadavg()[0], 2),
            "rss_mb": {
                "start": round(first.rss_mb, 1),
                "end": round(last.rss_mb, 1),
                "peak": round(peak_rss_mb(), 1),
                "slope_mb_per_h": rss_slope_mb_per_h(self._samples),
            },
            "threads": {"start": first.threads, "end": last.threads},
            "files": {"start": first.files, "end": last.files},
            "temperature_c": {"start": temperatures[0], "peak": max(temperatures)} if temperatures else None,
            "throttled": run_tool("vcgencmd", "get_throttled"),
        }


def rss_slope_mb_per_h(samples: Sequence[Footprint]) -> float | None:
    """Growth of the resident memory by least squares, after the first third; None for less than a minute."""
    late = samples[int(len(samples) * _WARM_UP) :]
    if samples[-1].time_s - samples[0].time_s < _SHORTEST_S or len(late) < 3:
        return None
    times_h = np.array([sample.time_s for sample in late]) / 3600
    slope: float = np.polyfit(times_h - times_h.mean(), [sample.rss_mb for sample in late], 1)[0]
    return round(float(slope), 1)


def _print_table(report: dict[str, Any], console: Console) -> None:
    title = (
        f"{report['model']} on {report['source']}, {report['cameras']} camera(s) for {report['seconds']} s"
    )
    table = Table("figure", "value", title=title)
    frame, rss, heat = report["frame_ms"], report["rss_mb"], report["temperature_c"]
    rows = {
        "machine": report["machine"],
        "runtime": f"{report['runtime']}, {report['device']}, {report['threads_of_model']} threads; "
        f"Python {report['python']}",
        "frames/s": f"{report['fps']} at {report['rate']}, {report['frames']} frames, "
        f"{report['dropped']} dropped",
        "against a bare invoke() loop": f"{report['ratio_to_bare_invoke']} ({report['bare_invoke_ms']} ms)",
        "frame, ms: p50, p95, p99": f"{frame['p50']}, {frame['p95']}, {frame['p99']}",
        "CPU, of one core": f"{report['cpu_percent']} % ({report['cpu_ms_a_frame']} ms a frame)",
        "others' CPU, of one core": f"{report['others_cpu_percent']} % (load {report['load_1min']})",
        "memory, MB: start, end, peak": f"{rss['start']}, {rss['end']}, {rss['peak']}",
        "its growth after the first third": "needs a minute or more"
        if rss["slope_mb_per_h"] is None
        else f"{rss['slope_mb_per_h']} MB an hour",
        "threads: start, end": f"{report['threads']['start']}, {report['threads']['end']}",
        "open files: start, end": f"{report['files']['start']}, {report['files']['end']}",
        "temperature, °C: start, peak": f"{heat['start']:.0f}, {heat['peak']:.0f}" if heat else "no sensor",
        "throttling": report["throttled"] or "not told here",
    }
    if report["cameras"] > 1:
        rows["frames of each camera"] = ", ".join(map(str, report["frames_by_camera"]))
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
