"""Alerts wait here, on disk, until the broker has them.

The promise: an alert is on the disk when `put` returns, and stays there until it is acknowledged, until the
configured size or age is exceeded (then the oldest of the lowest priority go, and are counted), or until the
disk itself fails. While the disk takes nothing, alerts wait in memory, bounded and counted too.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from agent.alerts.clock import clock_synchronised
from agent.alerts.outbox_file import Counters, DamagedError, OutboxFile, StoredAlert
from agent.alerts.outbox_recovery import behind, open_outbox
from agent.alerts.settings import OutboxSettings
from agent.errors import StorageError

_log = logging.getLogger("edgetrack.outbox")
_RETRY_DISK_S = 5.0
_EXPIRE_EVERY_S = 60.0
_STILL_READABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
_DISK_ERRORS = (sqlite3.Error, OSError, DamagedError, StorageError)


class Outbox:
    """The one writer of an outbox file; safe to use from several threads.

    Args:
        path: the SQLite file.
        settings: limits and durability.
        monotonic, wall, synchronised: the clocks, and whether the wall clock can be believed.

    Raises:
        StorageError: another process holds the file, or it is a database of something else. A disk that
            refuses is no error: alerts wait in memory, and the disk is tried again every 5 s.
    """

    def __init__(
        self,
        path: Path,
        settings: OutboxSettings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        synchronised: Callable[[], bool] = clock_synchronised,
    ) -> None:
        self._path = path
        self._settings = settings
        self._monotonic, self._wall, self._synchronised = monotonic, wall, synchronised
        self._lock = threading.RLock()
        self._file: OutboxFile | None = None
        self._writable = False
        self._damage_seen = self._closed = False
        self._memory: dict[int, StoredAlert] = {}
        self._gone: dict[int, StoredAlert] = {}  # acknowledged, but the disk would not forget them yet
        self._counters = Counters()
        self._position = 0
        self._counts: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()
        self._retry_at = self._expire_at = monotonic()
        self.generation = 0
        """How often the file was opened: positions may be others, and earlier alerts be there, after that."""
        self.disk_error: str | None = None
        """Why alerts wait in memory; None while the disk takes them."""
        self.damaged = 0
        """Alerts given up because their content was damaged on the disk."""
        try:
            self._file = self._open()
        except (sqlite3.Error, OSError, DamagedError) as error:
            self._disk_failed(error)
            self._position = int(wall() * 1000)  # behind all positions that the file may hold
        self._use_disk()

    def __len__(self) -> int:
        """How many alerts wait."""
        with self._lock:
            return self._counts.total() + len(self._memory) - len(self._gone)

    @property
    def in_memory(self) -> int:
        """How many of them wait in memory only."""
        return len(self._memory)

    @property
    def payload_bytes(self) -> int:
        """Bytes of payload that wait on the disk."""
        return self._bytes.total()

    @property
    def dropped(self) -> int:
        """Alerts given up for the limits since the outbox was made."""
        return self._counters.dropped

    @property
    def untold(self) -> int:
        """Of these, those that nobody was told of; see `drops_told`."""
        return self._counters.dropped - self._counters.told

    def drops_told(self, number: int | None = None) -> None:
        """An alert that waits here tells of so many drops, or of all; kept with the next acknowledgement."""
        with self._lock:
            told = self.untold if number is None else min(number, self.untold)
            self._counters = replace(self._counters, told=self._counters.told + told)

    def put(self, topic: str, id: str, build: Callable[[int], bytes], priority: int = 1) -> StoredAlert:  # noqa: A002
        """Keep one alert; it is on the disk when this returns (in memory, while the disk fails).

        Args:
            topic: where it goes.
            id: its ULID.
            build: makes the payload from the sequence number that it is given.
            priority: 0 is dropped first when space runs out.
        """
        with self._lock:
            sequence = self._counters.last_sequence + 1
            payload = build(sequence)
            self._position += 1
            alert = StoredAlert(
                self._position, sequence, id, topic, priority, self._wall(), self._synchronised(), payload
            )
            self._counters = replace(self._counters, last_sequence=sequence)
            self._memory[alert.position] = alert
            if self._use_disk():
                self._make_room()
            self._make_room_in_memory()
            return alert

    def pending(self, limit: int, after: int = 0, topic: str | None = None) -> list[StoredAlert]:
        """The next alerts to send, in order.

        Args:
            limit: at most so many.
            after: position behind which to begin.
            topic: of this one only.
        """
        with self._lock:
            self._use_disk()
            found: list[StoredAlert] = []
            place = after
            while self._file is not None and len(found) < limit:
                try:
                    good, damaged = self._file.read(place, limit, topic)
                    if damaged:
                        self._give_up(damaged)
                except _DISK_ERRORS as error:
                    self._disk_failed(error)
                    break
                found += [alert for alert in good if alert.position not in self._gone]
                if len(good) + len(damaged) < limit:
                    break
                place = max([alert.position for alert in good] + damaged)
            found += [
                alert
                for alert in self._memory.values()
                if alert.position > after and topic in (None, alert.topic)
            ]
            return found[:limit]

    def topics(self) -> set[str]:
        """Topics that alerts wait for; not those on a disk that cannot be read now."""
        with self._lock:
            self._use_disk()
            found = {alert.topic for alert in self._memory.values()}
            try:
                return found | (self._file.topics() if self._file is not None else set())
            except _DISK_ERRORS as error:
                self._disk_failed(error)
                return found

    def acknowledge(self, alerts: Iterable[StoredAlert]) -> None:
        """Forget alerts that the broker has, in one transaction."""
        with self._lock:
            for alert in alerts:
                if self._memory.pop(alert.position, None) is None:
                    self._gone[alert.position] = alert
            if self._gone and self._use_disk():
                self._forget_acknowledged()

    def close(self) -> None:
        """Write what can be written and let go of the file."""
        with self._lock:
            self._retry_at = self._monotonic()
            if self._use_disk() and self._gone:
                self._forget_acknowledged()
            if self._memory:
                _log.error("outbox %s: %d alerts lost, the disk takes nothing", self._path, len(self._memory))
            if self._file is not None:
                self._file.close()
                self._file = None
            self._closed = True

    def _use_disk(self) -> bool:
        """Bring what waits in memory to the disk, if it takes it."""
        if self._closed or (not self._writable and self._monotonic() < self._retry_at):
            return False
        try:
            if self._file is None:
                self._file = self._open()
            if self._memory or not self._writable:
                waiting = list(self._memory.values())
                self._file.write(insert=waiting, counters=None if self._writable else self._counters)
                for alert in waiting:
                    self._count(alert.priority, 1, len(alert.payload))
                self._memory.clear()
            if self._monotonic() >= self._expire_at:
                self._expire_at = self._monotonic() + _EXPIRE_EVERY_S
                self._expire()
        except _DISK_ERRORS as error:
            self._disk_failed(error)
            return False
        if self.disk_error is not None:
            _log.warning("outbox %s: the disk takes alerts again", self._path)
            self.disk_error = None
        self._writable = True
        return True

    def _disk_failed(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        self._damage_seen |= code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        if code not in _STILL_READABLE and self._file is not None:
            self._file.close()
            self._file = None
            self._counts.clear()
            self._bytes.clear()
        self._writable = False
        self._retry_at = self._monotonic() + _RETRY_DISK_S
        if self.disk_error != str(error):
            self.disk_error = str(error)
            _log.error("outbox %s: expected to write, got %s; alerts wait in memory", self._path, error)

    def _count(self, priority: int, alerts: int, size: int) -> None:
        self._counts[priority] += alerts
        self._bytes[priority] += size

    def _forget_acknowledged(self) -> None:
        file = self._file
        if file is None:
            return
        try:
            file.write(delete=self._gone, counters=self._counters)
            for alert in self._gone.values():
                self._count(alert.priority, -1, -len(alert.payload))
            self._gone.clear()
            if not self._counts.total():
                file.compact()
        except _DISK_ERRORS as error:
            self._disk_failed(error)

    def _give_up(self, damaged: list[int]) -> None:
        """Delete alerts whose content is not what was written."""
        file = self._file
        if file is None or not self._writable:
            return
        self.damaged += len(damaged)
        _log.error("outbox %s: %d alerts were damaged on the disk and are given up", self._path, len(damaged))
        file.write(delete=damaged, counters=self._counters)
        self._take_sizes(file)

    def _drop(self, file: OutboxFile, positions: list[int], reason: str) -> None:
        self._counters = replace(self._counters, dropped=self._counters.dropped + len(positions))
        file.write(delete=positions, counters=self._counters)
        self._take_sizes(file)
        _log.warning("outbox %s: %d alerts dropped: %s", self._path, len(positions), reason)

    def _make_room(self) -> None:
        """Drop the oldest of the lowest priority when the outbox is too large, a hundredth of it at once."""
        file, limit = self._file, int(self._settings.max_size_mb * 1e6)
        excess = self._bytes.total() - limit
        if file is None or excess <= 0:
            return
        excess += limit // 100
        positions: list[int] = []
        try:
            for position, size in file.by_priority():
                positions.append(position)
                excess -= size
                if excess <= 0:
                    break
            self._drop(file, positions, f"more than {self._settings.max_size_mb:g} MB wait")
        except _DISK_ERRORS as error:
            self._disk_failed(error)

    def _make_room_in_memory(self) -> None:
        while len(self._memory) > self._settings.max_in_memory:
            lowest = min(alert.priority for alert in self._memory.values())
            oldest = next(position for position, alert in self._memory.items() if alert.priority == lowest)
            del self._memory[oldest]
            self._counters = replace(self._counters, dropped=self._counters.dropped + 1)

    def _expire(self) -> None:
        """Drop what is older than the limit, where both clocks, then and now, can be believed."""
        if self._file is None or not self._settings.max_age_s or not self._synchronised():
            return
        old = self._file.older_than(self._wall() - self._settings.max_age_s)
        if old:
            self._drop(self._file, old, f"older than {self._settings.max_age_s:g} s")

    def _take_sizes(self, file: OutboxFile) -> None:
        self._counts.clear()
        self._bytes.clear()
        for priority, number, size in file.sizes():
            self._count(priority, number, size)

    def _open(self) -> OutboxFile:
        file = open_outbox(
            self._path, self._settings.synchronous, wall_s=self._wall(), damaged=self._damage_seen
        )
        self._damage_seen = False
        self._memory = behind(file, self._memory)
        self.generation += 1
        self._take_sizes(file)
        self._counters = self._counters.merged(file.counters)
        self._position = max([self._position, file.last_position(), *self._memory])
        return file
