"""What some exporters append to a `.tflite` file: a zip with metadata or a list of labels."""

from __future__ import annotations

import ast
import json
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

_MAX_BYTES = 1_000_000  # of one member, unpacked
# What zipfile and its decompressors raise on damaged, encrypted or unknown content.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Embedded:
    """What was found.

    Args:
        metadata: Ultralytics' description of its export ("task", "names", "imgsz" …); empty when none.
        labels: class names, from the metadata or a label file; empty when none.
    """

    metadata: dict[str, Any]
    labels: tuple[str, ...]


def read_embedded(path: Path) -> Embedded:
    """Read the zip at the end of a model file; a file without one, or with a broken one, holds nothing."""
    texts: dict[str, str] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist()[:16]:
                if member.file_size <= _MAX_BYTES:
                    texts[PurePosixPath(member.filename).name] = archive.read(member).decode("utf-8")
    except _UNREADABLE:
        return Embedded({}, ())
    metadata: dict[str, Any] = {}
    labels: tuple[str, ...] = ()
    for name, text in texts.items():
        content = _parse(text)
        if isinstance(content, dict) and "names" in content and "task" in content:
            metadata = {str(key): value for key, value in content.items()}
            labels = _names(content["names"])
        elif "label" in name.lower() and not labels:
            labels = tuple(line.strip() for line in text.splitlines() if line.strip())
    return Embedded(metadata, labels)


def _parse(text: str) -> object:
    """JSON, or the Python literal that older exports hold; None when it is neither."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _names(names: object) -> tuple[str, ...]:
    """Class names from a list, or from a mapping of ids to names."""
    if isinstance(names, list):
        return tuple(str(name) for name in names)
    if not isinstance(names, dict):
        return ()
    by_id = {int(key): str(name) for key, name in names.items() if str(key).isdigit()}
    if not by_id or max(by_id) >= 100_000:
        return ()
    return tuple(by_id.get(class_id, f"class-{class_id}") for class_id in range(max(by_id) + 1))
