"""Graphs made by hand, the stand-in compiler and its logs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.tflite_model.structure import Operator, Quantization, Subgraph, Tensor, TfliteModel

HERE = Path(__file__).resolve().parent
PLAIN = Quantization((0.05,), (0,))


@dataclass
class GraphMaker:
    """Builds a graph operator by operator; tensors are int8 (1, 8, 8, 4) unless said otherwise."""

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)

    def tensor(self, shape: Sequence[int] = (1, 8, 8, 4), dtype: str = "int8", **fields: Any) -> int:
        index = len(self.tensors)
        quantization = None if dtype in {"float32", "int32", "int64"} else PLAIN
        allocated = tuple(max(size, 1) for size in shape)
        made = Tensor(index, f"t{index}", dtype, allocated, tuple(shape), quantization, None)
        self.tensors.append(replace(made, **fields))
        return index

    def constant(self, values: Any, dtype: str = "int32", **fields: Any) -> int:
        array = np.asarray(values, dtype)
        data = np.frombuffer(array.tobytes(), np.uint8)
        return self.tensor(array.shape, dtype, data=data, **fields)

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int] | None = None,
        *,
        version: int = 1,
        custom: bool = False,
        **options: Any,
    ) -> int:
        """Add an operator; returns its (first) output."""
        made = tuple(outputs) if outputs is not None else (self.tensor(),)
        self.operators.append(
            Operator(len(self.operators), name, version, tuple(inputs), made, options, custom)
        )
        return made[0]

    def graph(self) -> Subgraph:
        made = {i for op in self.operators for i in op.outputs}
        used = {i for op in self.operators for i in op.inputs}
        free = [t.index for t in self.tensors if t.index not in made and not t.constant]
        return Subgraph(
            "main", tuple(self.tensors), tuple(self.operators), tuple(free), tuple(sorted(made - used))
        )

    def model(self) -> TfliteModel:
        return TfliteModel(Path("made.tflite"), 0, "", (self.graph(),), {}, "", ())


@pytest.fixture
def maker() -> GraphMaker:
    return GraphMaker()


@pytest.fixture
def new_maker() -> Callable[[], GraphMaker]:
    return GraphMaker


@pytest.fixture
def compiler_log() -> Callable[[str], str]:
    """The text of a published log."""
    return lambda name: (HERE / "logs" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a program like edgetpu_compiler: replays a log, writes given files, fails as asked."""

    def make(log: str, compiled: Path | None = None, mode: str = "ok") -> Path:
        program = tmp_path / "bin" / "edgetpu_compiler"
        program.parent.mkdir(exist_ok=True)
        script = HERE / "edgetpu_compiler_stand_in.py"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("STAND_IN_LOG", str(HERE / "logs" / f"{log}.txt"))
        monkeypatch.setenv("STAND_IN_COMPILED", str(compiled or ""))
        monkeypatch.setenv("STAND_IN_MODE", mode)
        return program

    return make
