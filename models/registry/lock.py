"""What was pulled into a folder, so that a later pull can be held to it: trust on first use."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import ValidationError

from agent.errors import DataError, StorageError
from agent.settings import Section

LOCK_NAME = "models.lock.json"


class LockedFile(Section):
    """One file, as it came."""

    url: str
    sha256: str


class Lock(Section):
    """The file `models.lock.json` of a folder."""

    files: dict[str, LockedFile] = {}
    """By their names."""


def read_lock(folder: Path) -> Lock:
    """The lock of a folder; an empty one where there is none.

    Raises:
        DataError: it cannot be read as one.
    """
    path = folder / LOCK_NAME
    try:
        return Lock.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Lock()
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            str(path), f"expected what an earlier pull wrote, got {reason}", "remove it to trust anew"
        ) from error


def add_to_lock(folder: Path, name: str, entry: LockedFile) -> None:
    """Remember one file; the others stay.

    Raises:
        DataError: the lock that is there cannot be read.
        StorageError: it cannot be written.
    """
    lock = read_lock(folder)
    if lock.files.get(name) == entry:
        return
    path = folder / LOCK_NAME
    fresh = path.with_name(f"{LOCK_NAME}.{os.getpid()}")
    content = {
        "files": {key: value.model_dump() for key, value in sorted({**lock.files, name: entry}.items())}
    }
    try:
        fresh.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StorageError(str(path), f"expected to write it, got {error.strerror or error}") from error
