"""What it costs a frame to have the model in a process of its own: the same model here and there, in turn.

    python -m tests.bench.detect.process_overhead [MODEL.tflite] [--runs 5] [--frames 300]

Without a model, TensorFlow writes a small one with a 320 x 320 uint8 input and SSD-sized outputs. A frame is
what the detector does: copy the picture in, invoke, copy the outputs out. The reference is a process that
only sends 16 bytes back: what a switch to another process and back costs on this machine at this moment.
Where others compete for the cores, waiting for one is nearly all of it. Prints one line of JSON; an overhead
is the difference of the medians, or of the 10th percentiles, of one run: the median, least and most of that
over the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


ECHO = """
import socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
while message := channel.recv(64):
    channel.send(message)
"""


@contextmanager
def echo() -> Iterator[socket.socket]:
    """A socket to a process that sends back what it gets."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = [sys.executable, "-c", ECHO, str(theirs.fileno())]
    with subprocess.Popen(words, pass_fds=[theirs.fileno()]), theirs, ours:
        theirs.close()
        ours.settimeout(30.0)
        yield ours
        ours.close()


def echo_s(channel: socket.socket) -> float:
    """Duration of one round trip."""
    start_s = time.perf_counter()
    channel.send(bytes(16))
    channel.recv(64)
    return time.perf_counter() - start_s


def frame_s(runner: Runner, picture: np.ndarray, outputs: list[np.ndarray]) -> float:
    """Duration of one frame."""
    start_s = time.perf_counter()
    np.copyto(runner.input_view(0), picture)
    runner.invoke()
    for index, output in enumerate(outputs):
        np.copyto(output, runner.output(index))
    return time.perf_counter() - start_s


def compare(model: Path, runs: int, frames: int, runtime: str) -> dict[str, object]:
    """Every run's quantiles, here, there and of the echo."""
    here, there = (
        Interpreter(model, runtime=runtime, threads=1),
        TpuProcess(model, runtime=runtime, threads=1),
    )
    there.start(60.0)
    try:
        tensor = here.inputs[0]
        picture = np.random.default_rng(0).integers(0, 100, tensor.shape).astype(tensor.dtype)
        outputs = [np.zeros(output.shape, output.dtype) for output in here.outputs]
        times_ms = np.zeros((3, runs, frames))
        with echo() as channel:
            echo_s(channel)
            for run in range(runs):
                for frame in range(frames):
                    times_ms[0, run, frame] = frame_s(here, picture, outputs) * 1e3
                    times_ms[1, run, frame] = frame_s(there, picture, outputs) * 1e3
                    times_ms[2, run, frame] = echo_s(channel) * 1e3
    finally:
        there.close()
    medians, tenths = np.median(times_ms, axis=2), np.percentile(times_ms, 10, axis=2)
    in_process, in_child, echoed = np.median(medians, axis=1)
    overheads, quiet = medians[1] - medians[0], tenths[1] - tenths[0]
    return {
        "bench": "process_overhead",
        "runtime": here.runtime,
        "input": str(tensor),
        "output_bytes": sum(output.nbytes for output in outputs),
        "in_process_ms": round(in_process, 3),
        "in_child_ms": round(in_child, 3),
        "ratio": round(in_child / in_process, 3),
        "overhead_ms": round(float(np.median(overheads)), 3),
        "overhead_min_ms": round(overheads.min(), 3),
        "overhead_max_ms": round(overheads.max(), 3),
        "overhead_p10_ms": round(float(np.median(quiet)), 3),
        "echo_ms": round(echoed, 3),
        "echo_p10_ms": round(float(np.median(tenths[2])), 3),
        "load_1min": round(os.getloadavg()[0], 1),
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
