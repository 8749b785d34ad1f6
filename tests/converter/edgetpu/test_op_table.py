"""The shipped table against the runtimes themselves and against the facts that it was made from."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import flatbuffers
import pytest
import tflite

from converter.edgetpu.op_table import op_table


def registry_probe(code: int, version: int) -> bytes:
    """The smallest model that asks a runtime for one operator version: a runtime resolves all it lists."""
    builder = flatbuffers.Builder(256)
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, 127))
    tflite.OperatorCodeAddVersion(builder, version)
    tflite.OperatorCodeAddBuiltinCode(builder, code)
    kind = tflite.OperatorCodeEnd(builder)
    tflite.ModelStartOperatorCodesVector(builder, 1)
    builder.PrependUOffsetTRelative(kind)
    kinds = builder.EndVector()
    tflite.SubGraphStartTensorsVector(builder, 0)
    nothing = builder.EndVector()
    tflite.SubGraphStart(builder)
    for add in (tflite.SubGraphAddTensors, tflite.SubGraphAddInputs, tflite.SubGraphAddOutputs):
        add(builder, nothing)
    tflite.SubGraphAddOperators(builder, nothing)
    graph = tflite.SubGraphEnd(builder)
    tflite.ModelStartSubgraphsVector(builder, 1)
    builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    tflite.BufferStart(builder)
    buffer = tflite.BufferEnd(builder)
    tflite.ModelStartBuffersVector(builder, 1)
    builder.PrependUOffsetTRelative(buffer)
    buffers = builder.EndVector()
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, kinds)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, buffers)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("module", "column"),
    [("tflite_runtime.interpreter", "tflite_runtime_2_14"), ("ai_edge_litert.interpreter", "litert_2_3")],
)
def test_highest_versions_are_those_of_the_runtime(module: str, column: str) -> None:
    interpreter = pytest.importorskip(module).Interpreter

    def loads(code: int, version: int) -> bool:
        try:
            interpreter(model_content=registry_probe(code, version))
        except ValueError as error:
            assert "Didn't find op" in str(error) or "out of range" in str(error)
            return False
        return True

    codes = {name: value for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
    for name, facts in op_table().items():
        highest = getattr(facts, column)
        if highest is not None:
            assert loads(codes[name], highest), f"{name} v{highest} should load"
        assert not loads(codes[name], (highest or 0) + 1), f"{name} v{(highest or 0) + 1} should not load"


@pytest.mark.data
def test_table_holds_the_known_facts(shared_data: Path) -> None:
    facts = json.loads((shared_data / "edgetpu" / "edgetpu_ops.json").read_text(encoding="utf-8"))
    del facts["_meta"]
    table = op_table()
    assert facts.keys() <= table.keys()
    for name, fact in facts.items():
        row = table[name]
        assert row.supported == fact["supported"], name
        assert list(row.seen_versions) == fact["versions_seen_mapped"], name
        if name != "QUANTIZE":  # its version 3 was refused: google-coral/edgetpu#879
            assert row.rejected_above_version == (fact["max_version_range"][1] or 0), name


def test_rows_are_in_order_and_consistent() -> None:
    for name, row in op_table().items():
        assert row.accepted_version <= row.rejected_above_version, name
        assert all(version <= row.rejected_above_version for version in row.seen_versions), name
        assert not row.seen_versions or row.supported, name


def test_table_is_small() -> None:
    path = Path(importlib.import_module("converter.edgetpu").__path__[0]) / "op_table.json"
    assert path.stat().st_size < 12_000
