"""What it costs a frame to have the model in a process of its own: the same model here and there, in turn.

    python -m tests.bench.detect.process_overhead [MODEL.tflite] [--runs 5] [--frames 300]

Without a model, TensorFlow writes a small one with a 320 x 320 uint8 input and SSD-sized outputs. A frame is
what the detector does: copy the picture in, invoke, copy the outputs out. Prints one line of JSON; the
overhead is the difference of the medians of one run, and the median, least and most of that over the runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from agent.detect.interpreter import Interpreter
from agent.detect.runner import Runner
from agent.detect.tpu_process import TpuProcess

MAKE_MODEL = """
import sys
import tensorflow as tf
inputs = tf.keras.Input((320, 320, 3), 1)
maps = tf.keras.layers.Conv2D(8, 3, strides=8, activation="relu")(inputs)
maps = tf.keras.layers.Conv2D(16, 3, strides=4, activation="relu")(maps)
outputs = [tf.keras.layers.Conv2D(depth, 1)(maps) for depth in (16, 84)]
converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(inputs, outputs))
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([tf.random.uniform((1, 320, 320, 3), seed=n)] for n in range(4))
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.uint8
open(sys.argv[1], "wb").write(converter.convert())
"""


def frame_s(runner: Runner, picture: np.ndarray, outputs: list[np.ndarray]) -> float:
    """Duration of one frame."""
    start_s = time.perf_counter()
    np.copyto(runner.input_view(0), picture)
    runner.invoke()
    for index, output in enumerate(outputs):
        np.copyto(output, runner.output(index))
    return time.perf_counter() - start_s


def compare(model: Path, runs: int, frames: int, runtime: str) -> dict[str, object]:
    """Medians of every run, here and there."""
    here, there = Interpreter(model, runtime=runtime, threads=1), TpuProcess(model, runtime=runtime, threads=1)
    there.start(60.0)
    try:
        tensor = here.inputs[0]
        picture = np.random.default_rng(0).integers(0, 100, tensor.shape).astype(tensor.dtype)
        outputs = [np.zeros(output.shape, output.dtype) for output in here.outputs]
        medians: dict[str, list[float]] = {"here": [], "there": []}
        for _ in range(runs):
            times: dict[str, list[float]] = {"here": [], "there": []}
            for _ in range(frames):
                times["here"].append(frame_s(here, picture, outputs) * 1e3)
                times["there"].append(frame_s(there, picture, outputs) * 1e3)
            for name, values in times.items():
                medians[name].append(statistics.median(values))
    finally:
        there.close()
    overheads = [there - here for here, there in zip(medians["here"], medians["there"], strict=True)]
    in_process, in_child = (statistics.median(medians[name]) for name in ("here", "there"))
    return {
        "bench": "process_overhead",
        "runtime": here.runtime,
        "input": str(tensor),
        "output_bytes": sum(output.nbytes for output in outputs),
        "in_process_ms": round(in_process, 3),
        "in_child_ms": round(in_child, 3),
        "overhead_ms": round(statistics.median(overheads), 3),
        "overhead_min_ms": round(min(overheads), 3),
        "overhead_max_ms": round(max(overheads), 3),
        "ratio": round(in_child / in_process, 3),
        "runs": runs,
        "frames": frames,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--runtime", default="auto")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model
        if model is None:
            model = Path(folder) / "made.tflite"
            subprocess.run([sys.executable, "-c", MAKE_MODEL, str(model)], check=True, capture_output=True)
        print(json.dumps(compare(model, arguments.runs, arguments.frames, arguments.runtime)))


if __name__ == "__main__":
    main()
