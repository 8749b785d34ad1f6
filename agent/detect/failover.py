"""A model on a device that may fail, and the CPU that goes on with the same frame when it does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.backoff import Backoff
from agent.detect.device_status import DeviceError, DeviceState, DeviceStatus, OnDevice, log_status
from agent.detect.runner import Runner
from agent.detect.tpu_process import TpuProcess, WorkerError
from agent.errors import ModelError
from agent.vision.quantize import TensorInfo

_log = logging.getLogger("edgetrack.detect")
_END_S = 1.0  # what a process may take to end by itself when the detector is closed
_LOOK_S = 1.0  # how often a killed process that does not die is looked at
_STUCK_S = 5.0  # after which it is left behind: it hangs in a driver
_STEADY_S = 60.0  # a device that answers this long is well again: its next fault is a first one


class FailoverInterpreter:
    """A model in a process of its own, on a device, with the interface of `Interpreter`.

    When the process dies, hangs or answers nonsense, it is killed and the standby runs the same frame with
    the same inputs, states among them; none is lost. A thread starts the process again with growing pauses
    and offers it once it has passed its probe; the next frame runs on it.

    Args:
        device: its name, for reports.
        spawn: starts the process, without waiting for it.
        standby: the same model for the CPU, loaded; None when there is none. Closed with this object.
        on_device: told of each change; without it they are logged.
        start_deadline_s: within which the model is loaded and probed.
        patience_s: for how long a standby waits for that; the device takes over when it is ready.
        retry_min_s, retry_max_s: pauses before the first and later attempts; a random part of up to half is
            taken off.
        verify_every_s: how often the test picture is sent between two frames.

    Raises:
        ModelError: the device does not start and there is no standby, or the two are not the same model.
    """

    def __init__(
        self,
        device: str,
        spawn: Callable[[], TpuProcess],
        standby: Runner | None,
        *,
        on_device: OnDevice | None = None,
        start_deadline_s: float = 30.0,
        patience_s: float = 5.0,
        retry_min_s: float = 1.0,
        retry_max_s: float = 60.0,
        verify_every_s: float = 1.0,
    ) -> None:
        self._device = device
        self._spawn = spawn
        self._standby = standby
        self._on_device = on_device or log_status
        self._start_deadline_s = start_deadline_s
        self._verify_every_s = verify_every_s
        self._backoff = Backoff(retry_min_s, retry_max_s)
        self._change = threading.RLock()
        """Held while the state changes and is reported, so that reports come in the order of the changes."""
        self._use = threading.Lock()
        """Held while a frame uses a process, so that its descriptors are not closed meanwhile."""
        self._closing = threading.Event()
        self._decided = threading.Event()
        self._error: ModelError | None = None
        self._newest: TpuProcess | None = None
        self._online: TpuProcess | None = None
        self._online_s = 0.0
        self._retry_s = 0.0
        self._faults = 0
        self._verified_s = 0.0
        self.status: DeviceStatus | None = None
        """The last report."""
        # Processes are made in this thread, and die with it.
        self._thread = threading.Thread(target=self._keep, name=f"device-{device}", daemon=True)
        self.inputs: tuple[TensorInfo, ...] = ()
        """The file's inputs, in its order."""
        self.outputs: tuple[TensorInfo, ...] = ()
        """The file's outputs, in its order."""
        self._thread.start()
        if not self._decided.wait(None if standby is None else patience_s):
            _log.info("device %s: still starting after %g s, the CPU begins", device, patience_s)
        with self._change:
            first = self._online or standby
            if first is not None:
                self.inputs, self.outputs = first.inputs, first.outputs
        if first is None:
            self.close()
            raise self._error or ModelError(f"device {device}", "expected it to start, got nothing")
        self._active: Runner = first
        self.path = first.path
        """The file that was loaded first."""
        self.runtime = first.runtime
        """That the model runs in."""
        self.stateful = first.stateful
        """Whether operators of the model remember earlier calls of `invoke`."""
        if standby is not None and (difference := _difference(first, standby)):
            self.close()
            raise ModelError(
                str(standby.path),
                f"expected the inputs and outputs of {first.path.name}, got {difference}",
                "compile the one from the other again",
            )

    @property
    def device_pid(self) -> int | None:
        """Process id of the model on the device; None while there is none."""
        online = self._online
        return online.process.pid if online else None

    def input_view(self, index: int) -> NDArray[Any]:
        """The memory of an input, to be written in place; let go of it before `invoke`.

        Args:
            index: position in `inputs`.
        """
        return self._active.input_view(index)

    def output(self, index: int) -> NDArray[Any]:
        """The memory of an output, valid until the next `invoke`; let go of it before that, or copy it.

        Args:
            index: position in `outputs`.
        """
        return self._active.output(index)

    def invoke(self) -> None:
        """Run the model on what its inputs hold: on the device, or on the CPU when that fails.

        Raises:
            DeviceError: the device failed, or is not back yet, and there is no standby.
            ModelError: both failed.
        """
        online = self._online
        if online is None and self._standby is None:
            raise DeviceError(f"device {self._device}", "expected it to be back, it is not yet")
        if online is not None and online is not self._active:
            self._move(online)
            self._verified_s = time.monotonic()
        active = self._active
        if isinstance(active, TpuProcess):
            try:
                with self._use:
                    if time.monotonic() - self._verified_s >= self._verify_every_s:
                        active.verify()
                        self._verified_s = time.monotonic()
                    active.invoke()
            except WorkerError as error:
                active.process.kill()
                self._lost(active, error)
                if self._standby is None:
                    raise
                self._move(self._standby)
            else:
                return
        self._active.invoke()

    def reset_states(self) -> None:
        """Set the states that recurrent operators keep between calls to zero."""
        self._active.reset_states()

    def close(self) -> None:
        """End the process and the thread that keeps it; nothing is reported any more."""
        self._closing.set()
        with self._change:
            newest, online = self._newest, self._online
        if newest is not None:
            newest.process.hang_up() if newest is online else newest.process.kill()
        self._thread.join(_END_S)
        if self._thread.is_alive() and newest is not None:
            newest.process.kill()
            self._thread.join(_STUCK_S)
        if self._standby is not None:
            self._standby.close()

    def _move(self, to: Runner) -> None:
        """Go on with another runner: its inputs, states among them, become those of the active one."""
        for index in range(len(self.inputs)):
            np.copyto(to.input_view(index), self._active.input_view(index))
        to.reset_states()
        self._active = to

    def _keep(self) -> None:
        """The body of the thread: start the process, wait for its end, pause, and again."""
        try:
            while not self._closing.is_set():
                self._start_and_watch()
                self._closing.wait(self._retry_s - time.monotonic())
        finally:
            self._decided.set()

    def _start_and_watch(self) -> None:
        """One life of the process."""
        worker = None
        try:
            worker = self._newest = self._spawn()
            if self._closing.is_set():
                worker.process.kill()
            worker.start(self._start_deadline_s)
            self._offer(worker)
        except ModelError as error:
            self._lost(None, error)
            if worker is not None:
                worker.process.kill()
        self._decided.set()
        if worker is not None:
            self._watch(worker)
            with self._use:
                worker.close()

    def _offer(self, worker: TpuProcess) -> None:
        """Let the next frame run on a process that has passed its probe.

        Raises:
            ModelError: its file is another than at the start.
        """
        with self._change:
            if self.inputs and (difference := _difference(self, worker)):
                raise ModelError(
                    str(worker.path), f"expected the same model as at the start, got {difference}"
                )
            self._online, self._online_s = worker, time.monotonic()
            self._report(DeviceState.ONLINE, worker.path.name)

    def _watch(self, worker: TpuProcess) -> None:
        """Wait until the process has ended; one that was killed and hangs in a driver is left behind."""
        lost_s: float | None = None
        while not worker.process.wait(_LOOK_S):
            if self._online is worker:
                continue
            lost_s = lost_s or time.monotonic()
            if time.monotonic() - lost_s > _STUCK_S:
                _log.error(
                    "device %s: process %d cannot be killed, it is left", worker.device, worker.process.pid
                )
                return
        self._lost(worker, worker.died())

    def _lost(self, worker: TpuProcess | None, error: ModelError) -> None:
        """Note that a process is of no use and when the next is due; whoever notices first reports it.

        Args:
            worker: the process that was online; None for one that did not start.
            error: why.
        """
        with self._change:
            if self._closing.is_set() or (worker is not None and worker is not self._online):
                return
            now_s = time.monotonic()
            if self._online is not None and now_s - self._online_s >= _STEADY_S:
                self._backoff.reset()
            self._online = None
            if not self._decided.is_set():
                self._error = error
            pause_s = self._backoff.next_s()
            self._retry_s = now_s + pause_s
            self._faults += worker is not None
            standby = self._standby
            state = DeviceState.LOST if standby is None else DeviceState.FALLBACK
            self._report(state, standby.path.name if standby else "", str(error), pause_s)

    def _report(self, state: DeviceState, model: str, reason: str = "", next_try_s: float = 0.0) -> None:
        attempt = self._backoff.attempts
        status = DeviceStatus(self._device, state, model, reason, attempt, next_try_s, self._faults)
        self.status = status
        try:
            self._on_device(status)
        except Exception:  # noqa: BLE001 - logged; detection matters more than the report
            _log.exception("device %s: reporting its state failed", self._device)


def _difference(one: Runner, other: Runner) -> str:
    """What tells two files apart: their first tensor that is another; empty when none is."""
    for name in ("inputs", "outputs"):
        left, right = getattr(one, name), getattr(other, name)
        if len(left) != len(right):
            return f"{len(right)} {name} instead of {len(left)}"
        for first, second in zip(left, right, strict=True):
            if _kind(first) != _kind(second):
                return f"{second} instead of {first}, or another scale"
    return ""


def _kind(tensor: TensorInfo) -> tuple[object, ...]:
    return tensor.shape, tensor.dtype, tensor.scale, tensor.zero_point
