"""Time of one inference on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.vision.quantize import quantize
from converter.parity.runner import Runner
from converter.report.content import Latency

RUNTIMES = {"litert": ("LiteRT", "ai-edge-litert"), "tflite-runtime": ("tflite-runtime", "tflite-runtime")}
_WARM_UP = 3
_MIN_RUNS, _MAX_RUNS, _MAX_SECONDS = 10, 100, 2.0


def installed_runtimes() -> dict[str, str]:
    """Runtime to its name with version, those that are installed here."""
    found = {}
    for runtime, (name, package) in RUNTIMES.items():
        try:
            found[runtime] = f"{name} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return found


def time_model(
    path: Path, model: str, sample: Sequence[NDArray[np.float32]], threads: int = 1
) -> list[Latency]:
    """Time a file on every runtime here that loads it."""
    rows = []
    for runtime, name in installed_runtimes().items():
        try:
            runner = Runner(path, runtime=runtime, threads=threads)
        except ModelError:
            continue  # which runtimes can load a file is what `inspect` tells
        interpreter = runner.interpreter
        for i, tensor in enumerate(runner.inputs):
            interpreter.input_view(i)[...] = quantize(sample[i].reshape(tensor.shape), tensor)
        for _ in range(_WARM_UP):
            interpreter.invoke()
        times: list[float] = []
        while len(times) < _MIN_RUNS or (len(times) < _MAX_RUNS and sum(times) < _MAX_SECONDS):
            begin = time.perf_counter()
            interpreter.invoke()
            times.append(time.perf_counter() - begin)
        median, late = (float(np.quantile(times, q)) * 1e3 for q in (0.5, 0.9))
        rows.append(Latency(name, model, median, late, threads, len(times)))
    return rows
