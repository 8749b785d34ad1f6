"""What a check finds, and how checks are kept apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.errors import EdgetrackError


class Level(StrEnum):
    """How good or bad a finding is."""

    OK = "ok"
    WARN = "warn"
    """Works, and yet is worth a look."""
    FAIL = "fail"
    """Does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor.

    Args:
        level: how it is.
        found: what is there.
        next_step: what to do about it; empty when nothing is to be done.
        check: what was looked at; `run_checks` fills it in.
    """

    level: Level
    found: str
    next_step: str = ""
    check: str = ""


Check = Callable[[], Iterable[Finding]]


def ok(found: str) -> Finding:
    """A finding without a fault."""
    return Finding(Level.OK, found)


def warn(found: str, next_step: str) -> Finding:
    """A finding worth a look."""
    return Finding(Level.WARN, found, next_step)


def fail(found: str, next_step: str) -> Finding:
    """A finding that must be mended."""
    return Finding(Level.FAIL, found, next_step)


def from_error(error: EdgetrackError, check: str = "") -> Finding:
    """The finding that an error of a check amounts to; the check's name is not said twice."""
    return fail(f"{error.where}: {error.problem}".removeprefix(f"{check} "), error.hint)


def run_checks(checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Run checks in turn; one that fails itself is a finding and ends none of the others.

    Args:
        checks: by the name that their findings get.
    """
    for name, check in checks.items():
        try:
            found = list(check())
        except EdgetrackError as error:
            found = [from_error(error, name)]
        except Exception as error:  # noqa: BLE001 - it is reported as a finding
            found = [fail(f"the check failed: {type(error).__name__}: {error}", "report this as a bug")]
        for finding in found:
            yield Finding(finding.level, finding.found, finding.next_step, name)
