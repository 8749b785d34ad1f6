"""A model in a process of its own: the agent's side.

What native code does there (abort, segfault, hang, answer nonsense) ends up here as one WorkerError.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detect.child_process import ChildProcess
from agent.detect.device_status import DeviceError, DeviceStatus
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
    read_refusal,
)
from agent.errors import ModelError
from agent.vision.quantize import TensorInfo

WORKER_MODULE = "agent.detect.tpu_worker"
_SLOWEST = 5.0  # how much longer than its probe an inference on the CPU may take


class WorkerError(DeviceError):
    """A model's process died, hangs, or answers what cannot be an answer; it is of no more use."""


class TpuProcess:
    """A model that runs in a process of its own, with the interface of `Interpreter`.

    The process is started at once; call `start` before anything else. Serves one thread at a time; `kill` and
    `hang_up` may come from another. As `ChildProcess` says, it lives no longer than the thread that made it.

    Args:
        path, runtime, device, threads: as for `Interpreter`.
        deadline_s: within which an inference is answered; on the CPU, five times the probe's if that is more.
        module: what runs in the process; another than the default is a fake for tests.
        environment: variables for the process beside those that it needs to start.

    Raises:
        WorkerError: no process can be started.
    """

    def __init__(
        self,
        path: Path,
        *,
        runtime: str = "auto",
        device: str = "cpu",
        threads: int = 0,
        deadline_s: float = 1.0,
        module: str = WORKER_MODULE,
        environment: Mapping[str, str] = {},
    ) -> None:
        self.path = path
        self.device = device
        self.runtime = runtime
        self.status: DeviceStatus | None = None
        """None: `FailoverInterpreter` reports."""
        self.inputs: tuple[TensorInfo, ...] = ()
        """The file's inputs, in its order."""
        self.outputs: tuple[TensorInfo, ...] = ()
        """The file's outputs, in its order."""
        self.stateful = True
        """Whether operators of the model remember earlier calls of `invoke`; if not, `verify` can tell right
        answers from wrong."""
        self._deadline_s = deadline_s
        self._sequence = 0
        self._reset = 0
        self._inputs: list[NDArray[Any]] = []
        self._outputs: list[NDArray[Any]] = []
        self._expected: list[NDArray[Any]] = []

        def words(socket_fd: int, memory_fd: int) -> list[str]:
            descriptors = [str(number) for number in (socket_fd, memory_fd, os.getpid())]
            return [*descriptors, runtime, device, str(threads), str(path.absolute())]

        try:
            self.process = ChildProcess(module, words, environment)
            """The process itself."""
        except OSError as error:
            raise self._error(f"expected to start a process, got {error.strerror}") from error

    def start(self, deadline_s: float) -> None:
        """Wait until the model is loaded, and probe it with a test picture.

        Raises:
            ModelError: the process says what is wrong with the model, the runtime or the device.
            WorkerError: it died, hangs, or answers the same picture differently each time.
        """
        end_s = time.monotonic() + deadline_s
        try:
            message = self.process.first_message(deadline_s, MAX_MESSAGE)
        except TimeoutError:
            problem = f"expected it to load {self.path.name} within {deadline_s:g} s, it hangs"
            raise self._error(problem) from None
        if not message:
            raise self.died(f"expected it to load {self.path.name}")
        refused = read_refusal(message)
        if refused is not None:
            raise ModelError(*refused)
        try:
            self._map(Hello.from_bytes(message))
        except (WireError, OSError) as error:
            raise self._error(str(error)) from error
        # The first inference of an Edge TPU uploads the parameters: no deadline but that of the start.
        self.process.channel.settimeout(max(end_s - time.monotonic(), self._deadline_s))
        self._expected = self._test(Operation.RESET)
        again = self._test(0)
        asked_s = time.monotonic()
        after_reset = self._test(Operation.RESET)
        took_s = time.monotonic() - asked_s
        if not _equal(self._expected, after_reset):
            raise self._error("expected the same answer to the same picture, got another each time")
        self.stateful = not _equal(self._expected, again)
        # No CPU stands in for a CPU: there the model's own pace counts, be it seconds on a small board.
        slow_s = took_s * _SLOWEST if self.device == "cpu" else 0.0
        self.process.channel.settimeout(max(self._deadline_s, slow_s))

    def input_view(self, index: int) -> NDArray[Any]:
        """The shared memory of an input, to be written in place.

        Args:
            index: position in `inputs`.
        """
        return self._inputs[index]

    def output(self, index: int) -> NDArray[Any]:
        """The shared memory of an output, read-only, valid until the next `invoke` or `verify`.

        Args:
            index: position in `outputs`.
        """
        return self._outputs[index]

    def invoke(self) -> None:
        """Run the model on what its inputs hold.

        Raises:
            WorkerError: no answer in time, or none that can be one.
        """
        self._ask(Operation.INVOKE | self._reset)
        self._reset = 0

    def verify(self) -> None:
        """Check that the test picture still gets the answer that it got at the start.

        Integers within their range look like any other, so nothing but a known answer shows that a device
        makes them up.

        Raises:
            WorkerError: as for `invoke`, or the answer is another.
        """
        if not self.stateful and not _equal(self._test(0), self._expected):
            raise self._error("expected the known answer to the test picture, got another")

    def reset_states(self) -> None:
        """Set the states that recurrent operators keep between calls to zero, with the next `invoke`."""
        self._reset = Operation.RESET

    def died(self, expected: str = "expected it to stay") -> WorkerError:
        """What to say of the end of the process."""
        return self._error(f"{expected}, {self.process.death()}")

    def close(self) -> None:
        """End the process; for the thread that made it."""
        self.process.close()

    def _map(self, hello: Hello) -> None:
        """Map the shared memory and fix its size: pages that vanish would kill the agent (SIGBUS).

        Raises:
            WireError: it does not hold the tensors.
        """
        layout, memory_fd = Layout(hello.inputs, hello.outputs), self.process.memory_fd
        fcntl.fcntl(memory_fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        size = os.fstat(memory_fd).st_size
        if size != layout.size:
            raise WireError(f"expected {layout.size} bytes of shared memory, got {size}")
        self.runtime, self.inputs, self.outputs = hello.runtime, hello.inputs, hello.outputs
        self._inputs = layout.map_inputs(memory_fd, writable=True)
        self._outputs = layout.map_outputs(memory_fd, writable=False)

    def _test(self, reset: int) -> list[NDArray[Any]]:
        """Copies of the answer to the test picture."""
        self._ask(Operation.VERIFY | reset)
        return [output.copy() for output in self._outputs]

    def _ask(self, operation: int) -> None:
        """Send a request and take its answer.

        Raises:
            WorkerError: there is none in time, or it is of another size or number, or holds NaN or infinity.
        """
        self._sequence += 1
        channel = self.process.channel
        try:
            channel.send(REQUEST.pack(MAGIC, operation, self._sequence))
            answer = channel.recv(MAX_MESSAGE)
        except TimeoutError:
            limit_s = channel.gettimeout() or 0.0
            raise self._error(f"expected an answer within {limit_s:.3g} s, got none") from None
        except OSError:
            answer = b""
        if not answer:
            raise self.died("expected an answer")
        self._check(answer)

    def _check(self, answer: bytes) -> None:
        """Refuse what cannot be the answer to the last request.

        Raises:
            WorkerError: it cannot.
        """
        if len(answer) < ANSWER.size:
            raise self._error(f"expected an answer of {ANSWER.size} bytes, got {len(answer)}")
        magic, status, sequence = ANSWER.unpack_from(answer)
        if magic != MAGIC or status not in tuple(Status):
            raise self._error(f"expected an answer, got the bytes {answer[: ANSWER.size].hex()}")
        if sequence != self._sequence:
            raise self._error(f"expected the answer to request {self._sequence}, got that to {sequence}")
        if status == Status.FAILED:
            raise self._error(answer[ANSWER.size :].decode(errors="replace"))
        for tensor, output in zip(self.outputs, self._outputs, strict=True):
            # Minimum and maximum pass NaN on and, unlike isfinite(), make no array.
            if tensor.dtype.kind == "f" and not (np.isfinite(output.min()) and np.isfinite(output.max())):
                raise self._error(f"expected finite numbers in output {tensor.name}, got NaN or infinity")

    def _error(self, problem: str) -> WorkerError:
        if self.device == "cpu":
            advice = "convert it again, or run edgetrack-convert inspect on it"
            return WorkerError(str(self.path), problem, advice)
        advice = "check its cable and power, and that libedgetpu is built for the runtime in use"
        return WorkerError(f"device {self.device}", problem, advice)


def _equal(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> bool:
    return all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))
