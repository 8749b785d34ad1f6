"""The table of operators that `inspect` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from converter.edgetpu.verdict import OperatorVerdict, Verdict
from converter.tflite_model.structure import Operator, Subgraph, Tensor, TfliteModel


def tensor_line(tensor: Tensor) -> str:
    """Name, dtype, shape and quantisation of a tensor in one line."""
    quantization = f"  {tensor.quantization}" if tensor.quantization else ""
    return f"{_cut(tensor.name, 60)}  {tensor.dtype}{list(tensor.signature)}{quantization}"


def operator_table(model: TfliteModel, verdict: Verdict, every: bool) -> Table:
    """The operators, runs of the same operator with the same reason folded into one row.

    Args:
        model: the file.
        verdict: for it.
        every: one row per operator, mapped ones too.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in ("#", "operator", "shapes", "quantisation"):
        table.add_column(title, no_wrap=title in {"#", "operator"})
    table.add_column("Edge TPU", ratio=1)
    for rows in _runs(model.main.operators, verdict.operators, every):
        first, found = rows[0]
        span = f"{first.index}" if len(rows) == 1 else f"{first.index}..{rows[-1][0].index}"
        kinds = sorted({f"{op.name} v{op.version}" for op, _ in rows})
        name = kinds[0] if len(kinds) == 1 else f"{len(rows)} operators"
        shapes = _shapes(model.main, first) if len(rows) == 1 else ""
        quantization = _quantization(model.main, first) if len(rows) == 1 else ""
        if found.maps:
            place = "[green]maps[/green]"
        else:
            advice = (
                f" [dim]→ {escape(found.reason.advice)}[/dim]" if found.reason and found.reason.advice else ""
            )
            text = found.reason.text if found.reason and len(rows) == 1 else _fate(rows[0])[2]
            place = (
                f"[yellow]CPU[/yellow] {escape(text or (found.reason.text if found.reason else ''))}{advice}"
            )
        table.add_row(span, escape(name), escape(shapes), escape(quantization), place)
    return table


Row = tuple[Operator, OperatorVerdict]


def _runs(operators: Sequence[Operator], verdicts: Sequence[OperatorVerdict], every: bool) -> list[list[Row]]:
    """Rows of the table: neighbours that share one fate are one row, unless every operator is asked for."""
    runs: list[list[Row]] = []
    for row in zip(operators, verdicts, strict=True):
        previous = runs[-1][-1] if runs and not every else None
        if previous is not None and _fate(previous) == _fate(row):
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def _fate(row: Row) -> tuple[bool, str, str]:
    op, found = row
    if found.maps or found.reason is None:
        return True, "", ""
    if found.reason.code in {"behind-cpu", "model-refused"}:
        return False, found.reason.code, found.reason.text
    if found.reason.code in {"data-type", "dynamic-shape"}:
        return False, found.reason.code, found.reason.text.split(":")[0].split("'")[0]
    return False, found.reason.code, f"{op.name}: {found.reason.text}"


def _shapes(graph: Subgraph, op: Operator) -> str:
    inputs, outputs = graph.activations(op)
    return f"{' '.join(_shape(t) for t in inputs[:3])} → {' '.join(_shape(t) for t in outputs[:3])}"


def _shape(tensor: Tensor) -> str:
    return "×".join("?" if size < 0 else str(size) for size in tensor.signature) or "1"


def _quantization(graph: Subgraph, op: Operator) -> str:
    _, outputs = graph.activations(op)
    if not outputs:
        return ""
    tensor = outputs[0]
    return f"{tensor.dtype} {tensor.quantization}" if tensor.quantization else tensor.dtype


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
