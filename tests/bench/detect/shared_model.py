"""Several cameras on one model: frames/s against a bare invoke() loop, fairness, time in line, memory.

    python -m tests.bench.detect.shared_model MODEL.tflite VIDEO.mp4 [--cameras 4] [--frames 400]

Three runs: `alike`, every camera as fast as it can; `stalled`, the first camera's source stands still;
`slow`, the first camera brings a frame a second. Each run is interleaved with a bare loop of the same model,
for which the model's turn is taken, so that the cameras wait and a drifting machine is fair to both. Then the
memory of fresh processes: one camera, all cameras on one model, all cameras with a model each. Prints one
line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.assembly import build_pipeline
from agent.config import CameraSettings, make_section
from agent.detect.sharing import ModelPool
from agent.detect.tflite_detector import TfliteDetector
from agent.pipeline import CameraPipeline, Step
from agent.records import Frame

SLOT = 40  # frames of all cameras, then half as many bare invocations


class Rolling:
    """A source that shows the same pictures again and again.

    Args:
        pictures: of a video.
        period_s: between two frames; 0 for as fast as they are taken.
    """

    live = False
    frame_count = None
    fps = 25.0

    def __init__(self, pictures: list[np.ndarray], period_s: float = 0.0) -> None:
        self.running = threading.Event()
        """Cleared while the source stands still."""
        self.running.set()
        self._pictures, self._period_s = pictures, period_s
        self._index = 0
        self._closed = threading.Event()

    def read(self) -> Frame | None:
        self._closed.wait(self._period_s)
        while not self.running.wait(0.05) and not self._closed.is_set():
            continue
        image = self._pictures[self._index % len(self._pictures)]
        frame = Frame(image, self._index / self.fps, time.time(), self._index)
        self._index += 1
        return None if self._closed.is_set() else frame

    def close(self) -> None:
        self._closed.set()
        self.running.set()


def pictures_of(video: Path, count: int) -> list[np.ndarray]:
    """The first pictures of a video."""
    capture = cv2.VideoCapture(str(video))
    pictures = [capture.read()[1] for _ in range(count)]
    capture.release()
    return pictures


class Cameras:
    """Pipelines joined as `App` joins them."""

    def __init__(self, model: Path, threads: int, sources: list[Rolling], *, shared: bool = True) -> None:
        self.sources = sources
        settings = make_section(
            CameraSettings,
            {
                "source": "rolling.mp4",
                "detector": {"model": model, "threads": threads},
                "zones": {"all": {"points": [[0, 0], [1, 0], [1, 1], [0, 1]]}},
                "rules": [{"kind": "zone", "zone": "all", "when": ["enter"]}],
            },
        )
        pool = ModelPool()
        self.detectors = [TfliteDetector(settings.detector, None, pool if shared else None) for _ in sources]
        self.done: list[list[float]] = [[] for _ in sources]
        self.pipelines: list[CameraPipeline] = []
        for number, source in enumerate(sources):
            pipeline = build_pipeline(
                f"camera{number}",
                settings,
                publish=lambda alert: None,
                detector=self.detectors[number],
                open_camera=lambda source=source: source,  # type: ignore[misc]
            )
            pipeline.observers.append(self._note(number))
            self.pipelines.append(pipeline)
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=item.run, args=(self.stop,)) for item in self.pipelines]
        for thread in self.threads:
            thread.start()
        self.wait(lambda: all(self.done))

    def _note(self, number: int) -> Callable[[Step], None]:
        return lambda step: self.done[number].append(time.perf_counter())

    def wait(self, condition: Callable[[], bool], limit_s: float = 120.0) -> None:
        end_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end_s:
                raise SystemExit("expected the cameras to run, they stand still")
            time.sleep(0.002)

    @property
    def counts(self) -> np.ndarray:
        return np.array([len(done) for done in self.done])

    def bare_s(self, count: int) -> float:
        """Seconds of an invocation while the cameras wait."""
        with self.detectors[0]._use.turn:
            started_s = time.perf_counter()
            for _ in range(count):
                self.detectors[0].interpreter.invoke()
            return (time.perf_counter() - started_s) / count

    def close(self) -> None:
        self.stop.set()
        for source in self.sources:
            source.close()
        for thread in self.threads:
            thread.join()
        for detector in self.detectors:
            detector.close()


def measure(cameras: Cameras, frames: int) -> dict[str, Any]:
    """Frames/s of all cameras together, and what each got of them."""
    total, ratios, rates = np.zeros(len(cameras.sources), int), [], []
    while total.sum() < frames:
        first, started_s = cameras.counts, time.perf_counter()
        cameras.wait(lambda first=first: (cameras.counts - first).sum() >= SLOT)  # type: ignore[misc]
        last, rate = cameras.counts, SLOT / (time.perf_counter() - started_s)
        ratios.append(rate * cameras.bare_s(SLOT // 2))
        rates.append(rate)
        total += last - first
    return {
        "fps": round(statistics.median(rates), 1),
        "ratio_to_bare_invoke": round(statistics.median(ratios), 3),
        "frames": total.tolist(),
        "invoke_and_wait_ms": [item.times.summary_ms()["invoke"] for item in cameras.pipelines],
    }


def rss_mb(model: str, threads: int, video: str, count: int, shared: bool) -> float:
    """Resident memory of this process once its cameras have looked at some frames."""
    pictures = pictures_of(Path(video), 4)
    cameras = Cameras(Path(model), threads, [Rolling(pictures) for _ in range(count)], shared=shared)
    cameras.wait(lambda: bool((cameras.counts >= 20).all()))
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    cameras.close()
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def fresh_rss_mb(arguments: argparse.Namespace, count: int, shared: bool) -> float:
    """The same in a process of its own."""
    words = [str(arguments.model), arguments.threads, str(arguments.video), count, shared]
    code = f"from tests.bench.detect.shared_model import rss_mb; print(rss_mb(*{words!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return round(float(done.stdout), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    pictures, count = pictures_of(arguments.video, 100), arguments.cameras
    report: dict[str, Any] = {"bench": "shared_model", "cameras": count, "threads": arguments.threads}
    for name in ("alike", "stalled", "slow"):
        first = Rolling(pictures, 1.0 if name == "slow" else 0.0)
        cameras = Cameras(
            arguments.model, arguments.threads, [first, *(Rolling(pictures) for _ in range(count - 1))]
        )
        if name == "stalled":
            first.running.clear()
            before = cameras.counts[0] + 4  # what its queue still holds
            cameras.wait(lambda c=cameras, b=before: c.counts[1] > b + 4)  # type: ignore[misc]
        report[name] = measure(cameras, arguments.frames)
        cameras.close()
    report["rss_mb"] = {
        "one camera": fresh_rss_mb(arguments, 1, True),
        "one model for all": fresh_rss_mb(arguments, count, True),
        "a model each": fresh_rss_mb(arguments, count, False),
    }
    report["load_1min"] = round(os.getloadavg()[0], 1)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
