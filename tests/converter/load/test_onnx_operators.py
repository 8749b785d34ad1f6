"""Every imported ONNX operator against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from agent.errors import ModelError
from converter.load.float_model import Loaded, LoadOptions
from converter.observe import feed, run_float
from converter.tflite_edit.edit import EditableModel
from converter.worker import Worker

RNG = np.random.default_rng(3)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


def graph(
    nodes: Sequence[Any],
    shape: Sequence[int],
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 13,
) -> onnx.ModelProto:
    """A model from "x" to "y"."""
    built = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["any"])],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(kind: str, inputs: Sequence[str], output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), [output], name=f"the_{kind.lower()}_{output}", **attributes)


def load(worker: Worker, model: onnx.ModelProto, path: Path, sample: np.ndarray) -> Loaded:
    onnx.save(model, str(path))
    given = np.moveaxis(sample, 1, -1) if sample.ndim > 2 else sample
    loaded: Loaded = worker.call(
        "converter.load.source:load_float", path, LoadOptions(), [{"x": given}], on=path
    )
    return loaded


def shuffle(groups: int, channels: int, side: int) -> list[Any]:
    return [
        node("Reshape", ["x", "split"], "a"),
        node("Transpose", ["a"], "b", perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["b", "joined"]),
    ]


IMAGE = (1, 8, 10, 12)
CASES: dict[str, tuple[onnx.ModelProto, set[str]]] = {
    "conv-asymmetric-stride": (
        graph(
            [node("Conv", ["x", "w", "b"], pads=[1, 1, 1, 1], strides=[2, 2])],
            IMAGE,
            {"w": weights(6, 8, 3, 3), "b": weights(6)},
        ),
        {"PAD", "CONV_2D"},
    ),
    "conv-depthwise": (
        graph([node("Conv", ["x", "w"], pads=[1, 1, 1, 1], group=8)], IMAGE, {"w": weights(8, 1, 3, 3)}),
        {"DEPTHWISE_CONV_2D"},
    ),
    "conv-grouped": (
        graph([node("Conv", ["x", "w"], group=2)], IMAGE, {"w": weights(6, 4, 3, 3)}),
        {"SPLIT", "CONV_2D", "CONCATENATION"},
    ),
    "conv-dilated": (
        graph(
            [node("Conv", ["x", "w"], dilations=[2, 2], pads=[2, 2, 2, 2])], IMAGE, {"w": weights(4, 8, 3, 3)}
        ),
        set(),
    ),
    "conv-one-dimension": (
        graph([node("Conv", ["x", "w"], pads=[2, 2], dilations=[2])], (1, 5, 16), {"w": weights(4, 5, 3)}),
        set(),
    ),
    "conv-transposed": (
        graph(
            [node("ConvTranspose", ["x", "w"], strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])],
            IMAGE,
            {"w": weights(8, 4, 3, 3)},
        ),
        set(),
    ),
    "maxpool-of-negative-values": (
        graph([node("MaxPool", ["x"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])], IMAGE),
        set(),
    ),
    "maxpool-same": (
        graph([node("MaxPool", ["x"], kernel_shape=[5, 5], pads=[2, 2, 2, 2])], IMAGE),
        {"MAX_POOL_2D"},
    ),
    "maxpool-ceil": (
        graph([node("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], IMAGE),
        set(),
    ),
    "averagepool-with-padding": (
        graph(
            [
                node(
                    "AveragePool",
                    ["x"],
                    kernel_shape=[3, 3],
                    pads=[1, 1, 1, 1],
                    strides=[2, 2],
                    count_include_pad=1,
                )
            ],
            IMAGE,
        ),
        {"PAD", "AVERAGE_POOL_2D"},
    ),
    "averagepool-without-padding": (
        graph([node("AveragePool", ["x"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])], IMAGE),
        set(),
    ),
    "global-average": (graph([node("GlobalAveragePool", ["x"])], IMAGE), {"MEAN"}),
    "global-max": (graph([node("GlobalMaxPool", ["x"])], IMAGE), {"MAX_POOL_2D"}),
    "mean-without-axes": (graph([node("ReduceMean", ["x"], axes=[2, 3], keepdims=0)], IMAGE), {"MEAN"}),
    "batch-norm": (
        graph(
            [node("BatchNormalization", ["x", "s", "o", "m", "v"])],
            IMAGE,
            {"s": weights(8), "o": weights(8), "m": weights(8), "v": np.abs(weights(8)) + 0.1},
        ),
        set(),
    ),
    "silu": (graph([node("Sigmoid", ["x"], "s"), node("Mul", ["x", "s"])], IMAGE), {"LOGISTIC", "MUL"}),
    "hard-swish": (graph([node("HardSwish", ["x"])], IMAGE, opset=14), set()),
    "hard-sigmoid": (graph([node("HardSigmoid", ["x"], alpha=1 / 6)], IMAGE), set()),
    "leaky-relu": (graph([node("LeakyRelu", ["x"], alpha=0.1)], IMAGE), {"LEAKY_RELU"}),
    "prelu": (graph([node("PRelu", ["x", "a"])], IMAGE, {"a": weights(8, 1, 1)}), set()),
    "clip-six": (
        graph([node("Clip", ["x", "l", "h"])], IMAGE, {"l": np.float32(0), "h": np.float32(6)}),
        {"RELU6"},
    ),
    "square": (graph([node("Pow", ["x", "two"])], IMAGE, {"two": np.float32(2)}), {"MUL"}),
    "add-per-channel": (graph([node("Add", ["x", "c"])], IMAGE, {"c": weights(1, 8, 1, 1)}), {"ADD"}),
    "channel-shuffle": (
        graph(
            shuffle(2, 8, 10),
            IMAGE,
            {"split": np.array([1, 2, 4, 10, 12]), "joined": np.array([1, 8, 10, 12])},
        ),
        {"CONV_2D"},
    ),
    "focus": (
        graph(
            [
                *(node("Slice", ["x", f"s{i}", "e", "axes", "steps"], f"p{i}") for i in range(4)),
                node("Concat", [f"p{i}" for i in range(4)], axis=1),
            ],
            IMAGE,
            {
                "s0": np.array([0, 0]),
                "s1": np.array([1, 0]),
                "s2": np.array([0, 1]),
                "s3": np.array([1, 1]),
                "e": np.array([10, 12]),
                "axes": np.array([2, 3]),
                "steps": np.array([2, 2]),
            },
        ),
        {"CONV_2D"},
    ),
    "space-to-depth": (graph([node("SpaceToDepth", ["x"], blocksize=2)], IMAGE), {"CONV_2D"}),
    "depth-to-space-crd": (graph([node("DepthToSpace", ["x"], blocksize=2, mode="CRD")], IMAGE), set()),
    "head-to-rows": (
        graph(
            [node("Transpose", ["x"], "t", perm=[0, 2, 3, 1]), node("Reshape", ["t", "s"])],
            IMAGE,
            {"s": np.array([1, -1, 8])},
        ),
        {"RESHAPE"},
    ),
    "head-to-columns": (
        graph(
            [node("Reshape", ["x", "s"], "r"), node("Transpose", ["r"], perm=[0, 2, 1])],
            IMAGE,
            {"s": np.array([1, 8, -1])},
        ),
        {"RESHAPE"},
    ),
    "softmax-through-transpose": (
        graph(
            [
                node("Transpose", ["x"], "t", perm=[0, 3, 2, 1]),
                node("Softmax", ["t"], "s", axis=3),
                node("Transpose", ["s"], perm=[0, 3, 2, 1]),
            ],
            IMAGE,
            opset=11,
        ),
        {"SOFTMAX"},
    ),
    "softmax-of-channels": (graph([node("Softmax", ["x"], axis=1)], IMAGE), {"SOFTMAX"}),
    "softmax-before-opset-13": (graph([node("Softmax", ["x"], axis=1)], (1, 8, 3, 2), opset=11), set()),
    "flatten-gemm": (
        graph(
            [node("Flatten", ["x"], "f"), node("Gemm", ["f", "w", "b"], transB=1)],
            IMAGE,
            {"w": weights(5, 960), "b": weights(5)},
        ),
        {"RESHAPE", "FULLY_CONNECTED"},
    ),
    "matmul": (graph([node("MatMul", ["x", "w"])], (1, 16), {"w": weights(16, 4)}), {"FULLY_CONNECTED"}),
    "resize-nearest": (
        graph(
            [
                node(
                    "Resize",
                    ["x", "", "s"],
                    mode="nearest",
                    coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor",
                )
            ],
            IMAGE,
            {"s": np.array([1, 1, 2, 2], np.float32)},
        ),
        {"RESIZE_NEAREST_NEIGHBOR"},
    ),
    "resize-linear": (
        graph(
            [node("Resize", ["x", "", "s"], mode="linear")], IMAGE, {"s": np.array([1, 1, 2, 2], np.float32)}
        ),
        {"RESIZE_BILINEAR"},
    ),
    "split-and-concat": (
        graph(
            [helper.make_node("Split", ["x", "n"], ["a", "b"], axis=1), node("Concat", ["b", "a"], axis=1)],
            IMAGE,
            {"n": np.array([3, 5])},
        ),
        {"CONV_2D"},
    ),
    "gather-channels": (
        graph([node("Gather", ["x", "i"], axis=1)], IMAGE, {"i": np.array([3, 1, 5])}),
        {"CONV_2D"},
    ),
    "pad": (graph([node("Pad", ["x", "p"])], IMAGE, {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1])}), {"PAD"}),
    "shape-arithmetic": (
        graph(
            [
                node("Shape", ["x"], "shape"),
                node("Gather", ["shape", "first"], "n", axis=0),
                node("Unsqueeze", ["n", "zero"], "n1"),
                node("Concat", ["n1", "rest"], "target", axis=0),
                node("Reshape", ["x", "target"]),
            ],
            IMAGE,
            {"first": np.array(0), "zero": np.array([0]), "rest": np.array([8, -1])},
        ),
        set(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_operator_computes_what_onnxruntime_does(worker: Worker, tmp_path: Path, name: str) -> None:
    model, operators = CASES[name]
    shape = [axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim]
    sample = RNG.normal(-1.0, 2.0, shape).astype(np.float32)
    loaded = load(worker, model, tmp_path / "model.onnx", sample)
    interpreter = run_float(loaded.model.content, name)
    feed(interpreter, {"x": np.moveaxis(sample, 1, -1) if sample.ndim > 2 else sample})
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(got, loaded.expected[0][0], rtol=1e-4, atol=1e-4)
    edited = EditableModel(loaded.model.content)
    used = {edited.operator_name(operator) for operator in edited.graph.operators}
    assert not operators or used == operators


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            graph([node("Einsum", ["x", "x"], equation="bchw,bchw->bchw")], IMAGE),
            "node the_einsum_y (Einsum)",
        ),
        (graph([node("Conv", ["x", "w"])], IMAGE, {"w": weights(4, 7, 3, 3)}), "node the_conv_y (Conv)"),
        (
            graph(
                [node("Resize", ["x", "", "s"], mode="cubic")],
                IMAGE,
                {"s": np.array([1, 1, 2, 2], np.float32)},
            ),
            "got cubic",
        ),
        (graph([node("Relu", ["x"])], (1, 3, 0, 0)), "give width and height with --spec"),
        (graph([node("Relu", ["x"])], (4, 3, 8, 8)), "expected batch size 1, got 4"),
    ],
    ids=["unsupported", "weights", "mode", "open-shape", "batch"],
)
def test_what_cannot_be_imported_is_named(
    worker: Worker, tmp_path: Path, model: onnx.ModelProto, expected: str
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path))
    with pytest.raises(ModelError) as caught:
        worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
    assert expected in str(caught.value)
