"""Where a model runs: in this process, in one of its own, or on a device with the CPU standing by."""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from agent.detect.device_status import DeviceStatus, OnDevice
from agent.detect.settings import FAKE_TPU_VARIABLE, DetectorSettings, cpu_model
from agent.errors import ConfigError, ModelError
from agent.vision.quantize import TensorInfo

if TYPE_CHECKING:
    from agent.detect.tpu_process import TpuProcess

_log = logging.getLogger("edgetrack.detect")


class Runner(Protocol):
    """A loaded model; serves one thread at a time."""

    path: Path
    """The `.tflite` file."""
    runtime: str
    """That the model runs in."""
    inputs: tuple[TensorInfo, ...]
    """The file's inputs, in its order."""
    outputs: tuple[TensorInfo, ...]
    """The file's outputs, in its order."""
    status: DeviceStatus | None
    """The last report of the device; None where there is none to report."""
    stateful: bool
    """Whether operators of the model remember earlier calls of `invoke`."""

    def input_view(self, index: int) -> NDArray[Any]:
        """The memory of an input, to be written in place; let go of it before `invoke`."""
        ...

    def output(self, index: int) -> NDArray[Any]:
        """The memory of an output, valid until the next `invoke`; let go of it before that, or copy it."""
        ...

    def invoke(self) -> None:
        """Run the model on what its inputs hold.

        Raises:
            ModelError: the runtime or the device failed, and nothing stands in for it.
        """
        ...

    def reset_states(self) -> None:
        """Set the states that recurrent operators keep between calls to zero."""
        ...

    def close(self) -> None:
        """Give back processes, threads and the device."""
        ...


def open_runner(settings: DetectorSettings, on_device: OnDevice | None = None) -> Runner:
    """Load the model that the settings name, where they say.

    Args:
        settings: of kind tflite.
        on_device: told when an Edge TPU is lost and when it is back; without it that is logged.

    Raises:
        ModelError: the model, its runtime or its device do not fit, and no CPU model stands by.
    """
    if settings.model is None:
        raise ConfigError("detector.model", "expected the path of a .tflite file, got none")
    # Each imported where it is needed: with the model in another process, this one needs no runtime.
    if settings.isolate == "never" or (settings.isolate == "auto" and settings.device == "cpu"):
        from agent.detect.interpreter import Interpreter

        return Interpreter(
            settings.model, runtime=settings.runtime, device=settings.device, threads=settings.threads
        )
    from agent.detect.failover import FailoverInterpreter

    standby = None if settings.device == "cpu" else _open_standby(settings, settings.model)
    try:
        return FailoverInterpreter(
            settings.device, partial(_spawn, settings, settings.model), standby, on_device=on_device
        )
    except ModelError:
        if standby is not None:
            standby.close()
        raise


def _spawn(settings: DetectorSettings, model: Path) -> TpuProcess:
    """Start the process of a model."""
    from agent.detect.tpu_process import WORKER_MODULE, TpuProcess

    fake = settings.device.startswith("fake:")
    return TpuProcess(
        model,
        runtime=settings.runtime,
        device=settings.device,
        threads=settings.threads,
        deadline_s=settings.deadline_s,
        module="agent.detect.tpu_fake" if fake else WORKER_MODULE,
        environment={FAKE_TPU_VARIABLE: os.environ[FAKE_TPU_VARIABLE]} if fake else {},
    )


def _open_standby(settings: DetectorSettings, model: Path) -> Runner | None:
    """The CPU's model beside one for an Edge TPU; loaded now, since a device fails when time is short."""
    standby = cpu_model(model)
    if not standby.exists():
        _log.warning(
            "%s: expected %s beside it, to go on with when the device fails, got none; "
            "without it nothing is detected until the device is back",
            model,
            standby.name,
        )
        return None
    return open_runner(settings.model_copy(update={"model": standby, "device": "cpu"}))
