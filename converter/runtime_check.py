"""Whether the runtime loads an int8 file that was just made, and which operator it refuses."""

from __future__ import annotations

import re
from pathlib import Path

from agent.detect.interpreter import Interpreter
from agent.errors import ModelError
from converter.tflite_edit.edit import EditableModel
from converter.worker import Worker

_MAX_SEARCHED_BYTES = 2**24
"""Files beyond it are not taken apart: every operator is tried in a copy of the file."""


def check_loads(path: Path, worker: Worker, source: Path) -> None:
    """Load an int8 file of ours.

    Args:
        path: of the file, a temporary one.
        worker: where it is loaded, as the runtime may end its process over a file.
        source: the user's model, for the message.

    Raises:
        ModelError: the runtime refuses it; names the model and, where it can be found, the operator.
    """
    try:
        reason: str | None = worker.call("converter.runtime_check:load", path, on=source)
    except ModelError:
        reason = "the runtime crashes"  # LiteRT frees twice what XNNPACK could not make
    if reason is None:
        return
    operator = _search(path, worker, source)
    at = f" at {operator}" if operator else ""
    raise ModelError(
        str(source),
        f"expected an int8 file that the runtime loads, got one that it refuses{at}: {reason}",
        "replace that layer, or report it with the model",
    )


def load(path: Path) -> str | None:
    """Why the runtime refuses a file; None where it does not. Runs in the worker."""
    try:
        Interpreter(path)
    except ModelError as error:
        return error.problem.split(", got ", 1)[-1]
    return None


def _search(path: Path, worker: Worker, source: Path) -> str | None:
    if path.stat().st_size > _MAX_SEARCHED_BYTES:
        return None
    try:
        found: str | None = worker.call("converter.runtime_check:refused_operator", path, on=source)
    except ModelError:
        return None
    return found


def refused_operator(path: Path) -> str | None:
    """Name and result of the first operator that the runtime refuses by itself. Runs in the worker."""
    content = path.read_bytes()
    whole = EditableModel(content)
    alone = path.with_name(f"{path.stem}-operator.tflite")
    for position, operator in enumerate(whole.graph.operators):
        edited = EditableModel(content)
        only = edited.graph.operators[position]
        edited.graph.operators = [only]
        edited.graph.inputs = [
            tensor for tensor in dict.fromkeys(only.inputs) if tensor >= 0 and edited.constant(tensor) is None
        ]
        edited.set_outputs(only.outputs)
        alone.write_bytes(edited.content())
        if load(alone) is not None:
            name = re.split("[;:]", whole.name(operator.outputs[0]))[0]
            return f"{whole.operator_name(operator)} {name}"
    return None
