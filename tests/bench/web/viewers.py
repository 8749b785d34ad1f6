"""Frames per second of a pipeline with no page, with one that nobody looks at, and with two viewers.

    python tests/bench/web/viewers.py [--rounds 5] [--seconds 6] [--source VIDEO] [--model MODEL.tflite]

The same video runs through the same pipeline again and again, as fast as it can; the kinds of run take turns,
so that a busy machine is as busy for one as for the other. Ratios are of medians. The viewers are in a process
of their own and ask for every picture.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from websockets.sync.client import connect

from agent.assembly import build_pipeline
from agent.config import CameraSettings, Config, make_section
from agent.pipeline import CameraPipeline, Step
from agent.web.page import serving
from tests.conftest import free_port

CLIP = Path(__file__).resolve().parents[3] / "agent" / "demo" / "street.mp4"
KINDS = ("no page", "page, nobody looks", "two viewers")


def look(port: int, shown: object) -> None:
    """Ask for pictures until the page goes."""
    with connect(f"ws://127.0.0.1:{port}/api/live", max_size=None, compression=None) as socket:
        socket.send(json.dumps({"watch": ["front"]}))
        for message in socket:
            if isinstance(message, bytes):
                shown.value += 1  # type: ignore[attr-defined]
                socket.send(json.dumps({"shown": "front"}))


def run(kind: str, source: Path, model: Path | None, seconds: float, shown: object) -> float:
    """Frames a second of one run, without its first second."""
    port = free_port()
    detector = {"model": str(model), "threads": 1} if model else {"kind": "motion"}
    camera = {"source": str(source), "detector": detector}
    page = {} if kind == KINDS[0] else {"listen": port}
    with tempfile.TemporaryDirectory() as folder:
        outbox = {"path": str(Path(folder) / "outbox.sqlite")}
        values = {"device": "bench", "cameras": {"front": camera}, "web": page, "outbox": outbox}
        config = make_section(Config, values)
        settings = config.cameras["front"]
        pipelines = {"front": build_pipeline("front", settings, publish=lambda _: None)}
        with serving(config, pipelines, _no_stats, None, None):
            viewers = [
                multiprocessing.Process(target=look, args=(port, shown), daemon=True)
                for _ in range(2 if kind == KINDS[2] else 0)
            ]
            for viewer in viewers:
                viewer.start()
            try:
                return _measure(pipelines["front"], settings, seconds)
            finally:
                for viewer in viewers:
                    viewer.terminate()
                    viewer.join()


def _measure(pipeline: CameraPipeline, settings: CameraSettings, seconds: float) -> float:
    """Run the video over and over: the observers move on to each new pipeline."""
    frames, began_s, stop = 0, time.perf_counter(), threading.Event()

    def count(_: Step) -> None:
        nonlocal frames
        now_s = time.perf_counter() - began_s
        frames += now_s >= 1.0
        if now_s >= 1.0 + seconds:
            stop.set()

    while not stop.is_set():
        pipeline.observers.append(count)
        observers = pipeline.observers[:-1]
        pipeline.run(stop)
        if not stop.is_set():
            pipeline = build_pipeline("front", settings, publish=lambda _: None)
            pipeline.observers.extend(observers)
    return frames / (time.perf_counter() - began_s - 1.0)


def _no_stats() -> object:
    from agent.alerts.publisher import PublisherStats

    names = ("queued", "in_memory", "sent", "acknowledged", "refused", "dropped", "damaged", "connects")
    return PublisherStats(
        **dict.fromkeys(names, 0), connected=False, protocol="", broker_error=None, disk_error=None
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--source", type=Path, default=CLIP)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    shown = multiprocessing.Value("i", 0)
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    measure: Callable[[str], float] = lambda kind: run(  # noqa: E731
        kind, options.source, options.model, options.seconds, shown
    )
    for number in range(options.rounds):
        for kind in KINDS[number % 3 :] + KINDS[: number % 3]:
            rates[kind].append(measure(kind))
    base = statistics.median(rates[KINDS[0]])
    for kind in KINDS:
        median = statistics.median(rates[kind])
        print(f"{kind:20} {median:8.1f} frames/s   {median / base:.3f} of no page")
    watched_s = options.rounds * (options.seconds + 1.0)
    print(f"pictures shown       {shown.value / watched_s / 2:8.1f} a second to each viewer")


if __name__ == "__main__":
    main()
