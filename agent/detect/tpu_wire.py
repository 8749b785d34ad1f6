"""What a model's process and the agent say to each other.

Messages are datagrams of a few fixed bytes over a socket pair (SOCK_SEQPACKET). Tensors lie in an anonymous
shared memory (memfd), inputs first, then outputs from the next page on; nothing of a frame is serialised.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.vision.quantize import TensorInfo

REQUEST = struct.Struct("<IIQ")
"""Magic, operation, sequence number."""
ANSWER = struct.Struct("<IIQ")
"""Magic, status, sequence number of the request; a text follows when the status is FAILED."""
MAGIC = 0x45544431
MAX_MESSAGE = 1 << 16
MAX_TENSOR_BYTES = 1 << 28
_ALIGNMENT = 64
_DTYPES = frozenset(("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"))
_FLOATS = frozenset(("float16", "float32", "float64"))


class Operation(IntEnum):
    """What is asked for; `RESET` may be added to either of the others."""

    INVOKE = 1
    """Run the model on the inputs in the shared memory."""
    VERIFY = 2
    """Run the model on a fixed test picture."""
    RESET = 16
    """Set the states inside the interpreter to zero first."""


class Status(IntEnum):
    """What came of it."""

    DONE = 0
    FAILED = 1


class WireError(Exception):
    """A message that is none of this protocol's."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a model's process, sent once the model is loaded.

    Args:
        runtime: that it runs in.
        inputs, outputs: of the file, in its order.
    """

    runtime: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def to_bytes(self) -> bytes:
        """As JSON."""
        content = {
            "runtime": self.runtime,
            "inputs": [_to_json(tensor) for tensor in self.inputs],
            "outputs": [_to_json(tensor) for tensor in self.outputs],
        }
        return json.dumps(content).encode()

    @classmethod
    def from_bytes(cls, message: bytes) -> Hello:
        """Read it.

        Raises:
            WireError: it is anything else.
        """
        try:
            content = json.loads(message)
            parts = [tuple(map(_from_json, content[name])) for name in ("inputs", "outputs")]
            return cls(str(content["runtime"]), *parts)
        except (ValueError, TypeError, KeyError) as error:
            raise WireError(f"expected the list of the model's tensors, got {message[:40]!r}") from error


def refusal(where: str, problem: str, hint: str) -> bytes:
    """The first message of a process that cannot load its model: the parts of a ModelError."""
    return json.dumps({"refused": [where, problem, hint]}).encode()


def read_refusal(message: bytes) -> tuple[str, str, str] | None:
    """The parts of a refusal; None when the message is none."""
    try:
        where, problem, hint = json.loads(message)["refused"]
    except (ValueError, TypeError, KeyError):
        return None
    return str(where), str(problem), str(hint)


class Layout:
    """Where tensors lie in the shared memory.

    Raises:
        WireError: they are too large to be those of a model.
    """

    def __init__(self, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> None:
        self._input_tensors, self._output_tensors = inputs, outputs
        self._input_offsets, inputs_end = _offsets(inputs)
        self._output_offsets, outputs_end = _offsets(outputs)
        self.inputs_size = _whole_pages(inputs_end)
        """Bytes of the first part."""
        self.outputs_size = _whole_pages(outputs_end)
        """Bytes of the second part."""

    @property
    def size(self) -> int:
        """Bytes of both parts."""
        return self.inputs_size + self.outputs_size

    def map_inputs(self, memory_fd: int, *, writable: bool) -> list[NDArray[Any]]:
        """The inputs as arrays in the shared memory."""
        memory = mmap.mmap(memory_fd, self.inputs_size, prot=_protection(writable))
        return _views(memory, self._input_tensors, self._input_offsets)

    def map_outputs(self, memory_fd: int, *, writable: bool) -> list[NDArray[Any]]:
        """The outputs as arrays in the shared memory."""
        memory = mmap.mmap(memory_fd, self.outputs_size, prot=_protection(writable), offset=self.inputs_size)
        return _views(memory, self._output_tensors, self._output_offsets)


def _protection(writable: bool) -> int:
    return mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ


def _offsets(tensors: Sequence[TensorInfo]) -> tuple[list[int], int]:
    """Of each tensor its place, and the end of the last."""
    offsets, end = [], 0
    for tensor in tensors:
        offsets.append(end)
        end += _whole(tensor.dtype.itemsize * int(np.prod(tensor.shape, dtype=object)), _ALIGNMENT)
        if end > MAX_TENSOR_BYTES:
            raise WireError(f"expected tensors of at most {MAX_TENSOR_BYTES} bytes, got {tensor}")
    return offsets, end


def _whole(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def _whole_pages(size: int) -> int:
    return _whole(max(size, 1), mmap.ALLOCATIONGRANULARITY)


def _views(memory: mmap.mmap, tensors: Sequence[TensorInfo], offsets: Sequence[int]) -> list[NDArray[Any]]:
    return [
        np.ndarray(tensor.shape, tensor.dtype, memory, offset)
        for tensor, offset in zip(tensors, offsets, strict=True)
    ]


def _to_json(tensor: TensorInfo) -> list[Any]:
    return [
        tensor.name,
        list(tensor.shape),
        tensor.dtype.name,
        tensor.scale,
        tensor.zero_point,
        *tensor.producer,
    ]


def _from_json(content: list[Any]) -> TensorInfo:
    name, shape, dtype, scale, zero_point, operator, position = content
    if dtype not in _DTYPES | _FLOATS or not all(isinstance(side, int) and side > 0 for side in shape):
        raise ValueError
    return TensorInfo(
        name=str(name),
        shape=tuple(shape),
        dtype=np.dtype(dtype),
        scale=float(scale),
        zero_point=int(zero_point),
        producer=(str(operator), int(position)),
    )
