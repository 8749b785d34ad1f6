"""What an idle camera costs with motion gating: CPU time a frame against the same camera without it.

    python -m tests.bench.detect.gating MODEL.tflite VIDEO.mp4 [--frames 150] [--width 1280]

Two cameras share one model; one has a gate. Each frame goes to both in turn. `idle`: the video's first
picture with a sensor's noise, ten a second; `busy`: the video itself. CPU time is that of the whole process,
the model's threads among it, from the finished picture to detections. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from agent.detect.detector import open_detector
from agent.detect.settings import DetectorSettings, GateSettings
from agent.detect.sharing import ModelPool
from agent.records import Frame

FPS = 10.0
NOISE = 2.0  # standard deviation in grey levels


def pictures(video: Path, width: int, frames: int, *, idle: bool) -> Iterator[Frame]:
    """The video's frames, or its first one again and again with new noise."""
    capture, generator = cv2.VideoCapture(str(video)), np.random.default_rng(0)
    still = None
    for n in range(frames):
        if still is None or not idle:
            ok, image = capture.read()
            if not ok:
                break
            still = cv2.resize(image, (width, round(width * image.shape[0] / image.shape[1])))
        picture = still
        if idle:
            noise = generator.normal(0.0, NOISE, still.shape).astype(np.int16)
            picture = np.clip(still.astype(np.int16) + noise, 0, 255).astype(np.uint8)
        yield Frame(picture, n / FPS, 0.0, n)
    capture.release()


def compare(settings: DetectorSettings, frames: Iterator[Frame]) -> dict[str, float]:
    """CPU milliseconds a frame of both cameras, and how much of the other's the gated one's are."""
    pool = ModelPool()
    cameras = {
        "always": open_detector(settings, None, pool),
        "gated": open_detector(settings.model_copy(update={"gate": GateSettings()}), None, pool),
    }
    cpu_s, looked, count = dict.fromkeys(cameras, 0.0), 0, 0
    for frame in frames:
        for name, camera in cameras.items():
            started_s = time.process_time()
            prepared = camera.prepare(frame)
            looked += name == "gated" and prepared.input is not None
            camera.invoke(prepared)
            camera.decode(prepared)
            cpu_s[name] += time.process_time() - started_s
        count += 1
    for camera in cameras.values():
        camera.close()
    return {
        "always_cpu_ms": round(cpu_s["always"] / count * 1e3, 2),
        "gated_cpu_ms": round(cpu_s["gated"] / count * 1e3, 2),
        "ratio": round(cpu_s["gated"] / cpu_s["always"], 3),
        "looked_at": round(looked / count, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    settings = DetectorSettings(model=arguments.model, threads=arguments.threads)
    report: dict[str, object] = {"bench": "gating", "width": arguments.width, "frames": arguments.frames}
    for name in ("idle", "busy"):
        frames = pictures(arguments.video, arguments.width, arguments.frames, idle=name == "idle")
        report[name] = compare(settings, frames)
    report["load_1min"] = round(os.getloadavg()[0], 1)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
