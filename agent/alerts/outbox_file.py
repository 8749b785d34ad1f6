"""The outbox's SQLite file: one table of waiting alerts, one row of counters, a checksum on each.

WAL with an exclusive lock: one process, no shared-memory file, one page written per alert.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.errors import StorageError

PAGE_SIZE = 4096
_COMPACT_ABOVE = 4 << 20  # bytes of file that an emptied outbox may keep

_VERSION = 1
_SCHEMA = f"""
BEGIN;
CREATE TABLE alert (
    position INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    id TEXT NOT NULL,
    topic TEXT NOT NULL,
    priority INTEGER NOT NULL,
    stored_s REAL NOT NULL,
    synchronised INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE counters (
    one INTEGER PRIMARY KEY,
    last_sequence INTEGER NOT NULL,
    gone_through INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    told INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_COLUMNS = "position, sequence, id, topic, priority, stored_s, synchronised, checksum, payload"
_INSERT = f"INSERT OR IGNORE INTO alert ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608 - constant names
_READ = f"SELECT {_COLUMNS} FROM alert WHERE position > ? ORDER BY position LIMIT ?"  # noqa: S608
_READ_TOPIC = _READ.replace("ORDER", "AND topic = ? ORDER")


class DamagedError(Exception):
    """The file holds something other than what was written."""


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """One alert that waits.

    Args:
        position: order of sending; grows within one run of the process.
        sequence: the device's count, as in the payload.
        id: ULID, as in the payload.
        topic: where it goes.
        priority: 0 is dropped first.
        stored_s: seconds since 1970 when it was made.
        synchronised: whether the clock could be believed then.
        payload: as sent.
    """

    position: int
    sequence: int
    id: str
    topic: str
    priority: int
    stored_s: float
    synchronised: bool
    payload: bytes

    @property
    def checksum(self) -> int:
        """CRC-32 over what identifies the alert and its payload."""
        return zlib.crc32(self.payload, zlib.crc32(f"{self.sequence}\n{self.id}\n{self.topic}\n".encode()))


@dataclass(frozen=True, slots=True)
class Counters:
    """What must outlive the alerts.

    Args:
        last_sequence: highest sequence number given.
        gone_through: every alert up to this sequence number was acknowledged or dropped.
        dropped: alerts given up so far.
        told: of these, those that a `gap` alert told of.
    """

    last_sequence: int = 0
    gone_through: int = 0
    dropped: int = 0
    told: int = 0

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """In the order of the columns."""
        return self.last_sequence, self.gone_through, self.dropped, self.told

    @property
    def checksum(self) -> int:
        """CRC-32 over the numbers."""
        return zlib.crc32("\n".join(map(str, self.numbers)).encode())

    def merged(self, other: Counters) -> Counters:
        """The further of both, number by number."""
        return Counters(*map(max, self.numbers, other.numbers))


def _row(alert: StoredAlert) -> tuple[object, ...]:
    return (
        alert.position,
        alert.sequence,
        alert.id,
        alert.topic,
        alert.priority,
        alert.stored_s,
        int(alert.synchronised),
        alert.checksum,
        alert.payload,
    )


def stored_alert(row: Sequence[object]) -> StoredAlert:
    """A row of `alert` in the order of its columns.

    Raises:
        DamagedError: a type or the checksum is wrong.
    """
    position, sequence, id_, topic, priority, stored_s, synchronised, checksum, payload = row
    if not (
        isinstance(position, int)
        and isinstance(sequence, int)
        and isinstance(id_, str)
        and isinstance(topic, str)
        and isinstance(priority, int)
        and isinstance(stored_s, float | int)
        and isinstance(payload, bytes)
    ):
        raise DamagedError("a column of another type")
    alert = StoredAlert(
        position, sequence, id_, topic, priority, float(stored_s), bool(synchronised), payload
    )
    if alert.checksum != checksum:
        raise DamagedError(f"alert {sequence}: a wrong checksum")
    return alert


class OutboxFile:
    """An open outbox file.

    Args:
        path: created when missing, its folder too.
        synchronous: "full" or "normal", as SQLite means them.

    Raises:
        DamagedError: the file is no outbox any more.
        StorageError: another process holds it, or it is a database of something else.
        sqlite3.Error, OSError: the disk refuses.
    """

    def __init__(self, path: Path, synchronous: Literal["full", "normal"]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=0.2, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(synchronous)
            self.counters = self._read_counters()
        except sqlite3.DatabaseError as error:
            self._database.close()
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StorageError(
                    str(path), "expected to be its only user, got one more process; is another agent running?"
                ) from error
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise DamagedError(str(error)) from error
            raise
        except BaseException:
            self._database.close()
            raise

    def _prepare(self, synchronous: str) -> None:
        execute = self._database.execute
        execute(f"PRAGMA page_size = {PAGE_SIZE}")
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA synchronous = {synchronous}")
        execute("PRAGMA secure_delete = OFF")  # zeroing what is deleted would write it twice
        execute("PRAGMA temp_store = MEMORY")
        names = {name for (name,) in execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if names and not names & {"alert", "counters"}:
            raise StorageError(
                str(self.path),
                f"expected an outbox, got a database of {', '.join(sorted(names))}; give another path",
            )
        if not names:
            self._database.executescript(_SCHEMA)
        (version,) = execute("PRAGMA user_version").fetchone()
        if version != _VERSION or (names and not names >= {"alert", "counters"}):
            raise DamagedError(f"tables of version {version}")
        (verdict,) = execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise DamagedError(str(verdict).splitlines()[-1])
        execute("BEGIN IMMEDIATE")  # takes the lock now, not at the first alert
        execute("COMMIT")

    def _read_counters(self) -> Counters:
        row = self._database.execute(
            "SELECT last_sequence, gone_through, dropped, told, checksum FROM counters WHERE one = 1"
        ).fetchone()
        counters = Counters() if row is None else Counters(*row[:4])
        if row is not None and counters.checksum != row[4]:
            raise DamagedError("counters: a wrong checksum")
        # Numbers grow with positions; where they do not, after a rescue, the counters were written with it.
        (highest,) = self._database.execute(
            "SELECT max(sequence) FROM (SELECT sequence FROM alert ORDER BY position DESC LIMIT 1000)"
        ).fetchone()
        return counters.merged(Counters(last_sequence=highest or 0))

    def write(
        self,
        *,
        insert: Iterable[StoredAlert] = (),
        delete: Iterable[int] = (),
        counters: Counters | None = None,
    ) -> None:
        """One transaction; on the disk when it returns.

        Args:
            insert: alerts to keep; one whose position is taken is left out.
            delete: positions to forget.
            counters: their new values; `gone_through` moves up to the first alert that is left.
        """
        execute, executemany = self._database.execute, self._database.executemany
        execute("BEGIN IMMEDIATE")
        try:
            executemany(_INSERT, map(_row, insert))
            executemany("DELETE FROM alert WHERE position = ?", ((position,) for position in delete))
            if counters is not None:
                first = execute("SELECT sequence FROM alert ORDER BY position LIMIT 1").fetchone()
                gone_through = first[0] - 1 if first else counters.last_sequence
                counters = counters.merged(Counters(gone_through=gone_through))
                row = (1, *counters.numbers, counters.checksum)
                execute("INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, ?, ?)", row)
            execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                execute("ROLLBACK")
            raise
        if counters is not None:
            self.counters = counters

    def read(self, after: int, limit: int, topic: str | None = None) -> tuple[list[StoredAlert], list[int]]:
        """Up to `limit` alerts behind position `after`, of one topic or of all, in order: the sound ones, and
        the positions of those whose checksum is wrong."""
        good: list[StoredAlert] = []
        damaged: list[int] = []
        if topic is None:
            rows = self._database.execute(_READ, (after, limit))
        else:
            rows = self._database.execute(_READ_TOPIC, (after, topic, limit))
        for row in rows:
            try:
                good.append(stored_alert(row))
            except DamagedError:
                damaged.append(row[0])
        return good, damaged

    def sizes(self) -> list[tuple[int, int, int]]:
        """(priority, alerts, bytes of payload) of each priority."""
        return self._database.execute(
            "SELECT priority, count(*), sum(length(payload)) FROM alert GROUP BY priority"
        ).fetchall()

    def by_priority(self) -> Iterator[tuple[int, int]]:
        """(position, bytes of payload) of the alerts in the order in which they are to be dropped."""
        for priority, _, _ in sorted(self.sizes()):
            yield from self._database.execute(
                "SELECT position, length(payload) FROM alert WHERE priority = ? ORDER BY position",
                (priority,),
            )

    def older_than(self, stored_s: float) -> list[int]:
        """Positions of alerts known to be stored before `stored_s`."""
        rows = self._database.execute(
            "SELECT position FROM alert WHERE synchronised = 1 AND stored_s < ?", (stored_s,)
        )
        return [position for (position,) in rows]

    def last_position(self) -> int:
        """Position of the last alert; 0 when there is none."""
        (last,) = self._database.execute("SELECT max(position) FROM alert").fetchone()
        return last or 0

    def topics(self) -> set[str]:
        """Topics of all that waits."""
        return {topic for (topic,) in self._database.execute("SELECT DISTINCT topic FROM alert")}

    def ids(self) -> set[str]:
        """Ids of all that waits."""
        return {id_ for (id_,) in self._database.execute("SELECT id FROM alert")}

    def compact(self) -> None:
        """Give the space of an emptied outbox back to the disk."""
        if self.path.stat().st_size > _COMPACT_ABOVE:
            self._database.execute("VACUUM")
            self.checkpoint()

    def checkpoint(self) -> None:
        """Bring the WAL into the file, and both to the disk.

        Raises:
            sqlite3.Error: the disk refuses.
        """
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Fold the WAL into the file and let go of it."""
        self._database.close()
