"""A fake Edge TPU fails again and again under a steady stream of frames.

    python -m tests.faults.tpu_faults [--cycles 100] [--faults abort hang garbage late] [--rate 15]

The model is the one that ships, under two names, or one of a real pair, before and after the Edge TPU
compiler: the fake runs the first in the place of the second. Every frame's answer is compared, byte by byte,
with that of the same file in this process.

Prints one line of JSON for each fault. `fallback` is the time from the fault to the first right answer of the
CPU; exits 1 when a frame gets no answer, a fall back takes longer than 2 s, a return is not announced, an
answer is wrong (noise within range: after it was found), or something is left behind.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.detect.device_status import DeviceState, DeviceStatus
from agent.detect.failover import FailoverInterpreter
from agent.detect.interpreter import Interpreter
from agent.detect.settings import FAKE_TPU_VARIABLE, cpu_model
from agent.detect.tpu_process import TpuProcess
from agent.errors import ModelError

SHIPPED = Path(__file__).parents[2] / "models" / "artefacts" / "street.tflite"
MAX_FALLBACK_S = 2.0
PICTURES = 16


@dataclass
class Watch:
    """Frames in, verdicts out."""

    interpreter: FailoverInterpreter
    pictures: list[np.ndarray]
    answers: list[list[np.ndarray]]
    period_s: float
    frames: int = 0
    lost: int = 0
    wrong: int = 0
    longest_s: float = 0.0
    _pause: threading.Event = field(default_factory=threading.Event)

    def look(self) -> bool:
        """One frame; whether its answer is right."""
        start_s = time.monotonic()
        number = self.frames % len(self.pictures)
        self.frames += 1
        try:
            np.copyto(self.interpreter.input_view(0), self.pictures[number])
            self.interpreter.invoke()
        except ModelError:
            self.lost += 1
            return False
        right = all(
            np.array_equal(self.interpreter.output(index), wanted)
            for index, wanted in enumerate(self.answers[number])
        )
        self.wrong += not right
        took_s = time.monotonic() - start_s
        self.longest_s = max(self.longest_s, took_s)
        self._pause.wait(max(0.0, self.period_s - took_s))
        return right


def children() -> int:
    """Children of this process, zombies included."""
    tasks = Path("/proc/self/task").iterdir()
    return sum(len((task / "children").read_text().split()) for task in tasks)


def left_behind() -> dict[str, int]:
    """What must not grow."""
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return {"processes": children(), "descriptors": descriptors, "threads": threading.active_count()}


def rss_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def oracle(model: Path) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Pictures, and what the model says of each in this process."""
    reference = Interpreter(cpu_model(model), threads=1)
    generator = np.random.default_rng(0)
    tensor = reference.inputs[0]
    pictures, answers = [], []
    for _ in range(PICTURES):
        pictures.append(generator.integers(0, 120, tensor.shape).astype(tensor.dtype))
        np.copyto(reference.input_view(0), pictures[-1])
        reference.invoke()
        answers.append([reference.output(index).copy() for index in range(len(reference.outputs))])
    return pictures, answers


def pair_of(model: Path, folder: Path) -> Path:
    """A model as if it had been through the Edge TPU compiler, the CPU file beside it."""
    shutil.copy(model, folder / "model.tflite")
    return shutil.copy(model, folder / "model_edgetpu.tflite")


def run(folder: Path, fault: str, cycles: int, rate: float, model: Path) -> dict[str, object]:
    """Let the device fail `cycles` times in one way; the figures."""
    generator = random.Random(1)
    control, reports = folder / "0", list[DeviceStatus]()
    pictures, answers = oracle(model)
    before = left_behind()

    def spawn() -> TpuProcess:
        return TpuProcess(
            model,
            device="fake:0",
            threads=1,
            module="agent.detect.tpu_fake",
            environment={FAKE_TPU_VARIABLE: str(folder)},
        )

    standby = Interpreter(cpu_model(model), threads=1)
    interpreter = FailoverInterpreter(
        "fake:0", spawn, standby, on_device=reports.append, retry_min_s=0.05, retry_max_s=0.1
    )
    watch = Watch(interpreter, pictures, answers, 1 / rate)
    fallbacks_s: list[float] = []
    returns_s: list[float] = []
    wrong_before_found, rss_start_mb = 0, 0.0
    try:
        for cycle in range(cycles):
            for _ in range(generator.randrange(1, 6)):
                watch.look()
            if cycle == min(5, cycles - 1):
                rss_start_mb = rss_mb()
            known, wrong = len(reports), watch.wrong
            part = control.with_suffix(".part")
            part.write_text("late 1.5" if fault == "late" else fault)
            part.rename(control)
            start_s = time.monotonic()
            while True:
                right = watch.look()
                if len(reports) > known and right:
                    break
                if time.monotonic() - start_s > 60:
                    raise SystemExit(f"{fault}: no fall back within 60 s")
            fallbacks_s.append(time.monotonic() - start_s)
            wrong_before_found += watch.wrong - wrong
            back_s = time.monotonic()
            while reports[-1].state is not DeviceState.ONLINE and time.monotonic() - back_s < 60:
                watch.look()
            returns_s.append(time.monotonic() - back_s)
        rss_end_mb = rss_mb()
    finally:
        interpreter.close()
        # The last process's memory goes with the object.
        del watch.interpreter, interpreter, standby
        gc.collect()
    after = left_behind()
    states = [report.state for report in reports]
    return {
        "fault": f"tpu_{fault}",
        "cycles": cycles,
        "frames": watch.frames,
        "frames_lost": watch.lost,
        "frames_wrong": watch.wrong - wrong_before_found,
        "frames_wrong_before_found": wrong_before_found,
        "longest_frame_s": round(watch.longest_s, 3),
        "fallback_median_s": round(statistics.median(fallbacks_s), 3),
        "fallback_max_s": round(max(fallbacks_s), 3),
        "fallbacks_announced": states.count(DeviceState.FALLBACK),
        "returns_announced": states.count(DeviceState.ONLINE) - 1,
        "return_median_s": round(statistics.median(returns_s), 3),
        "return_max_s": round(max(returns_s), 3),
        "rss_growth_mb": round(rss_end_mb - rss_start_mb, 2),
        "left_behind": {name: after[name] - before[name] for name in after if after[name] > before[name]},
    }


def failed(figures: dict[str, object]) -> bool:
    """Whether the figures break a promise."""
    return bool(
        figures["frames_lost"]
        or figures["frames_wrong"]
        or figures["left_behind"]
        or float(str(figures["fallback_max_s"])) > MAX_FALLBACK_S
        or figures["returns_announced"] != figures["cycles"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--faults", nargs="+", default=["abort", "hang", "garbage", "late"])
    parser.add_argument("--rate", type=float, default=15.0)
    parser.add_argument("--model", type=Path, help="a file that ends in _edgetpu.tflite")
    arguments = parser.parse_args()
    broken = False
    for fault in arguments.faults:
        with tempfile.TemporaryDirectory() as folder:
            model = arguments.model or pair_of(SHIPPED, Path(folder))
            figures = run(Path(folder), fault, arguments.cycles, arguments.rate, model)
        print(json.dumps(figures), flush=True)
        broken |= failed(figures)
    sys.exit(broken)


if __name__ == "__main__":
    main()
