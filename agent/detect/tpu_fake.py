"""A fake Edge TPU for tests, on the CPU: its process aborts, hangs or answers nonsense when told to.

It takes the place of `agent.detect.tpu_worker` for devices named `fake:0`, `fake:1` …, which the settings
refuse unless the environment names a folder in EDGETRACK_FAKE_TPU. A file `0` in that folder holds a command
for `fake:0`:

| command | what happens |
| --- | --- |
| `abort`, `segfault` | at the next inference the process dies of it, as libedgetpu does on USB errors |
| `hang` | at the next inference it stops for ever |
| `late SECONDS` | the next inference is answered that much later |
| `fail` | at the next inference the runtime reports an error |
| `garbage` | from the next inference on, outputs hold noise |
| `nan` | from the next inference on, float outputs hold NaN |
| `stale` | the next inference is answered with the number of the one before |
| `short` | the next inference is answered with too few bytes |
| `unplugged` | while the file says so, no device is found |
| `load-abort`, `load-hang` | while the file says so, loading ends in that |

Those that speak of an inference are done once; the file is removed as they are taken.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import NoReturn

import numpy as np

from agent.detect.interpreter import Interpreter
from agent.detect.settings import FAKE_TPU_VARIABLE, cpu_model
from agent.detect.tpu_wire import ANSWER, MAGIC, Operation, Status
from agent.detect.tpu_worker import Arguments, Worker, main
from agent.errors import ModelError


def control_file(device: str) -> Path:
    """Where the commands for a fake device are looked for."""
    return Path(os.environ[FAKE_TPU_VARIABLE]) / device.removeprefix("fake:")


def _hang() -> NoReturn:
    while True:
        signal.pause()


def _die(number: signal.Signals) -> NoReturn:
    os.write(2, b"F fake.cc:1] transfer on tag 2 failed. Abort.\n")
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    _hang()


class FakeWorker(Worker):
    """A worker that obeys a control file.

    Args:
        channel, memory_fd, interpreter: as for `Worker`.
        control: the file.
    """

    def __init__(
        self, channel: socket.socket, memory_fd: int, interpreter: Interpreter, control: Path
    ) -> None:
        super().__init__(channel, memory_fd, interpreter)
        self._control = control
        self._nonsense = ""
        self._generator = np.random.default_rng()

    def answer(self, operation: int, sequence: int) -> None:
        """Do one request, or what the control file says."""
        command, value = self._take() if operation & Operation.INVOKE else ("", 0.0)
        match command:
            case "abort":
                _die(signal.SIGABRT)
            case "segfault":
                _die(signal.SIGSEGV)
            case "hang":
                _hang()
            case "late":
                threading.Event().wait(value)
            case "fail":
                text = b"expected the model to run, got a failed transfer"
                self.channel.send(ANSWER.pack(MAGIC, Status.FAILED, sequence) + text)
                return
            case "garbage" | "nan":
                self._nonsense = command
            case "short":
                self.channel.send(b"?")
                return
        super().answer(operation, sequence - 1 if command == "stale" else sequence)

    def run(self, operation: int) -> None:
        """Run the model, then spoil what it found if it was told to."""
        super().run(operation)
        for output in self.outputs:
            if self._nonsense == "garbage" and output.dtype.kind in "iu":
                limits = np.iinfo(output.dtype)
                output[...] = self._generator.integers(
                    limits.min, limits.max, output.shape, output.dtype, endpoint=True
                )
            elif self._nonsense == "garbage":
                output[...] = self._generator.random(output.shape)
            elif self._nonsense == "nan" and output.dtype.kind == "f":
                output[...] = np.nan

    def _take(self) -> tuple[str, float]:
        """The command that waits, with its number; ("", 0) when there is none."""
        try:
            name, _, value = self._control.read_text().strip().partition(" ")
        except FileNotFoundError:
            return "", 0.0
        if name == "unplugged" or name.startswith("load-"):
            return "", 0.0
        self._control.unlink(missing_ok=True)
        return name, float(value or 0.0)


def open_fake(channel: socket.socket, arguments: Arguments) -> FakeWorker:
    """The worker of a fake device: the CPU's model behind its name."""
    control = control_file(arguments.device)
    command = control.read_text().strip() if control.exists() else ""
    if command == "unplugged":
        raise ModelError(
            f"device {arguments.device}",
            "expected an Edge TPU, the fake is unplugged",
            f"remove the command from {control}",
        )
    if command == "load-abort":
        _die(signal.SIGABRT)
    if command == "load-hang":
        _hang()
    model = cpu_model(arguments.model)
    interpreter = Interpreter(model, runtime=arguments.runtime, threads=arguments.threads, quiet=False)
    return FakeWorker(channel, arguments.memory_fd, interpreter, control)


if __name__ == "__main__":
    sys.exit(main(open_fake))
