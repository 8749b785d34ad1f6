"""The model of a camera: does it fit its spec, and how long does it take here, now?

Run in a process of its own, `python -m agent.doctor.inference CONFIG CAMERA`, since a damaged model file or
a libedgetpu that does not match can end the process that loads it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from agent.config import CameraSettings, load_config
from agent.detect.detector import open_detector, probe_detector
from agent.doctor.finding import Finding, fail, ok, warn
from agent.errors import EdgetrackError
from agent.records import Frame

_LIMIT_S = 60.0
_MEASURE_S = 1.5
_SLOW_MS = 200.0


def check_model(
    config: Path, camera: str, settings: CameraSettings, *, service_runs: bool = False
) -> Iterator[Finding]:
    """Load and time a camera's detector in a child process.

    Args:
        config: the configuration file.
        camera: name in it.
        settings: of that camera.
        service_runs: whether the agent runs, which then holds an Edge TPU.
    """
    command = [sys.executable, "-m", "agent.doctor.inference", str(config), camera]
    name = settings.detector.model.name if settings.detector.model else "motion detector"
    if service_runs and settings.detector.device != "cpu":
        yield ok(f"{name} on {settings.detector.device}: held by the running service")
        return
    advice = "edgetrack-convert inspect shows what is in the file; convert it again"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        yield fail(f"{name}: no answer in {_LIMIT_S:g} s", advice)
        return
    if done.returncode < 0:
        cause = signal.Signals(-done.returncode).name
        if settings.detector.device != "cpu":
            advice = "libedgetpu must be built for the runtime in use; see troubleshooting"
        yield fail(f"{name}: the runtime ended with {cause}", advice)
        return
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        yield fail(f"{name}: {reason}", "" if done.returncode == 1 else advice)
        return
    figures = json.loads(lines[-1])
    frame_ms = figures["frame_ms"]
    text = (
        f"{name} on {settings.detector.device}: {frame_ms:.1f} ms a frame (median of {figures['count']}), "
        f"labels: {figures['labels']}"
    )
    if frame_ms > _SLOW_MS:
        yield warn(
            f"{text}: {1000 / frame_ms:.1f} frames/s at most", "a smaller model, a gate, or an Edge TPU"
        )
    else:
        yield ok(text)


def measure(config: Path, camera: str) -> dict[str, float]:
    """Time whole detections on noise of 640 × 480, on a device once it has started.

    Returns:
        `frame_ms`, the median; `count`; `labels`, how many.

    Raises:
        EdgetrackError: the configuration, the model or its spec do not fit, or the device does not start.
    """
    import numpy as np

    settings = load_config(config).cameras[camera].detector
    opened = open_detector if settings.device == "cpu" else probe_detector
    images = np.random.default_rng(0).integers(0, 256, (2, 480, 640, 3), dtype=np.uint8)
    durations: list[float] = []
    with closing(opened(settings.model_copy(update={"gate": None}))) as detector:
        end_s = time.monotonic() + _MEASURE_S
        while time.monotonic() < end_s or len(durations) < 6:
            index = len(durations)
            frame = Frame(images[index % 2], index / 10, index / 10, index)
            started = time.perf_counter()
            detector.detect(frame)
            durations.append(time.perf_counter() - started)
    warm = durations[1:]  # the first one makes buffers
    return {"frame_ms": float(np.median(warm)) * 1000, "count": len(warm), "labels": len(detector.labels)}


if __name__ == "__main__":
    try:
        print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])))
    except EdgetrackError as error:
        sys.exit(str(error))
