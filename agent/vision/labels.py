"""Label files: one name a line, or `0  person` as Google Coral ships them."""

from __future__ import annotations

import re
from pathlib import Path

from agent.errors import ModelError

_NUMBERED = re.compile(r"^(\d+)(?:\s*[:,]\s*|\s+)(\S.*)$")
_MAX_LABELS = 100_000


def read_labels(path: Path) -> tuple[str, ...]:
    """Read the class names of a model, in the order of its class ids.

    A file is numbered when each of its lines is a number and a name; ids that it leaves out (Coral's COCO
    file has 80 names in 90 ids) become `class-ID`.

    Raises:
        ModelError: the file is missing, empty, no text, or numbers an id twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ModelError(str(path), f"expected a labels file, got {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ModelError(
            str(path), "expected text in UTF-8, one class name a line, got other bytes"
        ) from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ModelError(str(path), "expected one class name a line, got an empty file")
    matches = [_NUMBERED.match(line) for _, line in lines]
    names: dict[int, str] = {}
    for (number, line), match in zip(lines, matches, strict=True):
        if not all(matches) or match is None:
            names[len(names)] = line
            continue
        class_id = int(match.group(1))
        if class_id in names or class_id >= _MAX_LABELS:
            raise ModelError(
                f"{path}:{number}", f"expected each class id once and below {_MAX_LABELS}, got {class_id}"
            )
        names[class_id] = match.group(2)
    return tuple(names.get(class_id, f"class-{class_id}") for class_id in range(max(names) + 1))


def check_labels(where: str, labels: tuple[str, ...], classes: int) -> None:
    """Refuse a list of labels that has fewer names than the model has classes.

    Raises:
        ModelError: there are too few.
    """
    if len(labels) < classes:
        raise ModelError(
            where,
            f"expected {classes} labels, one for each class of the model, got {len(labels)}",
            "give a labels file with one name a line",
        )
