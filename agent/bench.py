"""`edgetrack-agent bench`: what each stage costs, and the whole against a bare invoke() loop."""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.assembly import build_pipeline
from agent.config import CameraSettings, make_section
from agent.detect.runner import Runner
from agent.detect.settings import DetectorSettings
from agent.detect.tflite_detector import TfliteDetector
from agent.errors import DataError
from agent.footprint import peak_rss_mb, process_age_s
from agent.offline import detector_settings
from agent.pipeline import Step
from agent.soak import SoakOptions, soak_pipeline
from agent.stage_times import STAGES, StageTimes

_TURN = 20  # frames, then as many bare invocations


def bench_pipeline(
    model: Path,
    labels: Path | None,
    source: str,
    *,
    device: str,
    threads: int,
    runtime: str,
    max_frames: int,
    as_json: bool,
) -> None:
    """Run the pipeline as `run` does, with a zone and a tripwire, and print what it took.

    `publish` is the commit to the outbox; sending happens in a thread of its own and waits for no frame.

    Raises:
        EdgetrackError: the model or the source.
    """
    camera = _camera_settings(
        source, detector_settings(model, labels, device=device, threads=threads, runtime=runtime)
    )
    detector = TfliteDetector(camera.detector)
    stop, times = threading.Event(), StageTimes(capacity=max_frames)
    pairing = _Pairing(detector.interpreter, max_frames, stop)
    with tempfile.TemporaryDirectory() as folder:
        publisher = AlertPublisher(
            BrokerSettings(), OutboxSettings(path=Path(folder) / "outbox.sqlite"), "bench"
        )
        try:
            pipeline = build_pipeline(
                "bench",
                camera,
                publish=lambda alert: publisher.publish(alert, "bench"),
                detector=detector,
                times=times,
            )
            pipeline.observers.append(pairing)
            summary = pipeline.run(stop)
        finally:
            publisher.close(timeout_s=0.0)
    fps, bare_fps, ratio = pairing.result()
    report = {
        "model": model.name,
        "runtime": detector.interpreter.runtime,
        "device": device,
        "threads": threads,
        "source": source,
        "frames": summary.frames,
        "alerts": summary.alerts,
        "fps": round(fps, 2),
        "bare_invoke_fps": round(bare_fps, 2),
        "ratio": round(ratio, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "start_s": round(pairing.start_s, 3),
        "stages_ms": times.summary_ms(),
    }
    if as_json:
        print(json.dumps(report))
    else:
        _print_table(report)


def soak(
    model: Path,
    labels: Path | None,
    source: str,
    options: SoakOptions,
    *,
    device: str,
    threads: int,
    runtime: str,
    as_json: bool,
) -> None:
    """Run what `bench_pipeline` runs for a time, and print what it took of the machine.

    Raises:
        EdgetrackError: the model or the source.
    """
    detector = detector_settings(model, labels, device=device, threads=threads, runtime=runtime)
    soak_pipeline(_camera_settings(source, detector), options, Console(), as_json=as_json)


def _camera_settings(source: str, detector: DetectorSettings) -> CameraSettings:
    """A camera with a zone and a tripwire."""
    return make_section(
        CameraSettings,
        {
            "source": source,
            "detector": detector.model_dump(exclude_unset=True),
            "zones": {"middle": {"points": [[0.25, 0.25], [0.75, 0.25], [0.75, 0.95], [0.25, 0.95]]}},
            "tripwires": {"line": {"points": [[0.0, 0.6], [1.0, 0.6]]}},
            "rules": [
                {"kind": "zone", "zone": "middle", "when": ["enter", "leave"]},
                {"kind": "tripwire", "tripwire": "line"},
            ],
        },
    )


class _Pairing:
    """Times the pipeline and a bare invoke() loop in turns: a drifting machine is fair to both.

    Called with every step. The reader's queue is full while the bare loop runs, so nothing runs beside it.
    """

    def __init__(self, interpreter: Runner, max_frames: int, stop: threading.Event) -> None:
        self._interpreter = interpreter
        self._max_frames = max_frames
        self._stop = stop
        self._frames = 0
        self._turn_started = 0.0
        self._turns: list[tuple[float, float]] = []
        self.start_s = 0.0
        """From the start of the process to the first processed frame."""

    def __call__(self, _: Step) -> None:
        now = time.perf_counter()
        self._frames += 1
        if self._frames == 1:
            self.start_s = process_age_s()
            self._turn_started = now
        elif (self._frames - 1) % _TURN == 0:
            pipeline_s = now - self._turn_started
            for _turn in range(_TURN):
                self._interpreter.invoke()
            self._turn_started = time.perf_counter()
            self._turns.append((pipeline_s, self._turn_started - now))
        if self._frames >= self._max_frames:
            self._stop.set()

    def result(self) -> tuple[float, float, float]:
        """Frames/s of the pipeline, of the bare loop, and the median of their ratios over all turns.

        Raises:
            DataError: there were too few frames for one turn.
        """
        if not self._turns:
            raise DataError("--source", f"expected more than {_TURN} frames, got {self._frames}")
        frames = _TURN * len(self._turns)
        pipeline_s, bare_s = (sum(column) for column in zip(*self._turns, strict=True))
        return frames / pipeline_s, frames / bare_s, statistics.median(b / p for p, b in self._turns)


def _print_table(report: dict[str, Any]) -> None:
    table = Table("stage", "median ms", "p95 ms", title=f"{report['model']} on {report['source']}")
    for stage in STAGES:
        if stage in report["stages_ms"]:
            figures = report["stages_ms"][stage]
            table.add_row(stage, f"{figures['median']:.2f}", f"{figures['p95']:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"{report['fps']} frames/s, {report['ratio']:.2f} of the {report['bare_invoke_fps']} of a bare "
        "invoke() loop; "
        f"first frame after {report['start_s']} s; peak memory {report['peak_rss_mb']} MB "
        f"({report['runtime']}, {report['device']}, {report['threads']} threads, {report['frames']} frames)",
        highlight=False,
    )
