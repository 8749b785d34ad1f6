"""Reading a `.tflite` flatbuffer that may be damaged or hostile.

The generated classes of the PyPI package `tflite` (schema of TensorFlow 2.18) trust every offset and length
in the file. Here each length is checked against a budget that grows with the file's size before anything is
read, so that a few flipped bytes cost neither memory nor time, and whatever else they raise becomes one
`DataError`.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from agent.errors import DataError
from converter.tflite_model.schema import enum_names, option_fields, snake
from converter.tflite_model.structure import (
    NUMPY_DTYPES,
    Operator,
    OptionValue,
    Quantization,
    Subgraph,
    Tensor,
    TfliteModel,
)

FILE_IDENTIFIER = b"TFL3"
MAX_FILE_BYTES = 2**31 - 1
"""A flatbuffer's own limit."""
MAX_TEXT = 4096
"""Names longer than this are cut: real ones join a handful of layer names."""
MAX_ELEMENTS = 2**40

_DAMAGE = (
    struct.error,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AttributeError,
    MemoryError,
)
"""What the generated classes and NumPy raise on offsets that lead nowhere."""

_ADVICE = "copy or convert it again"


def read_tflite(path: Path) -> TfliteModel:
    """Read a `.tflite` file.

    Raises:
        DataError: the file cannot be read, is no TFLite model, or is damaged.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():  # a pipe or device would never end
            raise DataError(str(path), "expected a .tflite file, got a folder or a device")
        if size > MAX_FILE_BYTES:
            raise DataError(str(path), f"expected a model under 2 GiB, got {size} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(str(path), f"expected a .tflite file, got: {error.strerror or error}") from error
    return parse_tflite(content, path)


def parse_tflite(content: bytes, path: Path) -> TfliteModel:
    """Read the content of a `.tflite` file; `path` is for the messages.

    Raises:
        DataError: the content is no TFLite model, or is damaged.
    """
    if len(content) < 8 or content[4:8] != FILE_IDENTIFIER:
        what = "an empty file" if not content else f"{content[:8]!r}"
        raise DataError(str(path), f"expected a TFLite model (TFL3 at byte 4), got {what}", _ADVICE)
    try:
        return _Reader(content, path).model()
    except _DAMAGE as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            str(path), f"expected a whole TFLite model, got a damaged one ({text[:120]})", _ADVICE
        ) from None


class _Reader:
    """One pass over one file, with a budget for all that is read."""

    def __init__(self, content: bytes, path: Path) -> None:
        self._content = content
        self._path = path
        self._bytes = np.frombuffer(content, np.uint8)
        # Every vector element takes 4 bytes of the file or more, every character 1; writers may share
        # vectors, so twice the file is allowed before it is called damaged.
        self._budget = 2 * len(content) + 4096
        self._model = tflite.Model.GetRootAs(content, 0)
        self._buffers: dict[int, tuple[NDArray[np.uint8] | None, bool]] = {}

    def model(self) -> TfliteModel:
        model = self._model
        if model.Version() != 3:
            raise self._damage(f"schema version 3 expected, got {model.Version()}")
        self._count("operator codes", model.OperatorCodesLength())
        self._codes = [
            self._operator_code(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())
        ]
        self._buffer_count = self._count("buffers", model.BuffersLength())
        graphs = self._count("subgraphs", model.SubgraphsLength())
        if graphs == 0:
            raise self._damage("no subgraph")
        subgraphs = tuple(self._subgraph(model.Subgraphs(i), i) for i in range(graphs))
        metadata, min_runtime = self._metadata()
        signatures = tuple(
            self._text(model.SignatureDefs(i).SignatureKey())
            for i in range(self._count("signatures", model.SignatureDefsLength()))
        )
        return TfliteModel(
            self._path,
            len(self._content),
            self._text(model.Description()),
            subgraphs,
            metadata,
            min_runtime,
            signatures,
        )

    def _damage(self, text: str) -> ValueError:
        return ValueError(text)

    def _count(self, what: str, length: int, width: int = 4) -> int:
        """Charge the budget with a vector's length before it is walked."""
        self._budget -= length * width
        if length < 0 or length * width > len(self._content) or self._budget < 0:
            raise self._damage(f"{length} {what} in a file of {len(self._content)} bytes")
        return length

    def _text(self, raw: bytes | None) -> str:
        if raw is None:
            return ""
        self._count("characters", len(raw), 1)
        text = raw[:MAX_TEXT].decode("utf-8", "replace")
        # Names are printed, logged and put on pages: escape sequences and line breaks stop here.
        return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)

    def _vector(self, owner: Any, name: str) -> tuple[Any, ...]:
        """A vector of numbers, charged before it is copied."""
        length = self._count(name, getattr(owner, f"{name}Length")(), 1)
        return tuple(getattr(owner, f"{name}AsNumpy")().tolist()) if length else ()

    def _operator_code(self, code: Any) -> tuple[str, int, bool]:
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        names = enum_names("BuiltinOperator")
        version = max(code.Version(), 1)
        if number == tflite.BuiltinOperator.CUSTOM:
            return self._text(code.CustomCode()) or "CUSTOM", version, True
        return names.get(number, f"BUILTIN_{number}"), version, False

    def _buffer(self, index: int) -> tuple[NDArray[np.uint8] | None, bool]:
        """A buffer's content, None where it is empty, and whether it lies outside the flatbuffer."""
        if not 0 <= index < self._buffer_count:
            raise self._damage(f"buffer {index} of {self._buffer_count}")
        if index not in self._buffers:
            buffer = self._model.Buffers(index)
            length = buffer.DataLength()
            if length:
                self._count("bytes of constants", length, 1)
                view: NDArray[np.uint8] = buffer.DataAsNumpy()
                self._buffers[index] = (view, False)
            else:
                self._buffers[index] = (None, buffer.Size() > 1)
        return self._buffers[index]

    def _subgraph(self, graph: Any, position: int) -> Subgraph:
        count = self._count("tensors", graph.TensorsLength())
        tensors = tuple(self._tensor(graph.Tensors(i), i) for i in range(count))
        operators = tuple(
            self._operator(graph.Operators(i), i, count)
            for i in range(self._count("operators", graph.OperatorsLength()))
        )
        inputs = self._indices(graph, "Inputs", count)
        outputs = self._indices(graph, "Outputs", count)
        if position == 0 and not operators and not outputs:
            raise self._damage("a model without operators")
        _check_written(tensors, operators, inputs)
        return Subgraph(self._text(graph.Name()), tensors, operators, inputs, outputs)

    def _indices(self, owner: Any, name: str, tensors: int) -> tuple[int, ...]:
        indices = self._vector(owner, name)
        wrong = next((index for index in indices if not -1 <= index < tensors), None)
        if wrong is not None:
            raise self._damage(f"tensor {wrong} of {tensors} in {name.lower()}")
        return indices

    def _tensor(self, tensor: Any, index: int) -> Tensor:
        number = tensor.Type()
        dtype = enum_names("TensorType").get(number, f"type_{number}").lower()
        shape = self._vector(tensor, "Shape")
        signature = self._vector(tensor, "ShapeSignature") or shape
        if any(size < -1 for size in (*shape, *signature)) or math.prod(map(abs, shape)) > MAX_ELEMENTS:
            raise self._damage(f"tensor {index} of shape {shape}")
        data, external = self._buffer(tensor.Buffer())
        numpy_dtype = NUMPY_DTYPES.get(dtype)
        if data is not None and numpy_dtype is not None and tensor.Sparsity() is None:
            expected = math.prod(shape) * np.dtype(numpy_dtype).itemsize
            if data.size != expected:
                raise self._damage(f"tensor {index} of {expected} bytes with {data.size} bytes of content")
        quantization = self._quantization(tensor.Quantization(), index)
        return Tensor(
            index=index,
            name=self._text(tensor.Name()),
            dtype=dtype,
            shape=tuple(max(size, 0) for size in shape),
            signature=signature,
            quantization=quantization,
            data=data,
            variable=bool(tensor.IsVariable()),
            sparse=tensor.Sparsity() is not None,
            external=external,
        )

    def _quantization(self, quantization: Any, index: int) -> Quantization | None:
        if quantization is None:
            return None
        scales = self._vector(quantization, "Scale")
        if not scales:
            return None
        zero_points = self._vector(quantization, "ZeroPoint") or (0,) * len(scales)
        if len(zero_points) == 1:
            zero_points *= len(scales)
        if len(zero_points) != len(scales):
            raise self._damage(f"tensor {index} with {len(scales)} scales and {len(zero_points)} zero points")
        return Quantization(scales, zero_points, quantization.QuantizedDimension())

    def _operator(self, operator: Any, index: int, tensors: int) -> Operator:
        code = operator.OpcodeIndex()
        if not 0 <= code < len(self._codes):
            raise self._damage(f"operator {index} of kind {code}, {len(self._codes)} known")
        name, version, custom = self._codes[code]
        options: dict[str, OptionValue] = {}
        for union, table in (
            ("BuiltinOptions", operator.BuiltinOptions()),
            ("BuiltinOptions2", operator.BuiltinOptions2()),
        ):
            kind = enum_names(union).get(getattr(operator, f"{union}Type")())
            if table is not None and kind not in (None, "NONE"):
                options.update(self._options(str(kind), table))
        inputs = self._indices(operator, "Inputs", tensors)
        outputs = self._indices(operator, "Outputs", tensors)
        custom_bytes = self._count("bytes of custom options", operator.CustomOptionsLength(), 1)
        return Operator(index, name, version, inputs, outputs, options, custom, custom_bytes)

    def _options(self, kind: str, table: Any) -> dict[str, OptionValue]:
        owner = getattr(tflite, kind)()
        owner.Init(table.Bytes, table.Pos)
        scalars, vectors = option_fields(kind)
        options: dict[str, OptionValue] = {snake(name): self._vector(owner, name) for name in vectors}
        for name in scalars:
            value = getattr(owner, name)()
            if isinstance(value, bytes):
                options[snake(name)] = self._text(value)
            elif name == "FusedActivationFunction":
                options[snake(name)] = enum_names("ActivationFunctionType").get(value, str(value))
            elif isinstance(value, bool | int | float):
                options[snake(name)] = value
        return options

    def _metadata(self) -> tuple[dict[str, int], str]:
        sizes: dict[str, int] = {}
        min_runtime = ""
        for i in range(self._count("metadata", self._model.MetadataLength())):
            entry = self._model.Metadata(i)
            name = self._text(entry.Name())
            data, _ = self._buffer(entry.Buffer())
            sizes[name] = 0 if data is None else data.size
            if name == "min_runtime_version" and data is not None:
                min_runtime = data[:32].tobytes().split(b"\0")[0].decode("ascii", "replace")
        return sizes, min_runtime


def _check_written(
    tensors: tuple[Tensor, ...], operators: tuple[Operator, ...], inputs: tuple[int, ...]
) -> None:
    """Every tensor that is read must have been written, or runtimes follow a null pointer.

    Raises:
        ValueError: an operator reads what is no input, constant or state, and was not written before.
    """
    written = {*inputs, -1}
    written.update(t.index for t in tensors if t.constant or t.variable or not t.elements)
    for op in operators:
        missing = next((i for i in op.inputs if i not in written), None)
        if missing is not None:
            raise ValueError(f"operator {op.index} {op.name} reads tensor {missing}, which has no content")
        written.update(op.outputs)
