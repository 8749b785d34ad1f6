"""What of a `.tflite` file edgetpu_compiler will put on the Edge TPU, decided from the file alone.

Without its option for more, the compiler makes one Edge TPU subgraph: from the inputs up to the first
operators that it cannot take. An operator that depends on a CPU operator which itself depends on the TPU
stays on the CPU; CPU operators that come before the TPU part (QUANTIZE from float, CAST) do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

from converter.edgetpu.memory import ParameterMemory, estimate_memory
from converter.edgetpu.op_table import compiler_version, op_table
from converter.edgetpu.reason import Reason
from converter.edgetpu.rules import obstacle
from converter.tflite_model.structure import EDGETPU_CUSTOM_OP, Operator, Subgraph, TfliteModel

BEHIND = "behind-cpu"
REFUSED = "model-refused"


@dataclass(frozen=True, slots=True)
class OperatorVerdict:
    """One operator of the model's main subgraph.

    Args:
        index, name, version: as in the file.
        maps: will be on the Edge TPU.
        reason: why not; None where it maps.
    """

    index: int
    name: str
    version: int
    maps: bool
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the Edge TPU takes of a model.

    Args:
        operators: one per operator of the main subgraph, in execution order.
        refused: why the compiler takes nothing of the file at all; None where it does.
        first_stop: index of the operator that ends the mapped part, or None.
        compiled: the file has been through edgetpu_compiler already.
        memory: room that its parameters need on the chip.
        notes: what the table does not know for certain.
    """

    operators: tuple[OperatorVerdict, ...]
    refused: Reason | None
    first_stop: int | None
    compiled: bool
    memory: ParameterMemory
    notes: tuple[str, ...] = ()

    @property
    def mapped(self) -> int:
        """Number of operators that will be on the Edge TPU."""
        return sum(operator.maps for operator in self.operators)

    @property
    def total(self) -> int:
        """Number of operators."""
        return len(self.operators)

    @property
    def waiting(self) -> int:
        """Operators that would map if nothing before them stayed on the CPU."""
        return sum(op.reason is not None and op.reason.code == BEHIND for op in self.operators)


def judge(model: TfliteModel, min_runtime: int = 14) -> Verdict:
    """Decide for every operator of a model whether the Edge TPU takes it.

    Args:
        model: from `converter.tflite_model.reader.read_tflite`.
        min_runtime: the Edge TPU runtime version that the compiled model must run on (10 to 14).
    """
    graph = model.main
    refused = _refusal(model)
    own = [obstacle(op, graph, op_table().get(op.name), min_runtime) for op in graph.operators]
    reasons = _refuse_all(graph, own, refused) if refused is not None else _one_subgraph(graph, own)
    operators = tuple(
        OperatorVerdict(op.index, op.name, op.version, reason is None, reason)
        for op, reason in zip(graph.operators, reasons, strict=True)
    )
    mapped = [op for op, reason in zip(graph.operators, reasons, strict=True) if reason is None]
    return Verdict(
        operators=operators,
        refused=refused,
        first_stop=_first_stop(graph, operators),
        compiled=model.compiled_for_edgetpu,
        memory=estimate_memory(graph, mapped),
        notes=_notes(model),
    )


def _too_new(operator: Operator) -> Reason | None:
    facts = op_table().get(operator.name)
    if operator.custom or facts is None or operator.version <= facts.rejected_above_version:
        return None
    if facts.rejected_above_version == 0:
        text = f"{operator.name} did not exist when edgetpu_compiler {compiler_version()} was built"
        return Reason("version", text, "replace it with operators of TensorFlow 2.6")
    return Reason(
        "version",
        f"{operator.name} version {operator.version} is newer than the compiler knows: "
        f"edgetpu_compiler {compiler_version()} reads up to {facts.rejected_above_version}",
        _version_advice(operator),
    )


def _version_advice(operator: Operator) -> str:
    advice = {
        (
            "CONV_2D",
            6,
        ): "a grouped convolution: split it into one CONV_2D per group, or make it full with zeros",
        (
            "TRANSPOSE_CONV",
            4,
        ): "put the activation behind TRANSPOSE_CONV as an operator of its own, without a bias",
        ("EXP", 2): "take EXP out of the model",
        ("TILE", 3): "join copies with CONCATENATION",
        ("TRANSPOSE", 6): "transpose at most 5 dimensions: RESHAPE before it",
    }
    return advice.get(
        (operator.name, operator.version), "convert with the settings of `edgetrack-convert convert`"
    )


def _refusal(model: TfliteModel) -> Reason | None:
    """Why the compiler would refuse the file as a whole."""
    if model.compiled_for_edgetpu:
        return None
    for graph in model.subgraphs:
        for op in graph.operators:
            reason = _too_new(op)
            if reason is not None:
                where = "" if graph is model.main else f" in subgraph '{graph.name}'"
                return Reason(reason.code, f"operator {op.index}{where}: {reason.text}", reason.advice)
    if any(tensor.external for tensor in model.main.tensors):
        return Reason(
            "external-buffers",
            "constants lie outside of the flatbuffer, where TFLite of the compiler's age does not look",
            "convert with the constants inside the flatbuffer",
        )
    quantized = any(t.quantization is not None and t.dtype in {"int8", "uint8"} for t in model.main.tensors)
    if not quantized:
        return Reason(
            "not-quantized", "no tensor is int8 or uint8: the model is not quantised", "convert it to int8"
        )
    return None


def _refuse_all(graph: Subgraph, own: list[Reason | None], refused: Reason) -> list[Reason | None]:
    rest = Reason(REFUSED, f"the compiler refuses the file: {refused.text}", refused.advice)
    return [_too_new(op) or reason or rest for op, reason in zip(graph.operators, own, strict=True)]


def _one_subgraph(graph: Subgraph, own: list[Reason | None]) -> list[Reason | None]:
    """Leave on the CPU what depends on a CPU operator that depends on the TPU."""
    on_tpu = [False] * len(graph.tensors)  # an operator on the TPU came before this tensor
    behind: list[Operator | None] = [None] * len(
        graph.tensors
    )  # the CPU operator after the TPU that it hangs on
    reasons: list[Reason | None] = []
    for op, reason in zip(graph.operators, own, strict=True):
        inputs = [i for i in op.inputs if i >= 0]
        stop = next((behind[i] for i in inputs if behind[i] is not None), None)
        after_tpu = any(on_tpu[i] for i in inputs)
        if reason is not None and stop is None and after_tpu:
            stop = op
        for i in op.outputs:
            if i >= 0:
                on_tpu[i] = after_tpu or reason is None
                behind[i] = stop
        reasons.append(_behind(stop) if reason is None and stop is not None else reason)
    return reasons


def _behind(stop: Operator) -> Reason:
    return Reason(
        BEHIND,
        f"lies behind operator {stop.index} {stop.name}, which stays on the CPU",
        f"see operator {stop.index}; the compiler makes one Edge TPU subgraph",
    )


def _first_stop(graph: Subgraph, operators: tuple[OperatorVerdict, ...]) -> int | None:
    """The first operator, in execution order, that keeps others off the TPU; None where all map."""
    on_tpu = {
        i for op, found in zip(graph.operators, operators, strict=True) if found.maps for i in op.outputs
    }
    for wanted in ("version", None):
        for op, found in zip(graph.operators, operators, strict=True):
            if found.reason is None or found.reason.code in {BEHIND, REFUSED}:
                continue
            if found.reason.code == wanted or (
                wanted is None and (not on_tpu or any(i in on_tpu for i in op.inputs))
            ):
                return op.index
    return None


def _notes(model: TfliteModel) -> tuple[str, ...]:
    notes = []
    if model.compiled_for_edgetpu:
        blob = sum(op.custom_bytes for op in model.main.operators if op.name == EDGETPU_CUSTOM_OP)
        notes.append(
            f"already compiled for the Edge TPU: {EDGETPU_CUSTOM_OP} holds {blob} bytes of code and weights"
        )
    unknown = sorted(
        {
            f"{op.name} version {op.version}"
            for op in model.main.operators
            if (facts := op_table().get(op.name)) is not None
            and not op.custom
            and facts.accepted_version < op.version <= facts.rejected_above_version
        }
    )
    if unknown:
        notes.append(
            f"it is not known whether the compiler reads {', '.join(unknown)}; it may refuse the file"
        )
    return tuple(notes)
