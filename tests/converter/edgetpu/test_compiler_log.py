"""Published logs, read and explained."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from converter.edgetpu.compiler_failures import explain_failure, explain_status
from converter.edgetpu.compiler_log import parse_log

Log = Callable[[str], str]


def test_partly_mapped_model_is_read_whole(compiler_log: Log) -> None:
    log = parse_log(compiler_log("partly_mapped_15"))
    assert (log.version, log.duration_ms, log.errors) == ("15.0.340273435", 577, ())
    (model,) = log.models
    assert model.output_name.endswith("yolov3-tiny_int8_edgetpu.tflite")
    assert (model.on_chip_used, model.on_chip_left, model.off_chip) == (3 * 1024, int(7.67 * 2**20), 0)
    assert (model.subgraphs, model.total, model.on_tpu, model.on_cpu) == (1, 36, 2, 34)
    assert sum(row.count for row in model.operators) == model.total
    assert sum(row.count for row in model.operators if row.mapped) == model.on_tpu
    assert log.on_cpu == 34
    assert all(row.mapped or explain_status(row.status) for row in model.operators)


def test_counts_are_taken_from_the_table_where_all_mapped(compiler_log: Log) -> None:
    (model,) = parse_log(compiler_log("segments_16")).models
    assert (model.total, model.on_tpu, model.on_cpu) == (84, 84, 0)
    assert "84 of 84 operators" in model.summary


def test_streamed_parameters_stand_in_the_summary(compiler_log: Log) -> None:
    log = parse_log(compiler_log("streamed_16"))
    (model,) = log.models
    assert log.errors == ()
    assert model.off_chip == int(3.45 * 2**20)
    assert "3.45 MiB sent at each inference" in model.summary


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "newer_operator_16",
            "operator CONV_2D version 6 is newer than the compiler knows (edgetpu_compiler 16.0",
        ),
        ("dynamic_16", "size is known only when the model runs"),
        ("large_activations_16", "activations are too large"),
        ("not_quantized_15", "expected a fully quantised model"),
        ("internal_error_14", "internal error"),
        ("crash_16", "crashed"),
        ("silent_15", "printed no reason"),
    ],
)
def test_failure_is_explained(compiler_log: Log, name: str, problem: str) -> None:
    log = parse_log(compiler_log(name))
    assert log.models == ()
    found, hint = explain_failure(log)
    assert problem in found
    assert hint


@pytest.mark.parametrize(
    "text", ["", "\0\0\0", "Input model: \nOutput model:", "Operator  Count  Status\n" * 5]
)
def test_odd_text_is_no_error(text: str) -> None:
    log = parse_log(text)
    assert explain_failure(log)[0]
    assert all(model.operators == () for model in log.models)


def test_operator_that_did_not_exist_is_named() -> None:
    # What TFLite prints for an operator number that it has never heard of.
    text = "ERROR: Op builtin_code out of range: 150. Are you using old TFLite binary with newer model?\n"
    assert "operator GELU did not exist" in explain_failure(parse_log(text))[0]
