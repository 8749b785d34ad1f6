"""A child process for what may crash.

TensorFlow's converter can end in a segmentation fault, and a damaged or hostile model file can make any
loader do so. The parent reports it in one line and lives on.
"""

from __future__ import annotations

import importlib
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from agent.errors import EdgetrackError, ModelError
from converter.bundle import is_full, temporary_storage_error

_LENGTH = struct.Struct(">Q")
_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "-1",
    "TF_DETERMINISTIC_OPS": "1", "PYTHONHASHSEED": "0", "KERAS_BACKEND": "tensorflow",
}  # fmt: skip
_MIN_MEMORY = 8 * 2**30
"""TensorFlow reserves several gibibytes of addresses that it never fills."""

_NO_MEMORY = "a need for more memory than this machine has"

Progress = Callable[[str], None]


class Worker:
    """Runs functions of this project in one child process, started at the first call.

        with Worker() as worker:
            content = worker.call("converter.quantize:quantize", calibrated, on=path)

    Args:
        timeout_s: longest time that one call may take.
    """

    def __init__(self, timeout_s: float = 1800.0) -> None:
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        # What TensorFlow leaves behind goes with the worker, which is killed and cannot tidy up.
        self._folder = tempfile.TemporaryDirectory(prefix="edgetrack-worker-", ignore_cleanup_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._log.close()
        self._folder.cleanup()

    def call(
        self, function: str, *args: Any, on: Path, progress: Progress | None = None, **kwargs: Any
    ) -> Any:
        """Run `module:function` in the child.

        Args:
            function: importable by that name; a parameter `progress`, if wanted, is passed on to the
                caller's.
            args, kwargs: picklable, as is the result.
            on: the file that it works on, for messages.
            progress: called with each text that the function reports.

        Raises:
            EdgetrackError: what the function raised.
            ModelError: the child crashed, ran out of memory or time, or raised anything else.
        """
        process, requests, replies = self._started()
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()  # first: what follows is noticed before it returns
            process.kill()

        stopper = threading.Timer(self._timeout_s, stop)
        stopper.start()
        try:
            _send(requests, (function, args, kwargs, progress is not None))
            while True:
                kind, value = _receive(replies)
                if kind == "progress" and progress is not None:
                    progress(value)
                elif kind == "result":
                    return value
                elif kind == "error":
                    raise value
                elif kind == "failure":
                    advice = "make the model smaller" if value == _NO_MEMORY else "report it with the model"
                    raise ModelError(str(on), f"expected a model that converts, got {value}", advice)
        except (EOFError, BrokenPipeError) as error:
            raise self._crash(process, on, function, timed_out=timed_out.is_set()) from error
        finally:
            stopper.cancel()

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
        self._process = None

    def _started(self) -> tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]:
        """The child, the pipe to it and the pipe from it."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "converter.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=0,
                env={**os.environ, **_QUIET, "TMPDIR": self._folder.name},
            )  # fmt: skip
        if self._process.stdin is None or self._process.stdout is None:
            raise ModelError("worker", "expected pipes to the child process, got none")
        return self._process, self._process.stdin, self._process.stdout

    def _crash(
        self, process: subprocess.Popen[bytes], on: Path, function: str, timed_out: bool
    ) -> ModelError:
        """What became of a child that went away in the middle of a call."""
        code = process.wait()
        self._log.seek(0)
        lines = [
            line.strip() for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()
        ]
        self._log.truncate(0)
        self.close()
        if timed_out:
            what = f"no end within {self._timeout_s:.0f} s"
        elif code < 0:
            what = f"a crash ({signal.Signals(-code).name})"
        else:
            what = f"an exit with code {code}"
        last = f"; its last words: {lines[-1][:200]}" if lines else ""
        return ModelError(
            str(on),
            f"expected {function.split(':')[1]} to succeed, got {what}{last}",
            "try another export of it",
        )


def _send(pipe: IO[bytes], message: Any) -> None:
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(content)))
    view = memoryview(content)
    while view:
        view = view[pipe.write(view) :]
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    return pickle.loads(_read(pipe, _LENGTH.unpack(_read(pipe, _LENGTH.size))[0]))  # noqa: S301 - our own child


def _read(pipe: IO[bytes], count: int) -> bytes:
    parts, left = [], count
    while left:
        part = pipe.read(left)
        if not part:
            raise EOFError
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _serve() -> None:
    """The child's life: one call after the other until the parent goes away."""
    # Libraries print to stdout; the pipe to the parent must stay clean.
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    limit = max(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), _MIN_MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    requests = os.fdopen(0, "rb", buffering=0, closefd=False)
    while True:
        try:
            name, args, kwargs, wants_progress = _receive(requests)
        except EOFError:
            return
        if wants_progress:
            kwargs["progress"] = lambda text: _send(replies, ("progress", text))
        _send(replies, _answer(name, args, kwargs))


def _answer(name: str, args: Any, kwargs: Any) -> tuple[str, Any]:
    module, function = name.split(":")
    try:
        return "result", getattr(importlib.import_module(module), function)(*args, **kwargs)
    except EdgetrackError as error:
        return "error", error
    except MemoryError:
        return "failure", _NO_MEMORY
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a library raises is reported to the parent
        if isinstance(error, OSError) and is_full(error):
            return "error", temporary_storage_error(error)
        first = next(iter(str(error).strip().splitlines()), "")
        if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, which is not imported here
            return "failure", _NO_MEMORY
        return "failure", f"{type(error).__name__}: {first[:300]}"


if __name__ == "__main__":
    _serve()
