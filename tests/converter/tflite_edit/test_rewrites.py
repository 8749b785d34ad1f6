"""Rewrites of a float model leave what it computes as it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from agent.vision.model_spec import InputSpec, ModelSpec, OutputSpec
from converter.load.float_model import FloatModel, Loaded, LoadOptions
from converter.observe import feed, run_float
from converter.output_roles import with_roles
from converter.parity.detection import detect_all
from converter.tflite_edit.activations import LOGISTIC_REACH, logistic_limits
from converter.tflite_edit.bias import correct_biases
from converter.tflite_edit.edit import EditableModel
from converter.tflite_edit.equalize import equalisable_outputs, equalize
from converter.tflite_edit.silu import FLAT_BELOW, equalize_silus, find_silus, silu_limits
from converter.worker import Worker

RNG = np.random.default_rng(7)
CHANNELS = 6


def weights(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(0, 0.4, shape).astype(np.float32)


def detector() -> onnx.ModelProto:
    """Two scales, each joined by itself (boxes, objectness, classes), then all in a row, as in YOLOX.

    The first convolution's channels differ by a factor of 200.
    """
    spread = np.geomspace(0.05, 10, CHANNELS).astype(np.float32)
    constants = {
        "stem": weights(CHANNELS, 3, 3, 3) * spread[:, None, None, None],
        "stem_bias": weights(CHANNELS),
        "depth": weights(CHANNELS, 1, 3, 3),
        "depth_bias": weights(CHANNELS),
        "relu": weights(CHANNELS, CHANNELS, 1, 1),
        "relu_bias": weights(CHANNELS),
        "rows": np.array([1, 8, -1]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "stem", "stem_bias"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Sigmoid", ["a"], ["s"]),
        helper.make_node("Mul", ["a", "s"], ["silu"]),
        helper.make_node("Conv", ["silu", "depth", "depth_bias"], ["d"], pads=[1, 1, 1, 1], group=CHANNELS),
        helper.make_node("Relu", ["d"], ["dr"]),
        helper.make_node("Conv", ["dr", "relu", "relu_bias"], ["r"]),
        helper.make_node("Relu", ["r"], ["p8"]),
        helper.make_node("MaxPool", ["p8"], ["p16"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    for stride in ("8", "16"):
        for role, width in (("box", 4), ("obj", 1), ("cls", 3)):
            constants[role + stride] = weights(width, CHANNELS, 1, 1)
            constants[role + stride + "b"] = weights(width)
            nodes.append(
                helper.make_node(
                    "Conv", ["p" + stride, role + stride, role + stride + "b"], [f"{role}{stride}_out"]
                )
            )
        nodes += [
            helper.make_node("Sigmoid", [f"obj{stride}_out"], [f"obj{stride}_s"]),
            helper.make_node("Sigmoid", [f"cls{stride}_out"], [f"cls{stride}_s"]),
            helper.make_node(
                "Concat", [f"box{stride}_out", f"obj{stride}_s", f"cls{stride}_s"], ["j" + stride], axis=1
            ),
            helper.make_node("Reshape", ["j" + stride, "rows"], ["r" + stride]),
        ]
    nodes += [
        helper.make_node("Concat", ["r8", "r16"], ["all"], axis=2),
        helper.make_node("Transpose", ["all"], ["predictions"], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("predictions", TensorProto.FLOAT, ["a", "b", "c"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.fixture(scope="module")
def model(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> FloatModel:
    path = tmp_path_factory.mktemp("detector") / "detector.onnx"
    onnx.save(detector(), str(path))
    loaded: Loaded = worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
    return loaded.model


SAMPLE = {"x": RNG.normal(0, 1, (1, 32, 32, 3)).astype(np.float32)}


def outputs(content: bytes) -> dict[str, NDArray[np.float32]]:
    interpreter = run_float(content, "test")
    feed(interpreter, SAMPLE)
    interpreter.invoke()
    return {own["name"]: interpreter.get_tensor(own["index"]) for own in interpreter.get_output_details()}


def channel_extremes(
    content: bytes, tensors: Sequence[int]
) -> tuple[dict[int, NDArray[np.float32]], dict[int, NDArray[np.float32]]]:
    interpreter = run_float(content, "test", keep_all=True)
    feed(interpreter, SAMPLE)
    interpreter.invoke()
    values = {tensor: interpreter.get_tensor(tensor).reshape(-1, CHANNELS) for tensor in tensors}
    return {t: v.min(axis=0) for t, v in values.items()}, {t: v.max(axis=0) for t, v in values.items()}


def test_joined_output_is_split_by_role_across_scales(model: FloatModel) -> None:
    spec = ModelSpec(
        name="d",
        task="detection",
        decoder="yolox",
        strides=(8, 16),
        input=InputSpec(width=32, height=32),
        labels=("a", "b", "c"),
    )
    split, new_spec = with_roles(model, spec)
    parts, joined = outputs(split.content), outputs(model.content)["predictions"]
    assert split.outputs == ("boxes", "objectness", "scores")
    assert [(own.role, own.name) for own in new_spec.outputs] == [(name, name) for name in split.outputs]
    np.testing.assert_allclose(
        np.concatenate([parts[name] for name in split.outputs], axis=-1), joined, rtol=1e-5, atol=1e-6
    )
    # No operator of the split model joins boxes with scores any more.
    edited = EditableModel(split.content)
    assert all(
        edited.shape(operator.outputs[0])[-1] in (4, 1, 3) for operator in edited.named("CONCATENATION")
    )


def test_output_that_is_no_join_stays_whole(model: FloatModel) -> None:
    edited = EditableModel(model.content)
    convolution = edited.named("CONV_2D")[0]
    edited.set_outputs([convolution.outputs[0]])
    single = FloatModel(edited.content(), model.inputs, ("raw",), "ONNX")
    spec = ModelSpec(name="d", task="detection", decoder="yolov8", input=InputSpec(width=32, height=32))
    same, _ = with_roles(single, spec)
    assert same.outputs == ("raw",)
    assert list(outputs(same.content)) == ["raw"]


def test_equalisation_through_silu_keeps_the_function_and_evens_out_channels(model: FloatModel) -> None:
    edited = EditableModel(model.content)
    low, high = channel_extremes(model.content, [silu.argument for silu in find_silus(edited)])
    limits = equalize_silus(edited, low, high)
    assert len(limits) == 2
    content = edited.content()
    np.testing.assert_allclose(
        outputs(content)["predictions"], outputs(model.content)["predictions"], rtol=1e-3, atol=1e-3
    )
    interpreter = run_float(content, "test", keep_all=True)
    feed(interpreter, SAMPLE)
    interpreter.invoke()
    reach = interpreter.get_tensor(next(iter(limits))).reshape(-1, CHANNELS).max(axis=0)
    before = next(iter(high.values()))
    assert before.max() / before.min() > 20
    assert reach.max() <= 1.0 + 1e-5


def test_silu_arguments_need_no_codes_far_below_zero(model: FloatModel) -> None:
    (limit,) = silu_limits(EditableModel(model.content)).values()
    assert limit == (FLAT_BELOW, np.inf)
    assert abs(FLAT_BELOW / (1 + np.exp(-FLAT_BELOW))) < 0.02


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_equalisation_through_relu_keeps_the_function_and_evens_out_channels(
    model: FloatModel, share: float
) -> None:
    edited = EditableModel(model.content)
    wanted = equalisable_outputs(edited)
    low, high = channel_extremes(model.content, wanted)
    assert equalize(edited, low, high, share) == len(wanted) == 2
    content = edited.content()
    np.testing.assert_allclose(
        outputs(content)["predictions"], outputs(model.content)["predictions"], rtol=1e-3, atol=1e-4
    )
    after_low, after_high = channel_extremes(content, wanted)
    for tensor in wanted:
        before = np.maximum(np.abs(low[tensor]), np.abs(high[tensor]))
        after = np.maximum(np.abs(after_low[tensor]), np.abs(after_high[tensor]))
        assert after.max() == pytest.approx(before.max(), rel=1e-4)
        assert after.min() / after.max() > 1.5 * before.min() / before.max()


def test_bias_correction_takes_off_the_mean_that_rounding_adds() -> None:
    # A dense layer as a 1×1 convolution by hand: y = W x + b with x of known mean.
    rng = np.random.default_rng(1)
    kernel, mean = rng.normal(size=(5, 1, 1, 7)).astype(np.float32), rng.normal(size=7)

    class Fake(EditableModel):
        def __init__(self) -> None:
            self.values = {1: kernel, 2: np.zeros(5, np.float32)}

        def named(self, *names: str) -> list[object]:
            return [type("Op", (), {"inputs": [0, 1, 2]})()]

        def operator_name(self, operator: object) -> str:
            return "CONV_2D"

        def constant(self, tensor: int) -> NDArray[np.float32] | None:
            return self.values.get(tensor)

        def give(self, operator: object, position: int, values: NDArray[np.float32]) -> None:
            self.values[position] = values

    fake = Fake()
    assert correct_biases(fake, {0: mean}) == 1
    scale = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127
    rounded = np.rint(kernel / scale) * scale
    exact, corrected = kernel.reshape(5, 7) @ mean, rounded.reshape(5, 7) @ mean + fake.values[2]
    np.testing.assert_allclose(corrected, exact, atol=1e-5)


def test_file_is_written_back_as_it_was(model: FloatModel, tmp_path: Path) -> None:
    once = EditableModel(model.content).content()
    assert once == EditableModel(once).content()
    np.testing.assert_array_equal(outputs(once)["predictions"], outputs(model.content)["predictions"])


def test_weights_that_operators_share_are_changed_for_one_only(model: FloatModel) -> None:
    edited = EditableModel(model.content)
    first, second, *_ = edited.named("CONV_2D")
    second.inputs = list(first.inputs)
    before = edited.weights(second.inputs[1])
    edited.give(first, 1, before * 2)
    np.testing.assert_array_equal(edited.weights(first.inputs[1]), before * 2)
    np.testing.assert_array_equal(edited.weights(second.inputs[1]), before)


def softmax_head() -> onnx.ModelProto:
    """An anchor-free head whose class scores end in a Softmax, cells in a row."""
    constants = {
        "w": weights(7, 3, 4, 4), "b": weights(7), "four": np.array([4, 3]),
        "boxes_rows": np.array([1, -1, 4]), "rows": np.array([1, -1, 3]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["all"], strides=[4, 4]),
        helper.make_node("Split", ["all", "four"], ["bmap", "cmap"], axis=1),
        helper.make_node("Transpose", ["bmap"], ["blast"], perm=[0, 2, 3, 1]),
        helper.make_node("Transpose", ["cmap"], ["clast"], perm=[0, 2, 3, 1]),
        helper.make_node("Softmax", ["clast"], ["shares"], axis=-1),
        helper.make_node("Reshape", ["blast", "boxes_rows"], ["boxes"]),
        helper.make_node("Reshape", ["shares", "rows"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["any"]) for name in ("boxes", "scores")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_softmax_at_the_end_is_left_to_the_decoder(worker: Worker, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(softmax_head(), str(path))
    loaded: Loaded = worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
    roles = tuple(OutputSpec(role=role, name=role) for role in ("boxes", "scores"))
    spec = ModelSpec(
        name="d", task="detection", decoder="anchor-free", strides=(4,), outputs=roles,
        input=InputSpec(width=32, height=32),
    )  # fmt: skip
    cut, told = with_roles(loaded.model, spec)
    assert [output.activation for output in told.outputs] == [None, "softmax"]
    assert any("cut before the SOFTMAX of output scores" in note for note in cut.notes)
    assert not EditableModel(cut.content).named("SOFTMAX")
    before, after = outputs(loaded.model.content), outputs(cut.content)
    logits = np.exp(after["scores"])
    np.testing.assert_allclose(logits / logits.sum(-1, keepdims=True), before["scores"], rtol=1e-4)
    np.testing.assert_array_equal(before["boxes"], after["boxes"])
    picture = RNG.integers(0, 255, (40, 40, 3), np.uint8)
    (tmp_path / "whole.tflite").write_bytes(loaded.model.content)
    (tmp_path / "cut.tflite").write_bytes(cut.content)
    # The float file that still has its SOFTMAX is not given a second one.
    (whole,), (own,) = (detect_all(tmp_path / f"{name}.tflite", told, [picture]) for name in ("whole", "cut"))
    assert len(whole) == len(own) > 0
    np.testing.assert_allclose(np.sort(whole.scores), np.sort(own.scores), rtol=1e-4)


def test_argument_of_a_logistic_is_bounded_where_its_codes_no_longer_change(
    worker: Worker, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(detector(), str(path))
    loaded: Loaded = worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
    model = EditableModel(loaded.model.content)
    limits = logistic_limits(model)
    gates = {operator.inputs[0] for operator in model.named("LOGISTIC")}
    silus = {silu.argument for silu in find_silus(model)}
    assert gates - silus == {tensor for tensor in limits if tensor in gates}
    assert not silus & set(limits)
    reach = np.array([-LOGISTIC_REACH, -50.0, LOGISTIC_REACH, 50.0])
    low, least, high, most = np.clip(np.rint(256 / (1 + np.exp(-reach))), 0, 255)
    assert (low, high) == (least, most)
