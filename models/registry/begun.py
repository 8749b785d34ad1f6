"""What is remembered of a file that is not whole yet: its version, in a `.json` beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Begun:
    """The version that lies there in part.

    Args:
        version: its strong ETag, or else its date: for If-Range.
        total: bytes of the whole; None where the server did not tell.
    """

    version: str
    total: int | None = None

    def fits(self, headers: Mapping[str, str], total: int | None) -> bool:
        """Whether a part that a server sends is of this version; one that ignores If-Range may send any.

        A part has the ETag that the whole would have; its date it may leave out.

        Source: RFC 9110, 15.3.7.
        """
        if total is not None and self.total not in (None, total):
            return False
        if self.version.startswith('"'):
            return headers.get("ETag") == self.version
        return headers.get("Last-Modified", self.version) == self.version


def read_begun(part: Path, url: str) -> Begun | None:
    """What lies there; None where it is of another URL or its version is not sure."""
    try:
        state = json.loads(_state(part).read_text(encoding="utf-8"))
        known = state["url"] == url and state["version"]
        return Begun(str(state["version"]), state.get("total")) if known else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_begun(part: Path, url: str, headers: Mapping[str, str], total: int | None) -> None:
    """Remember the ETag (a weak one does not do for If-Range), or else the date."""
    etag = headers.get("ETag", "")
    version = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    content = json.dumps({"url": url, "version": version, "total": total})
    _state(part).write_text(content, encoding="utf-8")


def forget(part: Path) -> None:
    """The file is whole."""
    _state(part).unlink(missing_ok=True)


def discard(part: Path) -> None:
    """Remove a file that is not wanted, and what is remembered of it."""
    part.unlink(missing_ok=True)
    forget(part)


def _state(part: Path) -> Path:
    return part.with_name(part.name + ".json")
