"""The time zone that this machine is set to, by its name in the IANA database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

_LOCALTIME = Path("/etc/localtime")
_TIMEZONE = Path("/etc/timezone")


def machine_zone(environment: Mapping[str, str] = os.environ, localtime: Path = _LOCALTIME) -> str | None:
    """Name of the machine's zone; None where it has none, as a container without /etc/localtime.

    Args:
        environment: TZ in it wins, as it does in the C library.
        localtime: the link to a file of the database; see localtime(5).
    """
    for name in _candidates(environment, localtime):
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # a rule such as CET-1CEST, or no name at all
            continue
        return "UTC" if name == "Etc/UTC" else name
    return None


def _candidates(environment: Mapping[str, str], localtime: Path) -> Iterator[str]:
    for text in (environment.get("TZ", "").removeprefix(":"), os.path.realpath(localtime)):
        yield text.partition("zoneinfo/")[2] or text
    if localtime == _LOCALTIME and _TIMEZONE.is_file():  # Debian's; there /etc/localtime may be a copy
        yield _TIMEZONE.read_text(encoding="utf-8", errors="replace").strip()
