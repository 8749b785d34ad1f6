"""Is this a whole `.tflite` file? Asked before a native parser sees it, since some crash on the answer no.

tflite-runtime does not verify a file and dies of a signal on a truncated one. This walks what it follows
first: the tables of the model, the bounds of every buffer, tensor and operator.

Source: the FlatBuffers binary format; TensorFlow Lite schema v3 (field numbers).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from agent.errors import ModelError

_IDENTIFIER = b"TFL3"
_MAX_ITEMS = 1_000_000
_OPERATOR_CODES, _SUBGRAPHS, _BUFFERS = 1, 2, 4  # fields of Model
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3  # of SubGraph


class _DamageError(Exception):
    """An offset leads out of the file."""


class _Reader:
    """FlatBuffers tables with every access checked against the file's bounds."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._size = len(data)

    def _number(self, form: str, at: int) -> int:
        if not 0 <= at <= self._size - struct.calcsize(form):
            raise _DamageError
        return int(struct.unpack_from(form, self._data, at)[0])

    def root(self) -> int:
        """Position of the root table."""
        return self._number("<I", 0)

    def field(self, table: int, number: int) -> int | None:
        """Position of a field's value, or None when the table leaves it out."""
        vtable = table - self._number("<i", table)
        length = self._number("<H", vtable)
        slot = 4 + 2 * number
        if slot + 2 > length:
            return None
        offset = self._number("<H", vtable + slot)
        return table + offset if offset else None

    def vector(self, table: int, number: int, item_size: int) -> tuple[int, int]:
        """(position of the first item, number of items) of a vector that lies wholly in the file."""
        at = self.field(table, number)
        if at is None:
            return 0, 0
        start = at + self._number("<I", at)
        items = self._number("<I", start)
        if start + 4 + items * item_size > self._size:
            raise _DamageError
        return start + 4, items

    def tables(self, table: int, number: int) -> Iterator[int]:
        """Positions of the tables in a vector."""
        start, items = self.vector(table, number, 4)
        if items > _MAX_ITEMS:
            raise _DamageError
        for at in range(start, start + 4 * items, 4):
            yield at + self._number("<I", at)

    def integers(self, table: int, number: int, limit: int) -> None:
        """Check a vector of indices: each -1 (absent) or below the limit."""
        start, items = self.vector(table, number, 4)
        for at in range(start, start + 4 * items, 4):
            if not -1 <= self._number("<i", at) < limit:
                raise _DamageError

    def unsigned(self, table: int, number: int) -> int:
        """A scalar uint32 field; 0 when it is left out."""
        at = self.field(table, number)
        return 0 if at is None else self._number("<I", at)


def check_tflite(path: Path) -> None:
    """Refuse what is no whole `.tflite` file.

    Raises:
        ModelError: the file is missing, empty, of another kind, truncated or damaged.
    """
    advice = "give a model that edgetrack-convert or TensorFlow Lite wrote"
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if len(head) < 8 or head[4:8] != _IDENTIFIER:
                got = "an empty file" if not head else f"{head[:8]!r} at its start"
                raise ModelError(str(path), f"expected a .tflite file, got {got}", advice)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _walk(_Reader(data))
    except OSError as error:
        raise ModelError(str(path), f"expected a .tflite file, got {error.strerror or error}") from error
    except _DamageError as error:
        raise ModelError(
            str(path), "expected a whole .tflite file, got a truncated or damaged one", advice
        ) from error


def _walk(reader: _Reader) -> None:
    """Follow every offset that a parser follows before it checks anything.

    Raises:
        _DamageError: one leads out of the file, or an index out of its list.
    """
    model = reader.root()
    buffers = 0
    for buffer in reader.tables(model, _BUFFERS):
        reader.vector(buffer, 0, 1)
        buffers += 1
    codes = sum(1 for code in reader.tables(model, _OPERATOR_CODES) if reader.vector(code, 1, 1) is not None)
    subgraphs = 0
    for subgraph in reader.tables(model, _SUBGRAPHS):
        subgraphs += 1
        tensors = 0
        for tensor in reader.tables(subgraph, _TENSORS):
            tensors += 1
            reader.vector(tensor, 0, 4)
            reader.vector(tensor, 3, 1)
            if reader.unsigned(tensor, 2) >= buffers:
                raise _DamageError
        for number in (_INPUTS, _OUTPUTS):
            reader.integers(subgraph, number, tensors)
        for operator in reader.tables(subgraph, _OPERATORS):
            if reader.unsigned(operator, 0) >= codes:
                raise _DamageError
            for number in (1, 2):
                reader.integers(operator, number, tensors)
    if not subgraphs or not buffers:
        raise _DamageError
