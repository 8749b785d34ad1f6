"""Which runtimes can load a `.tflite` file: tflite-runtime 2.14, LiteRT 2.3, the TFLite of libedgetpu.

Decided from the operators and versions in the file against each runtime's registry
(`converter.edgetpu.op_table`), so that it is known without having them all installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from converter.edgetpu.op_table import OperatorFacts, op_table
from converter.tflite_model.structure import EDGETPU_CUSTOM_OP, Operator, TfliteModel

BUNDLED_CUSTOM_OPS = frozenset({"TFLite_Detection_PostProcess", "Mfcc", "AudioSpectrogram", "NumericVerify"})
"""Custom operators that every TFLite build registers (tensorflow/lite/kernels/register.cc)."""

TFLITE_RUNTIME = "tflite-runtime 2.14"
LITERT = "LiteRT 2.3"
CORAL = "libedgetpu 16.0 (TFLite 2.5 to 2.7)"


@dataclass(frozen=True, slots=True)
class RuntimeVerdict:
    """Whether one runtime can load a file.

    Args:
        runtime: its name and version.
        loads: True, False, or None where it is not known.
        reasons: why not, or what to heed although it loads.
    """

    runtime: str
    loads: bool | None
    reasons: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """One line for a person: "loads", "does not load: …"."""
        answer = {True: "loads", False: "does not load", None: "may load"}[self.loads]
        return ": ".join((answer, "; ".join(self.reasons))) if self.reasons else answer


def judge_runtimes(model: TfliteModel) -> tuple[RuntimeVerdict, ...]:
    """Say for each runtime whether it can load a file, and what stands against it."""
    return (
        _judge(model, TFLITE_RUNTIME, lambda facts: (facts.tflite_runtime_2_14 or 0,) * 2),
        _judge(model, LITERT, lambda facts: (facts.litert_2_3 or 0,) * 2),
        _judge(model, CORAL, lambda facts: (facts.accepted_version, facts.rejected_above_version)),
    )


def _judge(
    model: TfliteModel, runtime: str, limits: Callable[[OperatorFacts], tuple[int, int]]
) -> RuntimeVerdict:
    refused: dict[str, None] = {}
    unsure: dict[str, None] = {}
    for graph in model.subgraphs:
        for op in graph.operators:
            if op.custom:
                _custom(op, runtime, refused, unsure)
                continue
            facts = op_table().get(op.name)
            sure, most = limits(facts) if facts is not None else (0, 0)
            if op.version > most:
                known = f"knows up to {most}" if most else "does not know it"
                refused[f"{op.name} version {op.version}: {known}"] = None
            elif op.version > sure:
                unsure[f"{op.name} version {op.version}: not known whether it is read"] = None
    old = runtime == CORAL
    if any(tensor.external for graph in model.subgraphs for tensor in graph.tensors) and runtime != LITERT:
        text = "constants lie outside of the flatbuffer"
        (refused if old else unsure)[text] = None
    heed = tuple(unsure)
    if old and not refused and (dense := per_channel_dense(model)):
        heed += (
            (
                f"operators {', '.join(map(str, dense))}: FULLY_CONNECTED with a scale per channel loads, "
                "and computed wrongly; convert Dense layers with one scale"
            ),
        )
    if refused:
        return RuntimeVerdict(runtime, False, (*refused, *heed))
    return RuntimeVerdict(runtime, None if unsure else True, heed)


def _custom(op: Operator, runtime: str, refused: dict[str, None], unsure: dict[str, None]) -> None:
    if op.name in BUNDLED_CUSTOM_OPS:
        return
    if op.name == EDGETPU_CUSTOM_OP:
        if runtime != CORAL:
            unsure[f"{EDGETPU_CUSTOM_OP}: needs an Edge TPU and a libedgetpu built for this runtime"] = None
        return
    kind = "a TensorFlow (Flex) operator" if op.name.startswith("Flex") else "a custom operator"
    refused[f"{op.name}: {kind} that it does not have"] = None


def per_channel_dense(model: TfliteModel) -> tuple[int, ...]:
    """Indices of FULLY_CONNECTED operators whose weights have a scale per channel.

    TFLite up to 2.7, and with it edgetpu_compiler 16.0, reads only the first of them and does not complain.
    """
    graph = model.main
    found = []
    for op in graph.operators:
        weights = graph.tensor(op.inputs[1]) if op.name == "FULLY_CONNECTED" and len(op.inputs) > 1 else None
        if weights is not None and weights.quantization is not None and weights.quantization.per_channel:
            found.append(op.index)
    return tuple(found)
