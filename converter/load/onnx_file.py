"""An ONNX file as a float `.tflite`. Runs in the worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from agent.errors import ModelError
from converter.load.float_model import FloatInputs, FloatModel, Loaded, LoadOptions, bound, shaped
from converter.load.onnx.graph import Graph, parse_graph, read_onnx, static_shapes
from converter.load.onnx.importer import rebuild
from converter.load.to_tflite import function_to_tflite


def load_onnx(path: Path, options: LoadOptions, samples: Sequence[FloatInputs]) -> Loaded:
    """Convert an ONNX file; inputs and outputs with channels come with their channels last.

    Raises:
        ModelError: it cannot be read, or an operator is not supported; the node is named.
    """
    proto = read_onnx(path)
    shapes: Mapping[str, Sequence[int]] = options.input_shapes
    pictures = [value for value in proto.graph.input if len(value.type.tensor_type.shape.dim) == 4]
    if options.image_size is not None and len(pictures) == 1 and not shapes:
        channels = pictures[0].type.tensor_type.shape.dim[1].dim_value
        fixed = [axis.dim_value for axis in pictures[0].type.tensor_type.shape.dim[2:]]
        if channels and 0 in fixed:
            shapes = {pictures[0].name: (1, channels, *options.image_size)}
    graph = parse_graph(proto, path, shapes)
    last: list[bool] = []

    def forward(*tensors: Any) -> list[Any]:
        values = rebuild(graph, tensors)
        last[:] = [value.channels_last for value in values]
        return [value.tensor for value in values]

    names = [name for name, _ in graph.inputs]
    content = function_to_tflite(
        forward, [graph.physical_shape(name) for name in names], names, graph.outputs, str(path)
    )
    notes = ["ONNX (N, C, H, W) rebuilt as (N, H, W, C)"]
    notes += [
        f"output {name} has its channels last" for name, flag in zip(graph.outputs, last, strict=True) if flag
    ]
    expected: list[tuple[Any, ...]] = []
    if samples:
        session = onnx_session(static_shapes(proto, graph).SerializeToString(), str(path))
        for given in samples:
            sample = bound(given, names, str(path))
            feeds = {
                name: _channels_first(sample[name], graph, name, f"{path} input {name}") for name in names
            }
            results = session.run(list(graph.outputs), feeds)
            expected.append(
                tuple(
                    np.moveaxis(result, 1, -1) if flag else result
                    for result, flag in zip(results, last, strict=True)
                )
            )
    return Loaded(
        FloatModel(content, tuple(names), graph.outputs, "ONNX", notes=tuple(notes)), tuple(expected)
    )


def onnx_session(content: bytes, where: str) -> Any:
    """onnxruntime on the CPU, single-threaded so that results are the same each time.

    Raises:
        ModelError: onnxruntime refuses the model.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime's exceptions share no base class but Exception.
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            where, f"expected a model that onnxruntime runs, got: {first[:240]}", "export it again"
        ) from error


def _channels_first(array: Any, graph: Graph, name: str, where: str) -> Any:
    values = shaped(array, graph.physical_shape(name), where)
    moved = values.ndim > 2 and name not in graph.sequences
    return np.ascontiguousarray(np.moveaxis(values, -1, 1)) if moved else values
