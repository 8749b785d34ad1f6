"""The fenced blocks of README.md and docs/, with the comment that says what is to be done with each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_FENCE = re.compile(r"^```(\w*)\s*$")
_COMMENT = re.compile(r"^<!-- (.+?) -->$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Args:
        page: the file.
        line: of its fence, from 1.
        language: as the fence says; empty for none.
        mark: the comment in the line before it, without its frame; empty for none.
        text: its lines.
    """

    page: Path
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced block of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start: int | None = None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if start is None:
            start, language = number, fence[1]
            continue
        before = next((lines[i] for i in range(start - 1, -1, -1) if lines[i].strip()), "")
        comment = _COMMENT.match(before.strip())
        mark = comment[1] if comment else ""
        yield Block(page, start + 1, language, mark, "\n".join(lines[start + 1 : number]) + "\n")
        start = None


def all_blocks(language: str) -> list[Block]:
    """Of every page."""
    return [block for page in PAGES for block in blocks(page) if block.language == language]
