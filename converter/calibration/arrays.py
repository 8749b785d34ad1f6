"""Reading `.npz` and `.npy` files that may be damaged or hostile."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError

LABEL_NAMES = ("y", "labels", "label", "targets")
"""Arrays of these names hold what is right, not what goes in."""
MAX_BYTES = 2**33


def load_arrays(path: Path, max_samples: int | None = None) -> dict[str, NDArray[np.float32]]:
    """Model inputs, (N, …) each; `x` and a lone array stand for the only input.

    Args:
        max_samples: at most this many rows, chosen evenly; None for all.

    Raises:
        DataError: the file cannot be read, holds no numbers, or arrays of different lengths.
    """
    arrays = {name: array for name, array in read_arrays(path).items() if name not in LABEL_NAMES}
    if not arrays:
        raise DataError(str(path), "expected arrays of inputs, got none", "np.savez(path, x=inputs)")
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise DataError(str(path), f"expected arrays of one length above 0, got {lengths}")
    count = next(iter(lengths.values()))
    rows = evenly(count, max_samples)
    inputs = {}
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.number):
            raise DataError(f"{path} {name}", f"expected numbers, got {array.dtype}")
        inputs["" if len(arrays) == 1 else name] = np.asarray(array[rows], np.float32)
        if not np.isfinite(inputs["" if len(arrays) == 1 else name]).all():
            raise DataError(f"{path} {name}", "expected finite numbers, got NaN or infinity")
    return inputs


def load_targets(path: Path) -> NDArray[Any] | None:
    """The array of what is right, or None."""
    arrays = read_arrays(path)
    return next((arrays[name] for name in LABEL_NAMES if name in arrays), None)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file; no Python objects.

    Raises:
        DataError: the file cannot be read, or unpacks to too much.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            if size > MAX_BYTES:
                raise DataError(str(path), f"expected under {MAX_BYTES} bytes of arrays, got {size}")
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        array = np.load(path, allow_pickle=False)
        return {"": array}
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        MemoryError,
        SyntaxError,
    ) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            str(path), f"expected arrays (.npz or .npy), got: {first[:160]}", "write it with np.savez"
        ) from error


def evenly(count: int, wanted: int | None) -> NDArray[np.int64]:
    """At most `wanted` of the numbers 0 … count - 1, evenly spread."""
    if wanted is None or wanted >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, wanted).round().astype(np.int64)
