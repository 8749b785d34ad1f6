"""The outbox's SQLite file: one table of waiting alerts, one row of counters, a checksum on each.

WAL with an exclusive lock: one process, no shared-memory file, one page written per alert.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from agent.alerts.outbox_records import Counters, DamagedError, StoredAlert, alert_row, stored_alert
from agent.errors import StorageError

PAGE_SIZE = 4096
DISK_ERRORS = (sqlite3.Error, OSError, DamagedError, StorageError)
STILL_READABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
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
_INSERT = f"INSERT INTO alert ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608 - constant names
_READ = f"SELECT {_COLUMNS} FROM alert WHERE position > ? ORDER BY position LIMIT ?"  # noqa: S608
_SIZE_AT = "SELECT coalesce(length(payload), 0) FROM alert WHERE position = ?1 AND (?2 IS NULL OR id = ?2)"
_IN_PRIORITY = (
    "SELECT position, id, coalesce(length(payload), 0) FROM alert WHERE priority = ? ORDER BY position"
)
_READ_TOPIC = _READ.replace("ORDER", "AND topic = ? ORDER")


class OutboxFile:
    """An open outbox file.

    Args:
        path: created when missing, its folder too.
        synchronous: "full" or "normal", as SQLite means them.

    Raises:
        DamagedError: the file is no outbox any more.
        StorageError: another process holds it, or it is a database of something else.
        sqlite3.Error, OSError: the disk refuses.

    `alerts` and `payload_bytes` are what the table holds: counted when it is opened, then moved by the rows
    that each transaction has really written and deleted.
    """

    def __init__(self, path: Path, synchronous: Literal["full", "normal"]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=0.2, isolation_level=None, check_same_thread=False)
        self._database.text_factory = _text
        try:
            self._prepare(synchronous)
            self.counters = self._read_counters()
            self.alerts, self.payload_bytes = self._sizes()
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

    def _sizes(self) -> tuple[int, int]:
        alerts, size = self._database.execute("SELECT count(*), sum(length(payload)) FROM alert").fetchone()
        return alerts, size or 0

    def write(
        self,
        *,
        insert: Iterable[StoredAlert] = (),
        forget: Iterable[StoredAlert] = (),
        delete: Iterable[int] = (),
        counters: Counters | None = None,
    ) -> None:
        """One transaction; on the disk when it returns.

        Args:
            insert: alerts to keep.
            forget: alerts to delete; one that is not there, or whose position another has, changes nothing.
            delete: positions to delete, just read from here.
            counters: their new values; `gone_through` moves up to the first alert that is left.
        """
        execute = self._database.execute
        alerts, size = self.alerts, self.payload_bytes
        execute("BEGIN IMMEDIATE")
        try:
            for alert in insert:
                execute(_INSERT, alert_row(alert))
                alerts, size = alerts + 1, size + len(alert.payload)
            places: list[tuple[int, str | None]] = [(alert.position, alert.id) for alert in forget]
            for place in places + [(position, None) for position in delete]:
                for (bytes_there,) in execute(_SIZE_AT, place).fetchall():
                    execute("DELETE FROM alert WHERE position = ?", place[:1])
                    alerts, size = alerts - 1, size - bytes_there
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
        self.alerts, self.payload_bytes = alerts, size
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

    def held(self, alerts: Iterable[StoredAlert]) -> list[StoredAlert]:
        """Those of `alerts` that are here, at their positions."""
        return [
            alert
            for alert in alerts
            if self._database.execute(_SIZE_AT, (alert.position, alert.id)).fetchone()
        ]

    def by_priority(self) -> Iterator[tuple[int, str, int]]:
        """(position, id, bytes of payload) of the alerts in the order in which they are to be dropped."""
        priorities = self._database.execute(
            "SELECT DISTINCT priority FROM alert ORDER BY priority"
        ).fetchall()
        for priority in priorities:
            yield from self._database.execute(_IN_PRIORITY, priority)

    def older_than(self, stored_s: float) -> list[tuple[int, str]]:
        """(position, id) of alerts known to be stored before `stored_s`."""
        return self._database.execute(
            "SELECT position, id FROM alert WHERE synchronised = 1 AND stored_s < ?", (stored_s,)
        ).fetchall()

    def last_position(self) -> int:
        """Position of the last alert; 0 when there is none."""
        (last,) = self._database.execute("SELECT max(position) FROM alert").fetchone()
        return last or 0

    def topics(self) -> set[str]:
        """Topics of all that waits."""
        return {topic for (topic,) in self._database.execute("SELECT DISTINCT topic FROM alert")}

    def places(self) -> dict[str, int]:
        """Position of each id that waits."""
        return dict(self._database.execute("SELECT id, position FROM alert"))

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


def _text(content: bytes) -> str:
    """Text of a row; what a card made no text of gives a wrong checksum, not an error of SQLite."""
    return content.decode(errors="replace")
