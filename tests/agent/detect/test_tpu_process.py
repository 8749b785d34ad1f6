"""The process of a model: how it begins and ends, what it inherits, what it leaves behind."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.detect.detector import probe_detector
from agent.detect.runner import open_runner
from agent.detect.settings import DetectorSettings
from agent.detect.tpu_process import TpuProcess, WorkerError
from agent.detect.tpu_wire import Hello, WireError, read_refusal
from agent.errors import ModelError

PARENT = """
import sys, threading
from pathlib import Path
from agent.detect.settings import DetectorSettings
from agent.detect.runner import open_runner
runner = open_runner(DetectorSettings(model=Path(sys.argv[1]), isolate="always", threads=1))
print(runner.device_pid, flush=True)
sys.stdin.read()
"""


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not hold within {timeout_s} s"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether no such process runs; one that nobody has waited for yet counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def children() -> set[int]:
    """Children of this process, zombies included."""
    return {
        int(child)
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    }


def descriptors() -> set[int]:
    """Open descriptors of this process."""
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def started(small_models):
    process = TpuProcess(small_models / "bright.tflite", threads=1, deadline_s=60.0)
    process.start(60.0)
    yield process
    process.close()


@pytest.mark.parametrize("stopped", [False, True])
def test_no_orphan_is_left_when_the_agent_is_killed(small_models, stopped):
    """Neither by a process that waits nor by one that can run no code at all."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(small_models / "bright.tflite")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        child = int(parent.stdout.readline())
        if stopped:
            os.kill(child, signal.SIGSTOP)
        parent.kill()
        wait_until(lambda: gone(child), "end of the model's process")


def test_signals_to_the_whole_service_leave_the_model_to_the_agent(started):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(started.process.pid, number)
    started.invoke()


def test_closing_leaves_no_process_descriptor_or_thread(small_models):
    model = small_models / "bright.tflite"
    settings = DetectorSettings(model=model, isolate="always", threads=1, deadline_s=60)
    gc.collect()  # what other tests left behind is not ours, and may go meanwhile

    def owned() -> tuple[set[int], set[int], set[threading.Thread]]:
        return children(), descriptors(), set(threading.enumerate())

    before = owned()
    for _ in range(2):
        runner = open_runner(settings)
        runner.invoke()
        runner.close()
        del runner
        gc.collect()
    wait_until(
        lambda: all(after <= earlier for after, earlier in zip(owned(), before, strict=True)), "the end"
    )


def test_the_process_gets_no_secret_of_the_agent(small_models, tmp_path, monkeypatch):
    secrets = ("EDGETRACK_BROKER_PASSWORD", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET")
    for name in secrets:
        monkeypatch.setenv(name, "opensesame")
    script = "import os; print('SEEN', sorted(set(os.environ) - {'PATH', 'HOME', 'LANG'}))"
    (tmp_path / "seen_by_a_child.py").write_text(script)
    monkeypatch.syspath_prepend(tmp_path)
    process = TpuProcess(small_models / "bright.tflite", module="seen_by_a_child")
    try:
        with pytest.raises(WorkerError, match=r"exit code 0 \(SEEN \[.*'PYTHONPATH'.*\]\)") as caught:
            process.start(60.0)
    finally:
        process.close()
    assert not any(name in str(caught.value) for name in secrets)


def test_a_process_that_cannot_even_start_says_why(small_models):
    process = TpuProcess(small_models / "bright.tflite", module="agent.detect.no_such_module")
    try:
        with pytest.raises(
            WorkerError, match=r"exit code 1 \(.*No module named agent\.detect\.no_such_module\)"
        ):
            process.start(60.0)
    finally:
        process.close()


def test_the_runtimes_own_refusal_comes_through(tmp_path):
    path = tmp_path / "text.tflite"
    path.write_text("this is no model, but it is longer than eight bytes")
    with pytest.raises(ModelError, match=r"text\.tflite: expected a \.tflite file, got b'this is '"):
        probe_detector(DetectorSettings(model=path))


def test_a_missing_libedgetpu_is_named_with_its_cure(small_models):
    with pytest.raises(
        ModelError, match=r"device usb:0: expected the Edge TPU runtime, got libedgetpu\.so\.1"
    ):
        probe_detector(DetectorSettings(model=small_models / "bright.tflite", device="usb:0"))


def test_a_damaged_file_that_crashes_the_native_parser_is_one_clear_line(small_models, tmp_path):
    """A byte changed in a real file: one in ten crashes tflite-runtime although every offset is sound."""
    pytest.importorskip("tflite_runtime")
    whole = (small_models / "bright.tflite").read_bytes()
    outcomes = set()
    for seed in (12, 23, 24, 26, 39, 57):
        generator = random.Random(seed)
        damaged = bytearray(whole)
        damaged[generator.randrange(8, len(whole))] = generator.randrange(256)
        path = tmp_path / f"damaged{seed}.tflite"
        path.write_bytes(damaged)
        process = TpuProcess(path, runtime="tflite-runtime", threads=1)
        try:
            process.start(60.0)
            outcomes.add("ran")
        except ModelError as error:
            assert "\n" not in str(error)
            outcomes.add("died of SIGSEGV" if "its process died of SIGSEGV" in str(error) else "refused")
        finally:
            process.close()
    assert "died of SIGSEGV" in outcomes, outcomes


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff\xfe",
        b'{"runtime":"x","inputs":[["a",[1],"object",0,0,"",0]],"outputs":[]}',
        b'{"runtime":"x","inputs":[["a",[-1],"int8",0,0,"",0]],"outputs":[]}',
        b'{"runtime":"x","inputs":[["a",[1],"int8",0,0]],"outputs":[]}',
    ],
)
def test_a_hello_that_is_none_is_refused(message):
    with pytest.raises(WireError):
        Hello.from_bytes(message)
    assert read_refusal(message) is None
