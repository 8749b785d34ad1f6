"""What the failures and statuses of edgetpu_compiler mean, and what to do about them."""

from __future__ import annotations

import re

from converter.edgetpu.compiler_log import CompilerLog

_STATUSES = (
    ("Mapped to Edge TPU", ""),
    ("More than one subgraph", "lies behind an operator that stays on the CPU"),
    ("unsupported data type", "works on float or int32: quantise the whole model to int8"),
    ("Operation version not supported", "written by a newer TensorFlow than the compiler maps"),
    ("unsupported rank", "only the 3 innermost dimensions may exceed 1: convert with a batch of 1"),
    ("not constant at compile-time", "its weights are computed, not constant"),
    ("unitary strides", "a slice with strides: use a convolution with strides"),
    (
        "unspecified limitation",
        "mostly too large, or float on one side; `edgetrack-convert inspect` says more",
    ),
    ("Operation not supported", "the Edge TPU has no such operator"),
)


def explain_status(status: str) -> str:
    """What a row of the compiler's operator table means; "" for a mapped or an unknown one."""
    return next((text for mark, text in _STATUSES if mark in status), "")


def explain_failure(log: CompilerLog) -> tuple[str, str]:
    """What went wrong in a run that wrote no file, and what to do: (problem, hint)."""
    text = "\n".join(log.errors)
    newer = re.search(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'", text)
    if newer:
        name, version = newer.groups()
        compiler = f"edgetpu_compiler {log.version}" if log.version else "the compiler"
        return (
            f"operator {name} version {version} is newer than the compiler knows ({compiler})",
            "run `edgetrack-convert inspect` on it: it names each such operator and what to write instead",
        )
    unknown = re.search(r"builtin_code out of range: (\d+)", text)
    if unknown:
        return (
            f"operator {_operator_name(int(unknown.group(1)))} did not exist when the compiler was built",
            "run `edgetrack-convert inspect` on it: it names each such operator and what to write instead",
        )
    for mark, problem, hint in _EXPLANATIONS:
        if mark in text:
            return problem, hint
    last = log.errors[-1] if log.errors else "it printed no reason"
    return f"the compiler failed: {last}", "see the log above; google-coral/edgetpu lists known failures"


def _operator_name(code: int) -> str:
    import tflite

    names: dict[int, str] = {
        value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)
    }
    return names.get(code, f"number {code}")


_EXPLANATIONS = (
    (
        "Segmentation fault",
        "the compiler crashed",
        "some models crash it with --segments: try fewer; else see `edgetrack-convert inspect`",
    ),
    (
        "dynamic-sized tensors",
        "expected fixed shapes, got a tensor whose size is known only when the model runs",
        "convert with a fixed batch of 1",
    ),
    (
        "large activation tensors",
        "activations are too large for the Edge TPU's memory",
        "use a smaller input picture, or fewer channels in the first layers",
    ),
    (
        "Model not quantized",
        "expected a fully quantised model, got float tensors",
        "convert it to int8 with `edgetrack-convert convert`",
    ),
    (
        "Internal compiler error",
        "the compiler gave up with an internal error, mostly a tensor too large for the chip or a rare shape",
        "use a smaller input picture; `edgetrack-convert inspect` names unusual operators",
    ),
    (
        "lacks data",
        "constants lie outside of the flatbuffer, where the compiler does not look",
        "convert with the constants inside the flatbuffer",
    ),
    (
        "Model could not be parsed",
        "the compiler cannot read the file",
        "run `edgetrack-convert inspect` on it",
    ),
    (
        "Invalid model",
        "the compiler does not accept the file",
        "run `edgetrack-convert inspect` on it",
    ),
)
