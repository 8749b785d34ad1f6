"""The child process: results, errors, crashes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import DataError, ModelError
from converter.worker import Worker

HERE = Path("model.onnx")


def double(value: int) -> int:
    print("libraries print to stdout; the pipe must not mind")
    return 2 * value


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(3)


def complain() -> None:
    raise DataError("samples", "expected 3, got 4", "count again")


def fail() -> None:
    raise ZeroDivisionError("somewhere deep")


def hang() -> None:
    time.sleep(600)


def report(progress: object) -> str:
    assert callable(progress)
    progress("half way")
    return "done"


@pytest.fixture
def small_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())]))
    with Worker(timeout_s=240) as worker:
        yield worker


def test_result_and_progress_come_back(small_worker: Worker) -> None:
    told: list[str] = []
    assert small_worker.call("test_worker:double", 21, on=HERE) == 42
    assert small_worker.call("test_worker:report", on=HERE, progress=told.append) == "done"
    assert told == ["half way"]


def test_own_error_passes_through_and_others_are_named(small_worker: Worker) -> None:
    with pytest.raises(DataError, match="samples: expected 3, got 4; count again"):
        small_worker.call("test_worker:complain", on=HERE)
    with pytest.raises(ModelError, match=r"model.onnx: .*ZeroDivisionError: somewhere deep"):
        small_worker.call("test_worker:fail", on=HERE)


@pytest.mark.parametrize(
    ("function", "what"), [("crash", r"a crash \(SIGSEGV\)"), ("leave", "an exit with code 3")]
)
def test_crash_is_one_error_and_the_next_call_works(small_worker: Worker, function: str, what: str) -> None:
    with pytest.raises(ModelError, match=what):
        small_worker.call(f"test_worker:{function}", on=HERE)
    assert small_worker.call("test_worker:double", 2, on=HERE) == 4


@pytest.mark.usefixtures("small_worker")  # for the child's PYTHONPATH
def test_call_that_does_not_end_is_ended() -> None:
    with Worker(timeout_s=2.0) as worker, pytest.raises(ModelError, match="no end within 2 s"):
        worker.call("test_worker:hang", on=HERE)


@pytest.mark.usefixtures("small_worker")
def test_time_out_is_told_although_the_thread_that_kills_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    kill, told = subprocess.Popen.kill, threading.Event()

    def kill_and_linger(process: subprocess.Popen[bytes]) -> None:
        kill(process)
        if threading.current_thread() is not threading.main_thread():
            told.wait(60)

    monkeypatch.setattr(subprocess.Popen, "kill", kill_and_linger)
    try:
        with Worker(timeout_s=1.0) as worker, pytest.raises(ModelError, match="no end within 1 s"):
            worker.call("test_worker:hang", on=HERE)
    finally:
        told.set()
