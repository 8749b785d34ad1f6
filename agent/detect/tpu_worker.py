"""The process that holds a model and the native code around it, so that the agent survives both.

    python -m agent.detect.tpu_worker SOCKET MEMORY PARENT RUNTIME DEVICE THREADS MODEL

Started by `agent.detect.tpu_process` only. libedgetpu aborts its process on USB errors and segfaults when it
was built for another TFLite; a damaged file can crash the native parser.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detect.interpreter import Interpreter
from agent.detect.tpu_wire import (
    ANSWER,
    MAGIC,
    MAX_MESSAGE,
    REQUEST,
    Hello,
    Layout,
    Operation,
    Status,
    WireError,
    refusal,
)
from agent.errors import ModelError
from agent.vision.quantize import TensorInfo

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line.

    Args:
        socket_fd, memory_fd: inherited.
        parent: process id of the agent.
        runtime, device, threads, model: as for `Interpreter`.
    """

    socket_fd: int
    memory_fd: int
    parent: int
    runtime: str
    device: str
    threads: int
    model: Path

    def to_argv(self) -> list[str]:
        """As words."""
        return [
            str(self.socket_fd),
            str(self.memory_fd),
            str(self.parent),
            self.runtime,
            self.device,
            str(self.threads),
            str(self.model),
        ]

    @classmethod
    def from_argv(cls, words: list[str]) -> Arguments:
        """From words."""
        socket_fd, memory_fd, parent, runtime, device, threads, model = words
        return cls(int(socket_fd), int(memory_fd), int(parent), runtime, device, int(threads), Path(model))


class Worker:
    """Answers requests with one model until the agent hangs up.

    Args:
        channel: to the agent.
        memory_fd: the shared memory, still empty.
        interpreter: the loaded model.
    """

    def __init__(self, channel: socket.socket, memory_fd: int, interpreter: Interpreter) -> None:
        self.channel = channel
        self.interpreter = interpreter
        layout = Layout(interpreter.inputs, interpreter.outputs)
        os.ftruncate(memory_fd, layout.size)
        # Read only, so that native code that writes astray ends here and not in the agent's recurrent state.
        self._inputs = layout.map_inputs(memory_fd, writable=False)
        self.outputs = layout.map_outputs(memory_fd, writable=True)
        """The outputs in the shared memory."""
        self._pictures = [_test_picture(tensor) for tensor in interpreter.inputs]
        channel.send(Hello(interpreter.runtime, interpreter.inputs, interpreter.outputs).to_bytes())

    def serve(self) -> None:
        """Answer until the other end is closed."""
        while message := self.channel.recv(MAX_MESSAGE):
            magic, operation, sequence = REQUEST.unpack(message)
            if magic != MAGIC:
                raise WireError(f"expected a request, got {message!r}")
            self.answer(operation, sequence)

    def answer(self, operation: int, sequence: int) -> None:
        """Do one request."""
        try:
            self.run(operation)
        except ModelError as error:
            text = error.problem.encode()[: MAX_MESSAGE // 2]
            self.channel.send(ANSWER.pack(MAGIC, Status.FAILED, sequence) + text)
        else:
            self.channel.send(ANSWER.pack(MAGIC, Status.DONE, sequence))

    def run(self, operation: int) -> None:
        """Run the model on the inputs or the test picture; the outputs lie in the shared memory then.

        Raises:
            ModelError: the runtime or the device failed.
        """
        interpreter = self.interpreter
        if operation & Operation.RESET:
            interpreter.reset_states()
        sources = self._pictures if operation & Operation.VERIFY else self._inputs
        for index, source in enumerate(sources):
            np.copyto(interpreter.input_view(index), source)
        interpreter.invoke()
        for index, target in enumerate(self.outputs):
            np.copyto(target, interpreter.output(index))


def _test_picture(tensor: TensorInfo) -> NDArray[Any]:
    """Noise that is the same in every process; zeros for tensors that hold indices rather than a picture."""
    generator = np.random.default_rng(1)
    if tensor.dtype.kind == "f":
        return generator.random(tensor.shape).astype(tensor.dtype)
    if tensor.dtype.itemsize > 2 or tensor.dtype.kind not in "iu":
        return np.zeros(tensor.shape, tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    return generator.integers(limits.min, limits.max, tensor.shape, tensor.dtype, endpoint=True)


def bind_life_to_parent(parent: int) -> None:
    """Die with the agent, even in the middle of a native call, and leave the stopping to it.

    A signal meant for the service as a whole (Ctrl-C, systemd's SIGTERM, SIGHUP to reload) is the agent's to
    answer: it still wants this model for its last frames.
    """
    prctl: Callable[..., int] = ctypes.CDLL(None).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A core dump of an abort would keep the socket open, and the agent waiting, until it is written.
    prctl(_PR_SET_DUMPABLE, 0)
    if os.getppid() != parent:
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def main(make: Callable[[socket.socket, Arguments], Worker]) -> int:
    """Load the model, then answer until the agent hangs up.

    Args:
        make: opens the model and its worker.
    """
    arguments = Arguments.from_argv(sys.argv[1:])
    bind_life_to_parent(arguments.parent)
    with socket.socket(fileno=arguments.socket_fd) as channel:
        try:
            worker = make(channel, arguments)
        except ModelError as error:
            channel.send(refusal(error.where, error.problem, error.hint))
            return error.exit_code
        except WireError as error:
            channel.send(refusal(str(arguments.model), str(error), ""))
            return ModelError.exit_code
        try:
            worker.serve()
        except (BrokenPipeError, ConnectionResetError):
            return 0  # the agent is gone
    return 0


def open_worker(channel: socket.socket, arguments: Arguments) -> Worker:
    """The worker of a real device."""
    # Everything that the native side says goes to the agent, which keeps the last words before a crash.
    interpreter = Interpreter(
        arguments.model,
        runtime=arguments.runtime,
        device=arguments.device,
        threads=arguments.threads,
        quiet=False,
    )
    return Worker(channel, arguments.memory_fd, interpreter)


if __name__ == "__main__":
    sys.exit(main(open_worker))
