"""The reader against LiteRT's own view of the same files."""

from __future__ import annotations

import struct
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite

from agent.errors import DataError
from converter.tflite_model.reader import parse_tflite, read_tflite

pytestmark = pytest.mark.data


def test_tensors_are_those_that_the_runtime_sees(real_model: Path) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(
        model_path=str(real_model), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    tensors = read_tflite(real_model).main.tensors
    seen = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    for tensor in tensors:
        detail = seen.get(tensor.index)
        if detail is None:
            continue
        assert tensor.name == detail["name"]
        assert tensor.dtype == np.dtype(detail["dtype"]).name
        assert list(tensor.shape) == list(detail["shape"])
        scales = detail["quantization_parameters"]["scales"]
        if len(scales):
            assert tensor.quantization is not None
            np.testing.assert_array_equal(np.float32(tensor.quantization.scales), scales)
            zero_points = detail["quantization_parameters"]["zero_points"]
            np.testing.assert_array_equal(tensor.quantization.zero_points, zero_points)
    assert {d["index"] for d in interpreter.get_input_details()} == set(read_tflite(real_model).main.inputs)
    assert {d["index"] for d in interpreter.get_output_details()} == set(read_tflite(real_model).main.outputs)


def test_operators_are_those_that_the_runtime_runs(real_model: Path) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(
        model_path=str(real_model),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    operators = read_tflite(real_model).main.operators
    details = interpreter._get_ops_details()
    assert [op.name for op in operators] == [detail["op_name"] for detail in details]
    for op, detail in zip(operators, details, strict=True):
        assert list(op.inputs) == list(detail["inputs"])
        assert list(op.outputs) == list(detail["outputs"])


def test_constants_are_read_with_their_values(shared_data: Path) -> None:
    path = shared_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant.tflite"
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    graph = read_tflite(path).main
    convolution = graph.operators[0]
    for i in convolution.inputs[1:]:
        values = graph.tensors[i].values()
        assert values is not None
        np.testing.assert_array_equal(values, interpreter.get_tensor(i))


def test_constant_that_lost_its_content_is_damage(small_model: bytes) -> None:
    """LiteRT 2.3 follows a null pointer on it: the buffer of the recurrent weights has become empty."""
    content = bytearray(small_model)
    graph = parse_tflite(small_model, Path("whole.tflite")).main
    weights = next(t for t in graph.tensors if t.data is not None and t.shape == (20, 20))
    assert weights.data is not None
    start = small_model.index(weights.data.tobytes())
    assert struct.unpack_from("<I", content, start - 4)[0] == 400
    struct.pack_into("<I", content, start - 4, 0)
    with pytest.raises(DataError, match="which has no content"):
        parse_tflite(bytes(content), Path("emptied.tflite"))
    struct.pack_into("<I", content, start - 4, 396)
    with pytest.raises(DataError, match="400 bytes with 396 bytes"):
        parse_tflite(bytes(content), Path("shortened.tflite"))


def test_options_are_read(shared_data: Path) -> None:
    first = read_tflite(shared_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant.tflite").main.operators[
        0
    ]
    assert first.name == "CONV_2D"
    assert first.options["fused_activation_function"] == "RELU6"
    assert (first.option("stride_h"), first.option("stride_w"), first.option("nothing", 7)) == (2, 2, 7)


def test_file_written_by_a_newer_converter_is_read_whole(tmp_path: Path) -> None:
    """Operators beyond number 127 carry theirs in a second field."""
    builder = flatbuffers.Builder(64)
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, 127)
    tflite.OperatorCodeAddBuiltinCode(builder, tflite.BuiltinOperator.GELU)
    code = tflite.OperatorCodeEnd(builder)
    tflite.ModelStartOperatorCodesVector(builder, 1)
    builder.PrependUOffsetTRelative(code)
    codes = builder.EndVector()
    tflite.SubGraphStartTensorsVector(builder, 0)
    nothing = builder.EndVector()
    tflite.OperatorStart(builder)
    tflite.OperatorAddInputs(builder, nothing)
    tflite.OperatorAddOutputs(builder, nothing)
    operator = tflite.OperatorEnd(builder)
    tflite.SubGraphStartOperatorsVector(builder, 1)
    builder.PrependUOffsetTRelative(operator)
    operators = builder.EndVector()
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, nothing)
    tflite.SubGraphAddOperators(builder, operators)
    graph = tflite.SubGraphEnd(builder)
    tflite.ModelStartSubgraphsVector(builder, 1)
    builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, graphs)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    path = tmp_path / "gelu.tflite"
    path.write_bytes(bytes(builder.Output()))
    assert [op.name for op in read_tflite(path).main.operators] == ["GELU"]
