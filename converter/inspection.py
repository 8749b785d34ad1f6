"""All that `edgetrack-convert inspect` says of a file, as one record and as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.edgetpu.verdict import Verdict, judge
from converter.runtimes import RuntimeVerdict, judge_runtimes, per_channel_dense
from converter.tflite_model.float_islands import FloatIsland, float_islands
from converter.tflite_model.reader import read_tflite
from converter.tflite_model.scales import ScaleWarning, scale_warnings
from converter.tflite_model.structure import Tensor, TfliteModel


@dataclass(frozen=True, slots=True)
class Inspection:
    """One file, and what was found out about it without running it."""

    model: TfliteModel
    edgetpu: Verdict
    runtimes: tuple[RuntimeVerdict, ...]
    islands: tuple[FloatIsland, ...]
    scales: tuple[ScaleWarning, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user must know beyond the operators, one line each."""
        lines = [f"operator {w.operator} '{w.tensor}': {w.text}; {w.advice}" for w in self.scales]
        if dense := per_channel_dense(self.model):
            lines.append(
                f"operators {', '.join(map(str, dense))}: FULLY_CONNECTED with a scale per channel; "
                "edgetpu_compiler and TFLite up to 2.7 take it and compute nonsense; "
                "convert Dense layers with one scale"
            )
        lines += self.edgetpu.notes
        return tuple(lines)


def inspect_file(path: Path, min_runtime: int = 14) -> Inspection:
    """Read a `.tflite` file and find out what can be known without running it.

    Args:
        path: of the file.
        min_runtime: the Edge TPU runtime version that a compiled model must run on (10 to 14).

    Raises:
        DataError: the file cannot be read, is no TFLite model, or is damaged.
    """
    model = read_tflite(path)
    return Inspection(
        model=model,
        edgetpu=judge(model, min_runtime),
        runtimes=judge_runtimes(model),
        islands=float_islands(model.main),
        scales=scale_warnings(model.main),
    )


def tensor_json(tensor: Tensor) -> dict[str, Any]:
    """One tensor: name, dtype, shape, and its scale and zero point where it has one for all.

    A scale that JSON has no word for (infinite, not a number) becomes null.
    """
    content: dict[str, Any] = {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.signature)}
    quantization = tensor.quantization
    if quantization is not None and not quantization.per_channel:
        scale = quantization.scales[0]
        content |= {
            "scale": scale if math.isfinite(scale) else None,
            "zero_point": quantization.zero_points[0],
        }
    elif quantization is not None:
        content |= {"scales": len(quantization.scales), "axis": quantization.axis}
    return content


def inspection_json(inspection: Inspection) -> dict[str, Any]:
    """What `inspect --json` prints; keys are kept stable."""
    model, verdict = inspection.model, inspection.edgetpu
    graph = model.main
    operators = []
    for op, found in zip(graph.operators, verdict.operators, strict=True):
        inputs = [tensor_json(t) for t in map(graph.tensor, op.inputs) if t is not None]
        outputs = [tensor_json(t) for t in map(graph.tensor, op.outputs) if t is not None]
        operators.append(
            {
                "index": op.index,
                "name": op.name,
                "version": op.version,
                "maps": found.maps,
                "reason": found.reason.text if found.reason else None,
                "code": found.reason.code if found.reason else None,
                "advice": found.reason.advice if found.reason else None,
                "inputs": inputs,
                "outputs": outputs,
            }
        )
    memory = verdict.memory
    return {
        "file": str(model.path),
        "size_bytes": model.size_bytes,
        "inputs": [tensor_json(graph.tensors[i]) for i in graph.inputs if i >= 0],
        "outputs": [tensor_json(graph.tensors[i]) for i in graph.outputs if i >= 0],
        "mapped": verdict.mapped,
        "total": verdict.total,
        "compiled": verdict.compiled,
        "refused": verdict.refused.text if verdict.refused else None,
        "first_stop": verdict.first_stop,
        "waiting": verdict.waiting,
        "parameter_memory": {
            "parameter_bytes": memory.parameter_bytes,
            "most_bytes": memory.most_bytes,
            "fits": memory.fits,
            "text": memory.text,
        },
        "runtimes": [
            {"runtime": r.runtime, "loads": r.loads, "reasons": list(r.reasons)} for r in inspection.runtimes
        ],
        "float_islands": [
            {"operators": list(i.operators), "names": dict(i.names), "text": i.text}
            for i in inspection.islands
        ],
        "warnings": list(inspection.warnings),
        "scale_warnings": [
            {"code": w.code, "operator": w.operator, "tensor": w.tensor, "text": w.text, "advice": w.advice}
            for w in inspection.scales
        ],
        "subgraphs": len(model.subgraphs),
        "metadata": dict(model.metadata),
        "signatures": list(model.signatures),
        "operators": operators,
    }
