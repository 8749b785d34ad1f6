"""What a training needs to go on after a kill, in one file that is replaced whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from agent.errors import DataError, StorageError

_META = "meta"
_ADVICE = "remove it to begin anew"


def save_checkpoint(path: Path, groups: Mapping[str, Sequence[Any]], meta: Mapping[str, Any]) -> None:
    """Write variables and plain values; a kill in between leaves the older file.

    Args:
        path: of the `.npz` file.
        groups: Keras variables by group, such as "model" and "optimizer"; their order is their name.
        meta: JSON values, such as the epoch and the training's settings.

    Raises:
        StorageError: the file cannot be written.
    """
    arrays = {
        f"{group}/{index}": np.asarray(variable)
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }
    arrays[_META] = np.array(json.dumps(meta))
    unfinished = path.with_suffix(".unfinished")
    try:
        with unfinished.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise StorageError(
            str(path), f"expected to write a checkpoint, got {error.strerror or error}"
        ) from error


def read_meta(path: Path) -> dict[str, Any]:
    """The plain values of a checkpoint.

    Raises:
        DataError: the file is no checkpoint.
    """
    with _opened(path) as stored:
        meta: dict[str, Any] = json.loads(str(stored[_META]))
        return meta


def load_checkpoint(path: Path, groups: Mapping[str, Sequence[Any]]) -> None:
    """Set variables from a checkpoint.

    Args:
        path: of the `.npz` file.
        groups: as they were saved.

    Raises:
        DataError: the file is no checkpoint, or one of another network.
    """
    with _opened(path) as stored:
        for group, variables in groups.items():
            count = sum(name.startswith(f"{group}/") for name in stored)
            if count != len(variables):
                problem = f"expected {len(variables)} variables of the {group}, got {count}"
                raise DataError(str(path), problem, _ADVICE)
            for index, variable in enumerate(variables):
                value = stored[f"{group}/{index}"]
                if tuple(value.shape) != tuple(variable.shape):
                    problem = f"expected {group} variable {index} of shape {tuple(variable.shape)}"
                    raise DataError(str(path), f"{problem}, got {value.shape}", _ADVICE)
                variable.assign(value)


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, Any]]:
    """The arrays of a checkpoint by name; whatever is wrong with the file becomes a DataError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            yield stored
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(str(path), f"expected a checkpoint, got {error}", _ADVICE) from error
