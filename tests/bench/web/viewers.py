"""What two viewers cost a pipeline: its frames per second and CPU time while they look and while nobody does.

    python tests/bench/web/viewers.py [--slices 16] [--seconds 3] [--source VIDEO] [--model MODEL.tflite]

One run: the video goes through the pipeline again and again, as fast as it can. The two viewers, processes of
their own that ask for every picture, look in every other slice of time. Each slice is compared with the
one before it, so that a busy machine is as busy for both; the ratios are medians of these. CPU time is that
of the agent's process, page included.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from websockets.sync.client import connect

from agent.alerts.stats import PublisherStats
from agent.assembly import build_pipeline
from agent.config import CameraSettings, Config, make_section
from agent.pipeline import CameraPipeline, Step
from agent.web.page import serving
from tests.conftest import ROOT, free_port, wait_until

VIEWERS = 2


def look(port: int, looking: Synchronized[int], shown: Synchronized[int]) -> None:
    """Ask for pictures while `looking` is 1, until the page goes."""
    with connect(f"ws://127.0.0.1:{port}/api/live", max_size=None, compression=None) as socket:
        watches = False
        while True:
            if watches != bool(looking.value):
                watches = bool(looking.value)
                socket.send(json.dumps({"watch": ["front"] if watches else []}))
            try:
                message = socket.recv(timeout=0.05)
            except TimeoutError:
                continue
            if isinstance(message, bytes):
                with shown:
                    shown.value += 1
                socket.send(json.dumps({"shown": "front"}))


class Slices:
    """An observer that measures slices of time, in every other of which the viewers look.

    Args:
        looking: tells the viewers.
        count: how many slices.
        seconds: of each.
        stop: set at the end.
    """

    def __init__(self, looking: Synchronized[int], count: int, seconds: float, stop: threading.Event) -> None:
        self.measured: list[tuple[float, float]] = []
        """Frames a second and CPU ms a frame of each slice; the viewers look in those of odd index."""
        self._looking, self._count, self._seconds, self._stop = looking, count, seconds, stop
        self._begin()

    def _begin(self) -> None:
        self._frames, self._wall_s, self._cpu_s = 0, time.perf_counter(), time.process_time()

    def __call__(self, _: Step) -> None:
        self._frames += 1
        wall_s = time.perf_counter() - self._wall_s
        if wall_s >= self._seconds:
            cpu_s = time.process_time() - self._cpu_s
            self.measured.append((self._frames / wall_s, 1e3 * cpu_s / self._frames))
            self._looking.value = len(self.measured) % 2
            if len(self.measured) == self._count:
                self._stop.set()
            self._begin()


def run_again_and_again(pipeline: CameraPipeline, settings: CameraSettings, stop: threading.Event) -> None:
    """Run a file's pipeline until `stop`; the observers move on to each new one."""
    while not stop.is_set():
        pipeline.run(stop)
        observers, pipeline = pipeline.observers, build_pipeline("front", settings, publish=lambda _: None)
        pipeline.observers.extend(observers)


def no_stats() -> PublisherStats:
    """Of a publisher that has nothing to do."""
    return PublisherStats(0, 0, 0, 0, 0, 0, 0, False, 0, "", None, None)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--source", type=Path, default=ROOT / "agent" / "demo" / "street.mp4")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "artefacts" / "street.tflite")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    looking, shown = (context.Value("i", 0) for _ in range(2))
    port, stop = free_port(), threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        detector = {"model": str(options.model), "threads": 1}
        values = {
            "device": "bench",
            "cameras": {"front": {"source": str(options.source), "detector": detector}},
            "web": {"listen": port},
            "outbox": {"path": str(Path(folder) / "outbox.sqlite")},
        }
        config = make_section(Config, values)
        settings = config.cameras["front"]
        pipeline = build_pipeline("front", settings, publish=lambda _: None)
        with serving(config, {"front": pipeline}, no_stats, None, None):
            wait_until(lambda: _listens(port), what="the page")
            viewers = [
                context.Process(target=look, args=(port, looking, shown), daemon=True) for _ in range(VIEWERS)
            ]
            for viewer in viewers:
                viewer.start()
            slices = Slices(looking, options.slices, options.seconds, stop)
            pipeline.observers.append(slices)
            run_again_and_again(pipeline, settings, stop)
            for viewer in viewers:
                viewer.terminate()
                viewer.join()
    report(slices.measured, shown.value / (VIEWERS * (options.slices // 2) * options.seconds))


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def report(measured: list[tuple[float, float]], shown_per_s: float) -> None:
    """Print medians, and the medians of the ratios of neighbours."""
    pairs = list(zip(measured[2::2], measured[1::2], strict=False))  # the first slice warms up
    for of, unit in ((0, "frames/s"), (1, "CPU ms a frame")):
        alone, watched = (statistics.median(pair[side][of] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(pair[1][of] / pair[0][of] for pair in pairs)
        print(f"{unit:15} nobody looks {alone:8.2f}   two viewers {watched:8.2f}   ratio {ratio:.3f}")
    print(f"pictures shown to each viewer: {shown_per_s:.1f} a second")


if __name__ == "__main__":
    main()
