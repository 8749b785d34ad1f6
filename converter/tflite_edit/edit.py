"""A `.tflite` file as objects that can be changed and written back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_DTYPES: Mapping[int, type[np.generic]] = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.UINT8: np.uint8,
}
_OPERATOR_NAMES: Mapping[int, str] = {
    number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)
}


class EditableModel:
    """The main subgraph of one `.tflite` model; tensors are spoken of by their index in the file.

    Args:
        content: of a file that we wrote ourselves (TensorFlow's converter): nothing is checked here.
    """

    def __init__(self, content: bytes) -> None:
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self.graph = self.model.subgraphs[0]
        self._normalize()

    def _normalize(self) -> None:
        """Empty vectors as lists, so that what reads them needs no case for None."""
        for operator in self.graph.operators:
            operator.inputs = _ints(operator.inputs)
            operator.outputs = _ints(operator.outputs)
        self.graph.inputs, self.graph.outputs = _ints(self.graph.inputs), _ints(self.graph.outputs)

    def content(self) -> bytes:
        """The file's bytes; the same for the same model."""
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def operator_name(self, operator: Any) -> str:
        """TFLite's name of an operator ("CONV_2D")."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return _OPERATOR_NAMES.get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM")

    def named(self, *names: str) -> list[Any]:
        """The operators with one of these names, in execution order."""
        return [operator for operator in self.graph.operators if self.operator_name(operator) in names]

    def producer(self, tensor: int) -> Any | None:
        """The operator that writes a tensor; None for inputs and constants."""
        return next((operator for operator in self.graph.operators if tensor in operator.outputs), None)

    def consumers(self, tensor: int) -> list[Any]:
        """The operators that read a tensor."""
        return [operator for operator in self.graph.operators if tensor in operator.inputs]

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        raw = self.graph.tensors[tensor].name
        return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw or "")

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape."""
        return tuple(_ints(self.graph.tensors[tensor].shape))

    def is_float(self, tensor: int) -> bool:
        """Holds float32."""
        return bool(self.graph.tensors[tensor].type == schema.TensorType.FLOAT32)

    def constant(self, tensor: int) -> NDArray[Any] | None:
        """A constant's values (a copy), or None for an activation."""
        if tensor < 0:
            return None
        entry = self.graph.tensors[tensor]
        data = self.model.buffers[entry.buffer].data
        if data is None or len(data) == 0 or entry.type not in _DTYPES:
            return None
        flat = np.frombuffer(np.asarray(data, np.uint8).tobytes(), _DTYPES[entry.type])
        return flat.reshape(self.shape(tensor)).copy()

    def weights(self, tensor: int) -> NDArray[Any]:
        """A constant's values (a copy).

        Raises:
            ValueError: the tensor is no constant.
        """
        values = self.constant(tensor)
        if values is None:
            raise ValueError(f"tensor {self.name(tensor)}: expected a constant, got an activation")
        return values

    def set_constant(self, tensor: int, values: NDArray[Any]) -> None:
        """Give a constant other values; in a buffer of its own, in case others share the old one."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors[tensor].buffer = len(self.model.buffers) - 1

    def give(self, operator: Any, position: int, values: NDArray[Any]) -> None:
        """Give one operator other weights; operators that shared the old ones keep those.

        Args:
            position: of the constant among the operator's inputs.
        """
        old = operator.inputs[position]
        if sum(own.inputs.count(old) for own in self.graph.operators) > 1:
            name = f"{self.name(old)}_{len(self.graph.tensors)}"
            operator.inputs[position] = self.add_tensor(name, values.shape, values)
        else:
            self.set_constant(old, values)

    def add_tensor(self, name: str, shape: Iterable[int], values: NDArray[Any] | None = None) -> int:
        """A new float32 activation, or an int32 or float32 constant with `values`; returns its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, np.array(list(shape), np.int32)
        tensor.type = (
            schema.TensorType.FLOAT32
            if values is None or values.dtype == np.float32
            else schema.TensorType.INT32
        )
        tensor.hasRank = True
        self.graph.tensors.append(tensor)
        index = len(self.graph.tensors) - 1
        if values is not None:
            self.set_constant(index, values)
        return index

    def remove_unused(self) -> None:
        """Drop operators that no output depends on, to the last."""
        needed = set(self.graph.outputs)
        kept = []
        for operator in reversed(self.graph.operators):
            if needed.intersection(operator.outputs):
                needed.update(operator.inputs)
                kept.append(operator)
        self.graph.operators = kept[::-1]

    def activations(self) -> list[int]:
        """Float tensors that inputs or operators fill."""
        filled = dict.fromkeys(
            [*self.graph.inputs, *(out for op in self.graph.operators for out in op.outputs)]
        )
        return [tensor for tensor in filled if self.is_float(tensor)]

    def set_ranges(self, ranges: Mapping[int, tuple[float, float]]) -> None:
        """Write what values activations take, for the quantiser."""
        for tensor, (low, high) in ranges.items():
            quantization = schema.QuantizationParametersT()
            quantization.min, quantization.max = np.array([low], np.float32), np.array([high], np.float32)
            self.graph.tensors[tensor].quantization = quantization

    def set_outputs(self, outputs: Iterable[int]) -> None:
        """Other tensors as the model's outputs; signatures, which name the old ones, go."""
        self.graph.outputs = list(outputs)
        self.model.signatureDefs = []


def named(content: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The same file with other names for its inputs and outputs."""
    edited = EditableModel(content)
    edited.model.signatureDefs = []
    for name, tensor in [
        *zip(inputs, edited.graph.inputs, strict=True),
        *zip(outputs, edited.graph.outputs, strict=True),
    ]:
        edited.graph.tensors[tensor].name = name
    return edited.content()


def _ints(values: Any) -> list[int]:
    return [] if values is None else [int(value) for value in values]
