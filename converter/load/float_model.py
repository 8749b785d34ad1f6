"""What every loader hands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError

FloatInputs = Mapping[str, NDArray[np.float32]]
"""One sample: every input by name, batch axis included."""


ONLY_INPUT = ""
"""Stands for the name of a model's one input."""


def bound(sample: FloatInputs, needed: Sequence[str], where: str) -> FloatInputs:
    """A sample under a model's input names; a lone array needs no name.

    Raises:
        DataError: it leaves out an input.
    """
    if len(sample) == 1 and len(needed) == 1:
        return {needed[0]: next(iter(sample.values()))}
    missing = [name for name in needed if name not in sample]
    if missing:
        given = ", ".join(name or "one unnamed" for name in sample)
        raise DataError(
            where, f"expected arrays for {', '.join(needed)}, got {given}", "name them as the model does"
        )
    return sample


def shaped(array: NDArray[np.float32], shape: Sequence[int], where: str) -> NDArray[np.float32]:
    """An array in the shape of an input.

    Raises:
        DataError: it has another number of elements.
    """
    if np.size(array) != np.prod(shape):
        raise DataError(
            where,
            f"expected samples of shape {tuple(shape)}, got {np.shape(array)}",
            "prepare them as the model takes them",
        )
    return np.asarray(array, np.float32).reshape(tuple(shape))


@dataclass(frozen=True, eq=False)
class FloatModel:
    """A trained model as a float `.tflite` with batch 1.

    Args:
        content: the file's bytes.
        inputs: names of its inputs, in its order.
        outputs: names of its outputs, in its order.
        states: (output name, input name) pairs that carry a recurrent state from call to call.
        kind: "Keras 3", "Keras 2", "SavedModel", "ONNX", "TFLite".
        notes: what was rewritten on the way, one sentence each.
    """

    content: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kind: str
    states: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadOptions:
    """What a loader may need besides the file.

    Args:
        allow_lambda: run Python code that a Keras file carries within itself.
        input_shapes: logical shapes for inputs that leave more than the batch open.
        image_size: (height, width) for a picture input that leaves them open.
    """

    allow_lambda: bool = False
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Loaded:
    """A `FloatModel` and what the original computed for some inputs, to compare with.

    Args:
        model: see there.
        expected: for each sample the original's outputs, in the order and layout of `model.outputs`.
    """

    model: FloatModel
    expected: tuple[tuple[NDArray[Any], ...], ...]


def model_files(path: Path) -> str:
    """A file's or folder's name without its ending, to name a bundle by."""
    return path.stem if path.is_file() else path.name
