"""What edgetpu_compiler printed, as records.

The texts are those of versions 2.1 to 16.0 as users published them (google-coral/edgetpu#60, #317, #427,
#512, #572, #601, #631, #671, #829).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = r"([\d.]+)\s*(B|KiB|MiB|GiB)"
_ROW = re.compile(r"^([A-Z][A-Z0-9_]*|[A-Za-z][\w-]*)\s{2,}(\d+)\s{2,}(\S.*?)\s*$")
MAPPED = "Mapped to Edge TPU"


@dataclass(frozen=True, slots=True)
class LogOperator:
    """One row of the operator table: operators of one name that share a status."""

    name: str
    count: int
    status: str

    @property
    def mapped(self) -> bool:
        """Runs on the Edge TPU."""
        return self.status == MAPPED


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """What was said of one output file; sizes in bytes, None where the log has no such line.

    Args:
        input_name, output_name: files, as the compiler names them.
        on_chip_used, on_chip_left, off_chip: parameters on the chip, room left, and sent at each inference.
        subgraphs: number of Edge TPU subgraphs.
        total: number of operators.
        operators: the table; empty without --show_operations.
        on_tpu, on_cpu: as counted by the compiler; None where it does not say.
    """

    input_name: str
    output_name: str
    on_chip_used: int | None
    on_chip_left: int | None
    off_chip: int | None
    subgraphs: int | None
    total: int | None
    operators: tuple[LogOperator, ...]
    on_tpu: int | None
    on_cpu: int | None

    @property
    def summary(self) -> str:
        """One line for a person."""
        total = self.total if self.total is not None else sum(row.count for row in self.operators)
        text = f"{self.output_name}: {total - (self.on_cpu or 0)} of {total} operators on the Edge TPU"
        if self.on_chip_used is not None and self.on_chip_left is not None:
            used, left = self.on_chip_used / 2**20, self.on_chip_left / 2**20
            text += f", {used:.2f} MiB of parameters on the chip ({left:.2f} left)"
        if self.off_chip:
            text += f", {self.off_chip / 2**20:.2f} MiB sent at each inference"
        return text


@dataclass(frozen=True, slots=True)
class CompilerLog:
    """A whole run.

    Args:
        version: of the compiler, or "".
        duration_ms: that it took, or None.
        models: one per output file.
        errors: lines that say what failed.
    """

    version: str
    duration_ms: int | None
    models: tuple[CompiledModel, ...]
    errors: tuple[str, ...]

    @property
    def on_cpu(self) -> int:
        """Operators that stay on the CPU, over all output files."""
        return sum(model.on_cpu or 0 for model in self.models)


_FAILURES = (
    "ERROR:",
    "Invalid model",
    "Internal compiler error",
    "Compilation failed",
    "Model could not be parsed",
    "Model not quantized",
    "Could not",
    "Compilation child process",
    "Aborted",
    "Op builtin_code out of range",
)
_HARMLESS = ("completed within timeout", "ERROR: Restored original execution plan")


def parse_log(text: str) -> CompilerLog:
    """Read what the compiler printed to stdout and stderr together; unknown lines are passed over."""
    version = re.search(r"Edge TPU Compiler version (\S+)", text)
    duration = re.search(r"compiled successfully in (\d+) ms", text)
    blocks = re.split(r"(?m)^(?=Input(?: model)?: )", text)[1:]
    errors = tuple(
        line.strip()
        for line in text.splitlines()
        if (line.strip().startswith(_FAILURES) or "Segmentation fault" in line)
        and not any(harmless in line for harmless in _HARMLESS)
    )
    return CompilerLog(
        version=version.group(1) if version else "",
        duration_ms=int(duration.group(1)) if duration else None,
        models=tuple(_model(block) for block in blocks),
        errors=errors,
    )


def _model(block: str) -> CompiledModel:
    def name(pattern: str) -> str:
        found = re.search(pattern, block, re.MULTILINE)
        return found.group(1).strip() if found else ""

    def number(pattern: str) -> int | None:
        found = re.search(pattern, block)
        return int(found.group(1)) if found else None

    def size(label: str) -> int | None:
        found = re.search(rf"{label}: {_SIZE}", block)
        return int(float(found.group(1)) * _UNITS[found.group(2)]) if found else None

    rows = tuple(
        LogOperator(found.group(1), int(found.group(2)), found.group(3))
        for line in block.splitlines()
        if (found := _ROW.match(line[:400])) and found.group(1) != "Operator"
    )
    on_tpu = number(r"will run on Edge TPU: (\d+)")
    on_cpu = number(r"will run on CPU: (\d+)")
    if rows and on_tpu is None:
        on_tpu = sum(row.count for row in rows if row.mapped)
        on_cpu = sum(row.count for row in rows if not row.mapped)
    total = number(r"Total number of operations: (\d+)")
    return CompiledModel(
        input_name=name(r"^Input(?: model)?: (.*)$"),
        output_name=name(r"^Output(?: model)?: (.*)$"),
        on_chip_used=size("On-chip memory used for caching model parameters"),
        on_chip_left=size("On-chip memory remaining for caching model parameters"),
        off_chip=size("Off-chip memory used for streaming uncached model parameters"),
        subgraphs=number(r"Number of Edge TPU subgraphs: (\d+)"),
        total=total if total is not None else sum(row.count for row in rows) or None,
        operators=rows,
        on_tpu=on_tpu,
        on_cpu=on_cpu,
    )
