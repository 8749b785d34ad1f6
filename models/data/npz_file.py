"""Arrays of an `.npz` file, whatever is wrong with it."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError

MAX_BYTES = 2**33
"""Of all arrays of a file, unpacked."""


def read_arrays(path: Path, what: str, names: tuple[str, ...], hint: str = "") -> dict[str, NDArray[Any]]:
    """All arrays of a file, in memory.

    Args:
        path: the file.
        what: it should hold, for the message.
        names: of arrays that must be there.
        hint: what to do about a file that does not.

    Raises:
        DataError: the file is missing, no `.npz`, cut off or damaged, unpacks to too much, or lacks an array.
    """
    try:
        with path.open("rb") as file:  # NumPy itself leaves a damaged one open
            _check_size(path, file, what, hint)
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise DataError(str(path), f"expected {what}, got a single array", hint)
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error, MemoryError, SyntaxError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(str(path), f"expected {what}, got {first}", hint) from error
    missing = [name for name in names if name not in arrays]
    if missing:
        got = f"{', '.join(arrays) or 'nothing'} without {', '.join(missing)}"
        raise DataError(str(path), f"expected {what}, got {got}", hint)
    return arrays


def _check_size(path: Path, file: IO[bytes], what: str, hint: str) -> None:
    if is_zipfile(file):
        with ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise DataError(str(path), f"expected {what} of under {MAX_BYTES} bytes, got {size}", hint)
    file.seek(0)
