"""What an outbox keeps: alerts that wait, and counters that outlive them, a checksum on each."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass


class DamagedError(Exception):
    """The file holds something other than what was written."""


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """One alert that waits.

    Args:
        position: order of sending, which grows; it is the alert's own, but for what a damaged disk renumbers.
        sequence: the device's count, as in the payload.
        id: ULID, as in the payload; it alone says which alert this is.
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


def alert_row(alert: StoredAlert) -> tuple[object, ...]:
    """The row of `alert`, in the order of its columns."""
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
