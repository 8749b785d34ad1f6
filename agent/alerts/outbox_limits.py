"""Which alerts an outbox drops for its limits: none that is under way, since it may have arrived already."""

from __future__ import annotations

from collections.abc import Container, Mapping

from agent.alerts.outbox_file import OutboxFile
from agent.alerts.outbox_records import StoredAlert


def too_large(file: OutboxFile, limit: int, under_way: Container[str]) -> list[int]:
    """Positions of the oldest of the lowest priority, when more than `limit` bytes wait: so many that a
    hundredth of it is free afterwards."""
    excess = file.payload_bytes - limit
    positions: list[int] = []
    if excess <= 0:
        return positions
    excess += limit // 100
    for position, id_, size in file.by_priority():
        if id_ in under_way:
            continue
        positions.append(position)
        excess -= size
        if excess <= 0:
            break
    return positions


def too_old(file: OutboxFile, stored_s: float, under_way: Container[str]) -> list[int]:
    """Positions of those known to be stored before `stored_s`, seconds since 1970."""
    return [position for position, id_ in file.older_than(stored_s) if id_ not in under_way]


def too_many(memory: Mapping[str, StoredAlert], limit: int, under_way: Container[str]) -> list[str]:
    """Ids of the oldest of the lowest priority, when `memory` (by id, in order) holds more than `limit`."""
    if len(memory) <= limit:
        return []
    waiting = [alert for alert in memory.values() if alert.id not in under_way]
    waiting.sort(key=lambda alert: alert.priority)
    return [alert.id for alert in waiting[: len(memory) - limit]]
