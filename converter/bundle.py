"""Writing a bundle so that nobody ever sees half of one."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import StorageError


def check_output(output: Path) -> None:
    """Try whether a bundle can be written, and leave nothing behind: before anything that takes time.

    Raises:
        StorageError: it cannot.
    """
    places = [output] if output.exists() else []
    above = output.parent
    while not above.exists() and above != above.parent:
        above = above.parent
    for place in (*places, above):
        if not place.is_dir():
            raise StorageError(str(place), "expected a folder, got a file", "choose another --output")
        try:
            Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=place)).rmdir()
        except OSError as error:
            raise _storage_error(output, error) from error


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A folder beside `output` to write into; when the block ends well its files are moved in, each by a
    rename.

    Files that `output` holds already are replaced when they have the same name and stay otherwise; but what
    was compiled from a model that is replaced goes, as it would run the old weights. When the block raises,
    `output` is left as it was.

    Raises:
        StorageError: the disk is full, or the place cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.exists() and not output.is_dir():
            raise StorageError(str(output), "expected a folder, got a file", "choose another --output")
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    except OSError as error:
        raise _storage_error(output, error) from error
    try:
        try:
            yield folder
            for path in sorted(folder.iterdir()):
                _flush(path)
            output.mkdir(exist_ok=True)
            for path in _outdated(output, {own.name for own in folder.iterdir()}):
                path.unlink()
            # The spec last: a model without its spec is no bundle, and nothing picks it up.
            for path in sorted(folder.iterdir(), key=lambda own: (own.suffix == ".json", own.name)):
                path.replace(output / path.name)
        except OSError as error:
            raise _storage_error(output, error) from error
        except StorageError as error:  # of a part that names the folder which it was given
            if isinstance(error.__cause__, OSError):
                raise _storage_error(output, error.__cause__) from error
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _outdated(output: Path, fresh: set[str]) -> list[Path]:
    """Files for the Edge TPU that were compiled from models which are about to be replaced."""
    compiled = re.compile(r"(.+?)(_segment_\d+_of_\d+)?_edgetpu\.tflite")
    found = ((path, compiled.fullmatch(path.name)) for path in output.iterdir())
    return [
        path
        for path, match in found
        if match is not None and f"{match[1]}.tflite" in fresh and path.name not in fresh
    ]


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def is_full(error: OSError) -> bool:
    """The disk has no room left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _storage_error(output: Path, error: OSError) -> StorageError:
    """Names the folder that the user chose: the one that the fault is in is gone by then."""
    hint = "make room and convert again" if is_full(error) else "choose another --output"
    return StorageError(
        str(output),
        f"expected a place to write to, got: {error.strerror or error}",
        f"{hint}; nothing was written",
    )


def temporary_storage_error(error: OSError) -> StorageError:
    """For what failed outside of `staged`: of files, only temporary ones are written there."""
    hint = "make room there, or set TMPDIR to another folder; nothing was written"
    return StorageError(
        str(error.filename or os.environ.get("TMPDIR", "the temporary folder")),
        f"expected files that can be read and written, got: {error.strerror or error}",
        hint if is_full(error) else "",
    )
