"""Arrays of an `.npz` file, whatever is wrong with it."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError


def read_arrays(path: Path, what: str, names: tuple[str, ...], hint: str = "") -> dict[str, NDArray[Any]]:
    """All arrays of a file, in memory.

    Args:
        path: the file.
        what: it should hold, for the message.
        names: of arrays that must be there.
        hint: what to do about a file that does not.

    Raises:
        DataError: the file is missing, no `.npz`, cut off or damaged, or lacks an array.
    """
    try:
        with path.open("rb") as file:  # NumPy itself leaves a damaged one open
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise DataError(str(path), f"expected {what}, got a single array", hint)
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(str(path), f"expected {what}, got {error}", hint) from error
    missing = [name for name in names if name not in arrays]
    if missing:
        got = f"{', '.join(arrays) or 'nothing'} without {', '.join(missing)}"
        raise DataError(str(path), f"expected {what}, got {got}", hint)
    return arrays
