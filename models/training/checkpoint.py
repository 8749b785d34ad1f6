"""What a training needs to go on after a kill, in one file that is replaced whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import DataError, StorageError

_META = "meta"


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
    try:
        with np.load(path, allow_pickle=False) as stored:
            meta: dict[str, Any] = json.loads(str(stored[_META]))
            return meta
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            str(path), f"expected a checkpoint, got {error}", "remove it to begin anew"
        ) from error


def load_checkpoint(path: Path, groups: Mapping[str, Sequence[Any]]) -> None:
    """Set variables from a checkpoint.

    Args:
        path: of the `.npz` file.
        groups: as they were saved.

    Raises:
        DataError: the file is no checkpoint, or one of another network.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            for group, variables in groups.items():
                count = sum(name.startswith(f"{group}/") for name in stored.files)
                if count != len(variables):
                    raise DataError(
                        str(path),
                        f"expected {len(variables)} variables of the {group}, got {count}",
                        "remove it to begin anew",
                    )
                for index, variable in enumerate(variables):
                    value = stored[f"{group}/{index}"]
                    if tuple(value.shape) != tuple(variable.shape):
                        raise DataError(
                            str(path),
                            f"expected {group} variable {index} of shape {tuple(variable.shape)}, "
                            f"got {value.shape}",
                            "remove it to begin anew",
                        )
                    variable.assign(value)
    except (OSError, ValueError) as error:
        raise DataError(
            str(path), f"expected a checkpoint, got {error}", "remove it to begin anew"
        ) from error
