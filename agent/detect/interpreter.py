"""Running `.tflite` files: LiteRT or tflite-runtime, on the CPU or on an Edge TPU.

The only module that imports either.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detect.device_status import DeviceStatus
from agent.detect.tflite_file import check_tflite
from agent.errors import ModelError
from agent.vision.quantize import TensorInfo

_MODULES = {"litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
_PACKAGES = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}
_EDGETPU_LIBRARY = "libedgetpu.so.1"
_MAX_THREADS = 4  # beyond it, models of the size that fits a Pi gain nothing
_STATEFUL = frozenset(
    f"{way}_SEQUENCE_{cell}" for way in ("UNIDIRECTIONAL", "BIDIRECTIONAL") for cell in ("LSTM", "RNN")
) | {"LSTM", "RNN", "SVDF", "VAR_HANDLE"}  # their state is kept in the interpreter
_stderr_lock = threading.Lock()


class Interpreter:
    """One model, loaded and ready to run. Serves one thread at a time.

    Args:
        path: the `.tflite` file.
        runtime: "litert", "tflite-runtime", or "auto" for the first that is installed; for an Edge TPU
            tflite-runtime comes first, since libedgetpu must match the runtime that it was built for.
        device: "cpu", "edgetpu" (any), "usb", "usb:0", "pci:0" …
        threads: of the CPU; 0 for as many as there are cores, at most 4.
        quiet: drop what the runtime says of itself while it loads.

    Raises:
        ModelError: the file is no `.tflite` file, the runtime or libedgetpu is missing, or the runtime
            refuses the model.
    """

    def __init__(
        self,
        path: Path,
        *,
        runtime: str = "auto",
        device: str = "cpu",
        threads: int = 0,
        quiet: bool = True,
    ) -> None:
        check_tflite(path)
        self.path = path
        self.device = device
        self.status: DeviceStatus | None = None
        """None: a device in this process takes it along when it fails, and can report nothing."""
        self.runtime, module = _load_runtime(runtime, edgetpu=device != "cpu")
        threads = threads or min(os.cpu_count() or 1, _MAX_THREADS)
        with _without_info_lines() if quiet else nullcontext():
            delegates = None if device == "cpu" else [_load_edgetpu(module, device)]
            try:
                self._native = module.Interpreter(
                    model_path=str(path), experimental_delegates=delegates, num_threads=threads
                )
                self._native.allocate_tensors()
                # Names that are no UTF-8 and sizes beyond all memory are damage that only shows here.
                details_in, details_out = self._native.get_input_details(), self._native.get_output_details()
                operators = _operators(self._native)
            except (ValueError, RuntimeError, MemoryError) as error:
                raise ModelError(str(path), _reason(error), _advice(error, self.runtime, device)) from error
        producers = _producers(operators)
        self.stateful = any(operator["op_name"] in _STATEFUL for operator in operators)
        """Whether operators of the model remember earlier calls of `invoke`."""
        self.inputs: tuple[TensorInfo, ...] = tuple(_tensor_info(details, {}) for details in details_in)
        """The file's inputs, in its order."""
        self.outputs: tuple[TensorInfo, ...] = tuple(
            _tensor_info(details, producers) for details in details_out
        )
        """The file's outputs, in its order."""
        self._input_indices = [int(details["index"]) for details in details_in]
        self._output_indices = [int(details["index"]) for details in details_out]

    def input_view(self, index: int) -> NDArray[Any]:
        """The memory of an input, to be written in place; let go of it before `invoke`.

        Args:
            index: position in `inputs`.
        """
        view: NDArray[Any] = self._native.tensor(self._input_indices[index])()
        return view

    def output(self, index: int) -> NDArray[Any]:
        """The memory of an output, valid until the next `invoke`; let go of it before that, or copy it.

        Args:
            index: position in `outputs`.
        """
        view: NDArray[Any] = self._native.tensor(self._output_indices[index])()
        return view

    def invoke(self) -> None:
        """Run the model on what its inputs hold.

        Raises:
            ModelError: the runtime or the device failed.
        """
        try:
            self._native.invoke()
        except (ValueError, RuntimeError, MemoryError) as error:
            raise ModelError(
                str(self.path), f"expected the model to run, got {_first_line(error)}"
            ) from error

    def reset_states(self) -> None:
        """Set the states that recurrent operators keep between calls to zero."""
        self._native.reset_all_variables()

    def close(self) -> None:
        """Nothing to do: the memory goes with the object. Here for what takes any `Runner`."""


def _load_runtime(runtime: str, *, edgetpu: bool) -> tuple[str, ModuleType]:
    """Import a runtime.

    Raises:
        ModelError: none of those asked for is installed.
    """
    both = ("tflite-runtime", "litert") if edgetpu else ("litert", "tflite-runtime")
    names = both if runtime == "auto" else (runtime,)
    reasons = []
    for name in names:
        try:
            return name, importlib.import_module(_MODULES[name])
        except (ImportError, AttributeError) as error:
            # tflite-runtime 2.14 was built for NumPy 1; with NumPy 2 its import ends in one of these.
            reasons.append(f"{_PACKAGES[name]} ({_first_line(error)})")
    raise ModelError(
        "runtime", f"expected {' or '.join(reasons)}, got none", f"pip install {_PACKAGES[names[0]]}"
    )


def _load_edgetpu(module: ModuleType, device: str) -> Any:
    """The Edge TPU delegate.

    Raises:
        ModelError: libedgetpu is missing, or finds no such device.
    """
    options = {} if device == "edgetpu" else {"device": device}
    try:
        # Asked here first: the runtimes' own Delegate complains once more when it is thrown away.
        ctypes.CDLL(_EDGETPU_LIBRARY)
        return module.load_delegate(_EDGETPU_LIBRARY, options)
    except OSError as error:
        raise ModelError(
            f"device {device}",
            f"expected the Edge TPU runtime, got {_first_line(error)}",
            "install libedgetpu1-std, or set device: cpu",
        ) from error
    except ValueError as error:
        raise ModelError(
            f"device {device}",
            f"expected an Edge TPU, {_EDGETPU_LIBRARY} found none ({_first_line(error)})",
            "check its cable, its udev rule and whether another process holds it, or set device: cpu",
        ) from error


def _tensor_info(details: dict[str, Any], producers: dict[int, tuple[str, int]]) -> TensorInfo:
    """What the file says of a tensor.

    Raises:
        ModelError: it is quantised per channel, which no input or output can be.
    """
    scale, zero_point = details["quantization"]
    scales = details["quantization_parameters"]["scales"]
    if len(scales) > 1:
        raise ModelError(
            details["name"], f"expected one scale, got {len(scales)}", "convert with per-tensor activations"
        )
    return TensorInfo(
        name=details["name"],
        shape=tuple(int(side) for side in details["shape"]),
        dtype=np.dtype(details["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
        producer=producers.get(int(details["index"]), ("", 0)),
    )


def _operators(native: Any) -> list[dict[str, Any]]:
    """The model's operators, as far as the runtime tells."""
    list_operators = getattr(native, "_get_ops_details", None)  # in both runtimes, though not documented
    return list(list_operators()) if list_operators else []


def _producers(operators: list[dict[str, Any]]) -> dict[int, tuple[str, int]]:
    """By tensor: the operator that writes it and the position among that operator's outputs."""
    return {
        int(tensor): (str(operator["op_name"]), position)
        for operator in operators
        for position, tensor in enumerate(operator["outputs"])
    }


def _first_line(error: BaseException) -> str:
    """What the runtime says, once: it repeats itself for every part of a model, without a space."""
    lines = str(error).strip().splitlines()
    text = re.sub(r"(.{12,}?)\1+", r"\1", lines[0]) if lines else type(error).__name__
    return re.sub(r"(?<=[a-z])(?=Node number)", ": ", text).rstrip(". ")


def _reason(error: Exception) -> str:
    return f"expected a model that the runtime can load, got {_first_line(error)}"


def _advice(error: Exception, runtime: str, device: str) -> str:
    """What to do about a model that was refused."""
    text = str(error)
    if "edgetpu-custom-op" in text:
        return "it was compiled for an Edge TPU: set device: edgetpu, or use the file without _edgetpu"
    if "version" in text and "op" in text.lower():
        return f"it needs a newer runtime than this {runtime}: set runtime: litert, or convert it again"
    if device != "cpu":
        return "libedgetpu must be built for the runtime in use"
    return "convert it again, or run edgetrack-convert inspect on it"


@contextmanager
def _without_info_lines() -> Iterator[None]:
    """Drop the `INFO:` lines that the runtimes' C++ side writes to stderr; all others are passed on.

    They offer no switch for it, so the descriptor itself is turned aside while a model is loaded.
    """
    with _stderr_lock:
        try:
            kept = os.dup(2)
        except OSError:  # stderr is closed: nothing can be written to it
            yield
            return
        with tempfile.TemporaryFile() as aside:
            sys.stderr.flush()
            os.dup2(aside.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(kept, 2)
                os.close(kept)
                aside.seek(0)
                lines = aside.read().splitlines(keepends=True)
                os.write(2, b"".join(line for line in lines if not line.startswith(b"INFO: ")))
