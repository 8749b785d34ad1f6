"""Open an outbox whatever its files hold: damaged ones are kept aside, and what they show is carried over."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agent.alerts.outbox_file import OutboxFile
from agent.alerts.outbox_records import Counters, DamagedError, StoredAlert
from agent.alerts.salvage import Remains

_log = logging.getLogger("edgetrack.outbox")
_AT_ONCE = 500
_HIGHEST_POSITION = 2**53  # beyond it stands what a card made of a position


def open_outbox(
    path: Path, synchronous: Literal["full", "normal"], *, wall_s: float, damaged: bool = False
) -> OutboxFile:
    """Open or create an outbox file.

    SQLite drops what stands in a WAL behind its first bad frame, and says nothing; so that part of the WAL
    that a killed process left behind is read page by page, and what the file then lacks is written to it. An
    undamaged WAL has no such part: what was deleted stays deleted.

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
    try:
        carried = _carry_over(file, (left.passed_over(),))
    except BaseException:
        file.close()
        raise
    if carried:
        _log.error("outbox %s: %d alerts carried over from a damaged WAL", path, carried)
    return file


def taken_up(
    file: OutboxFile, memory: dict[str, StoredAlert], gone: dict[str, StoredAlert]
) -> tuple[dict[str, StoredAlert], dict[str, StoredAlert], int]:
    """What a file that was just opened means for an outbox that has alerts already.

    Args:
        file: closed when the disk refuses.
        memory: what waits for it, by id, in order.
        gone: what is acknowledged, by id.

    Returns:
        What of `memory` the file lacks, behind all that it holds; what of `gone` it holds, at the positions
        where it holds it; the file's last position.

    Raises:
        sqlite3.Error: the disk refuses.
    """
    try:
        return _behind(file, memory), _located(file, gone), file.last_position()
    except BaseException:
        file.close()
        raise


def _behind(file: OutboxFile, memory: dict[str, StoredAlert]) -> dict[str, StoredAlert]:
    """A write that failed may be in the file all the same: its commit stood in the WAL when the disk refused
    to make it last. So the WAL is brought to the disk before the memory forgets what it holds."""
    last = file.last_position()
    if not memory or min(alert.position for alert in memory.values()) > last:
        return memory
    file.checkpoint()
    known = file.places()
    waiting = [alert for alert in memory.values() if alert.id not in known]
    if waiting and waiting[0].position <= last:
        waiting = [replace(alert, position=position) for position, alert in enumerate(waiting, last + 1)]
    return {alert.id: alert for alert in waiting}


def _located(file: OutboxFile, alerts: dict[str, StoredAlert]) -> dict[str, StoredAlert]:
    if len(file.held(alerts.values())) == len(alerts):
        return alerts
    places = file.places()
    return {id_: replace(alert, position=places[id_]) for id_, alert in alerts.items() if id_ in places}


def _carry_over(file: OutboxFile, remains: tuple[Remains, ...]) -> int:
    """Write the alerts of `remains` that the file lacks and that were not gone; how many."""
    counters = file.counters
    for source in remains:
        counters = counters.merged(source.counters())
    found = {
        alert.id: (alert.sequence, alert.position)
        for source in remains
        for alert in source.alerts()
        if alert.sequence > counters.gone_through
    }
    known = file.places() if found else {}
    for id_ in known:
        found.pop(id_, None)
    if not found:
        return 0
    in_order = sorted(found, key=lambda id_: (found[id_][0], id_))
    own = [found[id_][1] for id_ in in_order]
    if not _usable(own, set(known.values())):
        own = list(range(file.last_position() + 1, file.last_position() + 1 + len(own)))
    positions = dict(zip(in_order, own, strict=True))
    counters = counters.merged(Counters(last_sequence=max(sequence for sequence, _ in found.values())))

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


def _usable(positions: list[int], taken: set[int]) -> bool:
    """Whether alerts can keep their positions: these grow as their sequence numbers do, and are free.

    Alerts that keep them are known to all who hold them already, and stand among the others in their order.
    """
    if any(later <= earlier for earlier, later in itertools.pairwise([0, *positions])):
        return False
    return positions[-1] < _HIGHEST_POSITION and taken.isdisjoint(positions)


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
