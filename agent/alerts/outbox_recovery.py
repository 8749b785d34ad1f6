"""Open an outbox whatever its files hold: damaged ones are kept aside, and what they show is carried over."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agent.alerts.outbox_file import Counters, DamagedError, OutboxFile, StoredAlert
from agent.alerts.salvage import Remains

_log = logging.getLogger("edgetrack.outbox")
_AT_ONCE = 500


def open_outbox(
    path: Path, synchronous: Literal["full", "normal"], *, wall_s: float, damaged: bool = False
) -> OutboxFile:
    """Open or create an outbox file.

    SQLite drops what stands in a WAL behind its first bad frame, and says nothing; so the WAL that a killed
    process left behind is read page by page too, and what the file then lacks is written to it.

    Args:
        path: the file.
        synchronous: as in `OutboxFile`.
        wall_s: seconds since 1970, for the name of a file set aside.
        damaged: a page was found unreadable before: do not trust the file, whatever its check says.

    Raises:
        StorageError: another process holds it, or it is a database of something else.
        sqlite3.Error, OSError: the disk refuses.
    """
    wal, rebuilt = _beside(path, "-wal"), _beside(path, ".rebuilt")
    if rebuilt.exists() and not path.exists():  # ended between the two renames below
        rebuilt.rename(path)
    left = Remains(None, wal)
    try:
        if damaged:
            raise DamagedError("a page that cannot be read")
        file = OutboxFile(path, synchronous)
    except DamagedError as error:
        for stale in (rebuilt, _beside(rebuilt, "-wal")):
            stale.unlink(missing_ok=True)
        file = OutboxFile(rebuilt, synchronous)
        try:
            carried = _carry_over(file, (Remains(path, wal), left))
        finally:
            file.close()
        aside = _set_aside(path, wal, wall_s)
        rebuilt.rename(path)
        _log.error(
            "outbox %s: expected SQLite, got damage (%s); %d alerts carried over, the old file kept as %s",
            path,
            error,
            carried,
            aside.name,
        )
        return OutboxFile(path, synchronous)
    carried = _carry_over(file, (left,))
    if carried:
        _log.error("outbox %s: %d alerts carried over from a damaged WAL", path, carried)
    return file


def behind(file: OutboxFile, memory: dict[int, StoredAlert]) -> dict[int, StoredAlert]:
    """Those alerts of `memory` that an opened file lacks, by position, behind all that it holds.

    A write that failed may be in the file all the same: its commit stood in the WAL when the disk refused to
    make it last. So the WAL is brought to the disk before the memory forgets what it holds.

    Args:
        file: just opened; closed when the disk refuses.
        memory: what waits for it, by position.

    Raises:
        sqlite3.Error: the disk refuses.
    """
    last = file.last_position()
    if not memory or min(memory) > last:
        return memory
    try:
        file.checkpoint()
        known = file.ids()
    except BaseException:
        file.close()
        raise
    waiting = (alert for alert in memory.values() if alert.id not in known)
    return {position: replace(alert, position=position) for position, alert in enumerate(waiting, last + 1)}


def _carry_over(file: OutboxFile, remains: tuple[Remains, ...]) -> int:
    """Write the alerts of `remains` that the file lacks and that were not gone; how many."""
    counters = file.counters
    for source in remains:
        counters = counters.merged(source.counters())
    found = {
        alert.id: alert.sequence
        for source in remains
        for alert in source.alerts()
        if alert.sequence > counters.gone_through
    }
    for known in file.ids() if found else ():
        found.pop(known, None)
    if not found:
        return 0
    in_order = sorted(found, key=lambda id_: (found[id_], id_))
    positions = {id_: position for position, id_ in enumerate(in_order, file.last_position() + 1)}
    counters = counters.merged(Counters(last_sequence=max(found.values())))

    def missing() -> itertools.chain[StoredAlert]:
        return itertools.chain.from_iterable(source.alerts() for source in remains)

    batch: list[StoredAlert] = []
    for alert in missing():
        position = positions.pop(alert.id, None)
        if position is not None:
            batch.append(replace(alert, position=position))
        if len(batch) == _AT_ONCE:
            file.write(insert=batch)
            batch.clear()
    file.write(insert=batch, counters=counters)
    return len(found)


def _set_aside(path: Path, wal: Path, wall_s: float) -> Path:
    stamp = datetime.fromtimestamp(wall_s, UTC).strftime("%Y%m%dT%H%M%S")
    names = (f".damaged-{stamp}" + (f"-{number}" if number else "") for number in itertools.count())
    aside = next(place for name in names if not (place := _beside(path, name)).exists())
    if wal.exists():
        wal.rename(_beside(aside, "-wal"))
    path.rename(aside)
    return aside


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
