"""Reading an ONNX file that may be damaged or hostile, and making its graph ready to be rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper, shape_inference

from agent.errors import ModelError
from converter.load.onnx.node import Node
from converter.load.onnx.values import Constant

MAX_FILE_BYTES = 2**31 - 1
MAX_ELEMENTS = 2**28
"""Elements of one tensor; a gibibyte of float32 is far beyond what such a device runs."""


@dataclass(frozen=True)
class Step:
    """One node to rebuild: the node, the names it reads ("" where left out) and those it writes."""

    node: Node
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    proto: Any


@dataclass(frozen=True)
class Graph:
    """A graph with batch 1 and static input shapes.

    Args:
        inputs: name and logical shape of each input, in order.
        outputs: names, in order.
        constants: initializers by name.
        steps: the nodes that an output depends on, in an order that can be executed.
        opset: version of the default operator set.
        sequences: inputs that recurrent layers read: their axes stay in ONNX' order.
    """

    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Constant]
    steps: tuple[Step, ...]
    opset: int
    sequences: frozenset[str] = frozenset()

    def physical_shape(self, name: str) -> tuple[int, ...]:
        """Shape of a rebuilt input: (N, C, *spatial) comes as (N, *spatial, C)."""
        logical = dict(self.inputs)[name]
        if len(logical) < 3 or name in self.sequences:
            return logical
        return (logical[0], *logical[2:], logical[1])


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read and check an ONNX file.

    Raises:
        ModelError: it cannot be read, is no ONNX model, is damaged, or keeps its weights in other files.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelError(str(path), f"expected an ONNX model under 2 GiB, got {size} bytes")
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise ModelError(str(path), f"expected an ONNX model, got {error.strerror or error}") from error
    except DecodeError as error:
        raise ModelError(
            str(path), "expected an ONNX model, got something else or a damaged one", "export it again"
        ) from error
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelError(
                f"{path} {tensor.name}", "expected weights within the file, got external data",
                "save it with onnx.save(model, path, save_as_external_data=False)",
            )  # fmt: skip
        if any(length < 0 for length in tensor.dims) or np.prod(tensor.dims, dtype=float) > MAX_ELEMENTS:
            raise ModelError(
                f"{path} {tensor.name}",
                f"expected a tensor under {MAX_ELEMENTS} elements, got {list(tensor.dims)}",
            )
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            str(path), f"expected a valid ONNX model, got: {first[:200]}", "export it again"
        ) from error
    return model


def parse_graph(
    model: onnx.ModelProto, path: Path, input_shapes: Mapping[str, Sequence[int]] | None = None
) -> Graph:
    """The graph of a model, with its batch set to 1.

    Args:
        model: from `read_onnx`.
        path: for messages.
        input_shapes: logical shapes for inputs that leave axes other than the batch open.

    Raises:
        ModelError: an input's shape or type cannot be used.
    """
    graph = model.graph
    constants = {tensor.name: _array(tensor, path) for tensor in graph.initializer}
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    sequences = _sequences(graph)
    inputs = tuple(
        (
            value.name,
            _input_shape(
                value, path, (input_shapes or {}).get(value.name), 1 if sequences.get(value.name) else 0
            ),
        )
        for value in graph.input
        if value.name not in constants
    )
    outputs = tuple(value.name for value in graph.output)
    needed, kept = set(outputs), []
    for proto in reversed(graph.node):
        if needed.intersection(proto.output):
            needed.update(name for name in proto.input if name)
            kept.append(proto)
    steps = tuple(_step(proto, opset, path) for proto in reversed(kept))
    return Graph(inputs, outputs, constants, steps, opset, frozenset(sequences))


def _sequences(graph: onnx.GraphProto) -> dict[str, bool]:
    """Inputs that recurrent layers read, directly or transposed, and whether steps stand before the batch."""
    found: dict[str, bool] = {}
    turned = {
        node.output[0]: node.input[0] for node in graph.node if node.op_type == "Transpose" and node.output
    }
    for node in graph.node:
        if node.op_type in ("LSTM", "GRU"):
            layout = next((own.i for own in node.attribute if own.name == "layout"), 0)
            for position, name in enumerate(node.input):
                if name in turned:
                    found.setdefault(turned[name], layout == 1)
                elif name:
                    found[name] = layout == 0 and position == 0
    return found


def static_shapes(model: onnx.ModelProto, graph: Graph) -> onnx.ModelProto:
    """A copy of the model whose inputs have the graph's shapes, for runtimes that execute it."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    shapes = dict(graph.inputs)
    for value in fixed.graph.input:
        if value.name in shapes:
            for axis, length in zip(value.type.tensor_type.shape.dim, shapes[value.name], strict=True):
                axis.dim_value = length
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    return shape_inference.infer_shapes(fixed)


def _array(tensor: onnx.TensorProto, path: Path) -> Constant:
    try:
        array: Constant = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{path} {tensor.name}", f"expected {list(tensor.dims)} values, got: {error}"
        ) from error
    return array


def _input_shape(
    value: onnx.ValueInfoProto, path: Path, given: Sequence[int] | None, batch_axis: int = 0
) -> tuple[int, ...]:
    where = f"{path} input {value.name}"
    kind = value.type.tensor_type
    if kind.elem_type != onnx.TensorProto.FLOAT:
        name = onnx.TensorProto.DataType.Name(kind.elem_type)
        raise ModelError(
            where, f"expected float32, got {name.lower()}", "export the model without its preprocessing"
        )
    shape = [
        axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else 0 for axis in kind.shape.dim
    ]
    batch_axis = min(batch_axis, max(len(shape) - 1, 0))
    if shape and shape[batch_axis] == 0:
        shape[batch_axis] = 1
    if given is not None and len(given) == len(shape):
        if any(length not in (0, wanted) for length, wanted in zip(shape, given, strict=True)):
            raise ModelError(where, f"expected {tuple(shape)} as in the file, the spec says {tuple(given)}")
        shape = list(given)
    if not shape or 0 in shape:
        open_shape = [length or "?" for length in shape]
        raise ModelError(
            where,
            f"expected a static shape, got {open_shape}",
            "give width and height with --spec, or export sequences with a fixed number of steps",
        )
    if shape[batch_axis] != 1:
        raise ModelError(
            where,
            f"expected batch size 1, got {shape[batch_axis]}",
            "export it with batch size 1 or a free batch",
        )
    if np.prod(shape, dtype=float) > MAX_ELEMENTS:
        raise ModelError(where, f"expected under {MAX_ELEMENTS} elements, got {shape}")
    return tuple(shape)


def _step(proto: onnx.NodeProto, opset: int, path: Path) -> Step:
    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, onnx.TensorProto):
            value = _array(value, path)
        attributes[attribute.name] = value
    op_type = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
    name = proto.name or next(iter(proto.output), "?")
    count = len([output for output in proto.output if output])
    node = Node(op_type, name, attributes, opset, count, str(path))
    return Step(node, tuple(proto.input), tuple(proto.output), proto)
