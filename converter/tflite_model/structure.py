"""What a `.tflite` file holds: subgraphs, operators, tensors and their quantisation, as plain records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

OptionValue: TypeAlias = int | float | str | tuple[int | float, ...]

NUMPY_DTYPES: Mapping[str, type[np.generic]] = {
    "float32": np.float32,
    "float16": np.float16,
    "float64": np.float64,
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "uint16": np.uint16,
    "int32": np.int32,
    "uint32": np.uint32,
    "int64": np.int64,
    "uint64": np.uint64,
    "bool": np.bool_,
}
"""TFLite's element types that have a NumPy twin."""

FLOAT_DTYPES = frozenset({"float16", "bfloat16", "float32", "float64"})

INTEGER_CODES: Mapping[str, tuple[int, int]] = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
}
"""Smallest and largest code of the types that activations are quantised to."""

EDGETPU_CUSTOM_OP = "edgetpu-custom-op"
"""Custom operator that edgetpu_compiler puts in the place of all that it mapped."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = scale · (code - zero_point), for the whole tensor or per slice of one axis.

    Args:
        scales: one, or one per slice of `axis`.
        zero_points: as many as scales.
        axis: the axis that has a scale per slice; of no meaning with one scale.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    @property
    def per_channel(self) -> bool:
        """Has a scale per slice of `axis`."""
        return len(self.scales) > 1

    def __str__(self) -> str:
        if self.per_channel:
            return (
                f"{len(self.scales)} scales {min(self.scales):.3g}..{max(self.scales):.3g}, axis {self.axis}"
            )
        return (
            f"{self.scales[0]:.6g}·(q{-self.zero_points[0]:+d})"
            if self.zero_points[0]
            else f"{self.scales[0]:.6g}·q"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One tensor of a subgraph.

    Args:
        index: position within its subgraph.
        name: as the file says, control characters replaced; may be empty, may repeat.
        dtype: "int8", "float32", … in lower case.
        shape: as allocated; an axis that is free in `signature` stands as 1 here.
        signature: as declared, -1 for a free axis; equal to `shape` where the file has none.
        quantization: None where the file gives no scale.
        data: (bytes,) uint8, the constant's content; None for activations.
        variable: a state that lives between calls.
        sparse: stored in a sparse format.
        external: the content lies outside the flatbuffer (models over 2 GB, and ai-edge-quantizer 0.10).
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    quantization: Quantization | None
    data: NDArray[np.uint8] | None
    variable: bool = False
    sparse: bool = False
    external: bool = False

    @property
    def constant(self) -> bool:
        """Has its content in the file."""
        return self.data is not None or self.external

    @property
    def dynamic(self) -> bool:
        """Has an axis whose length is known only when the model runs."""
        return any(size < 0 for size in self.signature)

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def data_bytes(self) -> int:
        """Size of the constant's content; 0 for activations."""
        return 0 if self.data is None else self.data.size

    @property
    def is_float(self) -> bool:
        """Holds floating-point values."""
        return self.dtype in FLOAT_DTYPES

    @property
    def representable(self) -> tuple[float, float] | None:
        """Smallest and largest value that its codes can say; None without a single scale."""
        codes = INTEGER_CODES.get(self.dtype)
        if codes is None or self.quantization is None or self.quantization.per_channel:
            return None
        scale, zero = self.quantization.scales[0], self.quantization.zero_points[0]
        return scale * (codes[0] - zero), scale * (codes[1] - zero)

    def values(self) -> NDArray[Any] | None:
        """The constant's content with its shape and dtype; None where there is none that NumPy can hold."""
        dtype = NUMPY_DTYPES.get(self.dtype)
        if self.data is None or dtype is None or self.sparse:
            return None
        if self.data.size != self.elements * np.dtype(dtype).itemsize:
            return None
        return self.data.view(dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a subgraph.

    Args:
        index: position in the execution order.
        name: TFLite's name ("CONV_2D"), or the custom operator's own.
        version: of the operator, as the file asks for it.
        inputs: tensor indices; -1 for an optional input that is left out.
        outputs: tensor indices.
        options: its settings, in snake case ("stride_w", "fused_activation_function").
        custom: is a custom operator.
        custom_bytes: size of a custom operator's own settings.
    """

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, OptionValue]
    custom: bool = False
    custom_bytes: int = 0

    def option(self, name: str, default: int = 0) -> int:
        """A setting as a whole number; `default` where the file leaves it out."""
        value = self.options.get(name, default)
        return int(value) if isinstance(value, int | float) and math.isfinite(value) else default


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A graph of operators in execution order; the first is the model, others are bodies of IF, WHILE …"""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def tensor(self, index: int) -> Tensor | None:
        """The tensor at an index; None for an optional one that is left out (-1)."""
        return self.tensors[index] if index >= 0 else None

    def activations(self, operator: Operator) -> tuple[list[Tensor], list[Tensor]]:
        """The inputs that are no constants, and the outputs, of an operator."""
        inputs = [t for t in map(self.tensor, operator.inputs) if t is not None and not t.constant]
        outputs = [t for t in map(self.tensor, operator.outputs) if t is not None]
        return inputs, outputs


@dataclass(frozen=True, slots=True)
class TfliteModel:
    """A whole `.tflite` file.

    Args:
        path: where it was read.
        size_bytes: of the file.
        description: who wrote it ("MLIR Converted." …).
        subgraphs: one or more.
        metadata: name and size in bytes of each entry.
        min_runtime: "min_runtime_version" as the writer put it, or "".
        signatures: names of its signatures.
    """

    path: Path
    size_bytes: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    metadata: Mapping[str, int]
    min_runtime: str
    signatures: tuple[str, ...]

    @property
    def main(self) -> Subgraph:
        """The subgraph that runs."""
        return self.subgraphs[0]

    @property
    def compiled_for_edgetpu(self) -> bool:
        """Has been through edgetpu_compiler."""
        return any(op.custom and op.name == EDGETPU_CUSTOM_OP for op in self.main.operators)
