"""Alerts wait here, on disk, until the broker has them.

The promise: an alert is on the disk when `put` returns, and stays there until it is acknowledged, until the
configured size or age is exceeded (then the oldest of the lowest priority go, and are counted), or until the
disk itself fails. While the disk takes nothing, alerts wait in memory, bounded and counted too.

Each alert is where exactly one of these says: rows of the file, `_memory`. `_gone` names rows that are to be
deleted, `_under_way` alerts that are not to be dropped. All go by id.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from agent.alerts.clock import clock_synchronised
from agent.alerts.outbox_file import DISK_ERRORS, STILL_READABLE, OutboxFile
from agent.alerts.outbox_limits import too_large, too_many, too_old
from agent.alerts.outbox_records import Counters, DamagedError, StoredAlert
from agent.alerts.outbox_recovery import open_outbox, taken_up
from agent.alerts.settings import OutboxSettings

_log = logging.getLogger("edgetrack.outbox")
_RETRY_DISK_S = 5.0
_EXPIRE_EVERY_S = 60.0


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
        self._writable = self._damage_seen = self._closed = self._dropped_in_memory = False
        self._memory: dict[str, StoredAlert] = {}  # by id, in order
        self._gone: dict[str, StoredAlert] = {}  # acknowledged; rows of the file, while it is open
        self._maybe_written: set[str] = set()  # were in `_memory` when an open file failed
        self._under_way: set[str] = set()  # sent, and not acknowledged here yet
        self._counters = Counters()
        self._position = self._written_to = 0  # the last one given; the last one that is or was on the disk
        self._retry_at = self._expire_at = monotonic()
        self.generation = 0
        """Grows when the file is opened, which may bring earlier alerts, and with what is dropped from it, or
        was from memory while it took nothing: what was read before may wait no more, or elsewhere."""
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
        """How many alerts wait; those on a disk that cannot be read now are not among them."""
        with self._lock:
            on_disk = self._file.alerts - len(self._gone) if self._file is not None else 0
            return on_disk + len(self._memory)

    @property
    def in_memory(self) -> int:
        """How many of them wait in memory only."""
        return len(self._memory)

    @property
    def payload_bytes(self) -> int:
        """Bytes of payload that wait on the disk."""
        with self._lock:
            return self._file.payload_bytes if self._file is not None else 0

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
            self._memory[alert.id] = alert
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
                except DISK_ERRORS as error:
                    self._disk_failed(error)
                    break
                found += [alert for alert in good if alert.id not in self._gone]
                if len(good) + len(damaged) < limit:
                    break
                place = max([alert.position for alert in good] + damaged)
            waiting = self._memory.values()
            found += [alert for alert in waiting if alert.position > after and topic in (None, alert.topic)]
            return found[:limit]

    def topics(self) -> set[str]:
        """Topics that alerts wait for; not those on a disk that cannot be read now."""
        with self._lock:
            self._use_disk()
            found = {alert.topic for alert in self._memory.values()}
            try:
                return found | (self._file.topics() if self._file is not None else set())
            except DISK_ERRORS as error:
                self._disk_failed(error)
                return found

    def take(self, alert: StoredAlert, generation: int) -> bool:
        """Let an alert that was read be sent: until it is acknowledged or put back, no limit drops it.

        False when it was dropped, or when the generation is another than then: it is to be read again.
        """
        with self._lock:
            dropped = alert.position > self._written_to and alert.id not in self._memory
            if dropped or generation != self.generation:
                return False
            self._under_way.add(alert.id)
            return True

    def put_back(self, alert: StoredAlert | None = None) -> None:
        """An alert that was taken is under way no more, and was not acknowledged; without one, none is."""
        with self._lock:
            self._under_way = set() if alert is None else self._under_way - {alert.id}

    def acknowledge(self, alerts: Iterable[StoredAlert]) -> None:
        """Forget alerts that the broker has, in one transaction."""
        with self._lock:
            for alert in alerts:
                self._under_way.discard(alert.id)
                in_memory = self._memory.pop(alert.id, None) is not None
                # A write that failed may have brought it to the disk all the same.
                if not in_memory or self._file is not None or alert.id in self._maybe_written:
                    self._gone[alert.id] = alert
            if not self._gone or self._use_disk() or self._file is None:
                return
            try:
                self._gone = {alert.id: alert for alert in self._file.held(self._gone.values())}
            except DISK_ERRORS as error:
                self._disk_failed(error)

    def close(self) -> None:
        """Write what can be written and let go of the file."""
        with self._lock:
            self._retry_at = self._monotonic()
            self._use_disk()
            if self._memory:
                _log.error("outbox %s: %d alerts lost, the disk takes nothing", self._path, len(self._memory))
            if self._file is not None:
                self._file.close()
                self._file = None
            self._closed = True

    def _use_disk(self) -> bool:
        """Bring what waits in memory to the disk, and delete what is acknowledged, if it takes it."""
        if self._closed or (not self._writable and self._monotonic() < self._retry_at):
            return False
        try:
            if self._file is None:
                self._file = self._open()
            file, forgets = self._file, bool(self._gone)
            if self._memory or forgets or not self._writable:
                counters = self._counters if forgets or not self._writable else None
                file.write(insert=self._memory.values(), forget=self._gone.values(), counters=counters)
                self._memory.clear()
                self._written_to = self._position
                self.generation += self._dropped_in_memory
                self._dropped_in_memory = False
                self._gone.clear()
                if forgets and not file.alerts:
                    file.compact()
            if self._monotonic() >= self._expire_at:
                self._expire_at = self._monotonic() + _EXPIRE_EVERY_S
                self._expire(file)
        except DISK_ERRORS as error:
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
        if code not in STILL_READABLE and self._file is not None:
            self._maybe_written |= self._memory.keys()
            self._file.close()
            self._file = None
        self._writable = False
        self._retry_at = self._monotonic() + _RETRY_DISK_S
        if self.disk_error != str(error):
            self.disk_error = str(error)
            _log.error("outbox %s: expected to write, got %s; alerts wait in memory", self._path, error)

    def _give_up(self, damaged: list[int]) -> None:
        """Delete alerts whose content is not what was written."""
        file = self._file
        if file is None or not self._writable:
            return
        file.write(delete=damaged, counters=self._counters)
        self.damaged += len(damaged)
        self._gone = {alert.id: alert for alert in self._gone.values() if alert.position not in damaged}
        _log.error("outbox %s: %d alerts were damaged on the disk and are given up", self._path, len(damaged))

    def _drop(self, file: OutboxFile, positions: list[int], reason: str) -> None:
        if not positions:
            return
        counters = replace(self._counters, dropped=self._counters.dropped + len(positions))
        file.write(delete=positions, counters=counters)
        self._counters = counters
        self.generation += 1
        _log.warning("outbox %s: %d alerts dropped: %s", self._path, len(positions), reason)

    def _make_room(self) -> None:
        limit_mb = self._settings.max_size_mb
        try:
            if self._file is not None:
                positions = too_large(self._file, int(limit_mb * 1e6), self._under_way)
                self._drop(self._file, positions, f"more than {limit_mb:g} MB wait")
        except DISK_ERRORS as error:
            self._disk_failed(error)

    def _make_room_in_memory(self) -> None:
        for id_ in too_many(self._memory, self._settings.max_in_memory, self._under_way):
            del self._memory[id_]
            self._counters = replace(self._counters, dropped=self._counters.dropped + 1)
            self._dropped_in_memory = True

    def _expire(self, file: OutboxFile) -> None:
        """Drop what is older than the limit, where both clocks, then and now, can be believed."""
        max_age_s = self._settings.max_age_s
        if max_age_s and self._synchronised():
            positions = too_old(file, self._wall() - max_age_s, self._under_way)
            self._drop(file, positions, f"older than {max_age_s:g} s")

    def _open(self) -> OutboxFile:
        file = open_outbox(
            self._path, self._settings.synchronous, wall_s=self._wall(), damaged=self._damage_seen
        )
        self._damage_seen = False
        self._memory, self._gone, last = taken_up(file, self._memory, self._gone)
        self._written_to = last
        self._maybe_written.clear()
        self.generation += 1
        self._counters = self._counters.merged(file.counters)
        # Positions never come twice, so that no alert stands where one stood that somebody still holds.
        places = (alert.position for alert in self._memory.values())
        self._position = max(self._position, last, self._counters.last_sequence, *places)
        return file
