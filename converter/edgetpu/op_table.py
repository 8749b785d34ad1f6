"""Which operators the Edge TPU takes, up to which version, and what the runtimes know: `op_table.json`.

The sources stand in the file, per column.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class OperatorFacts:
    """What is known of one builtin operator.

    Args:
        name: TFLite's name.
        since_runtime: lowest Edge TPU runtime version that takes it; None: it runs on the CPU.
        accepted_version: highest version that the compiler's TFLite is known to parse; 0: none known.
        rejected_above_version: versions above this reject the whole model; not below `accepted_version`.
        seen_versions: versions seen on the TPU in compiled models.
        tflite_runtime_2_14, litert_2_3: highest version in each runtime's registry; None: unknown to it.
    """

    name: str
    since_runtime: int | None
    accepted_version: int
    rejected_above_version: int
    seen_versions: tuple[int, ...]
    tflite_runtime_2_14: int | None
    litert_2_3: int | None

    @property
    def supported(self) -> bool:
        """Can run on the Edge TPU at all."""
        return self.since_runtime is not None


@cache
def _content() -> dict[str, object]:
    content: dict[str, object] = json.loads(files(__package__).joinpath("op_table.json").read_text("utf-8"))
    return content


@cache
def op_table() -> dict[str, OperatorFacts]:
    """Every builtin operator of TFLite 2.18 that a runtime of ours knows, by name."""
    rows = _content()["operators"]
    if not isinstance(rows, dict):
        raise TypeError("op_table.json: operators is no object")
    return {
        name: OperatorFacts(name, since, accepted, above, tuple(seen), runtime, litert)
        for name, (since, accepted, above, seen, runtime, litert) in rows.items()
    }


def compiler_version() -> str:
    """The edgetpu_compiler that the table is of."""
    return str(_content()["compiler"])
