"""Figures of what the agent publishes."""

from __future__ import annotations

from dataclasses import dataclass

from agent.alerts.states import OutboxHealth


@dataclass(frozen=True, slots=True)
class PublisherStats:
    """Figures for health and summaries.

    Args:
        queued: alerts that the broker has not acknowledged yet.
        in_memory: of these, on no disk.
        sent: publishes of alerts, repeats counted.
        acknowledged: alerts that the broker (or a receiver: `broker.acknowledge`) has, since the start.
        refused: alerts that the broker's access rules refused; they wait.
        dropped: alerts given up for the outbox's limits, since the outbox was made.
        damaged: alerts given up because the disk spoiled them.
        connected: whether the broker has accepted this device.
        connects: how often it did.
        protocol: MQTT version of the connection.
        broker_error, disk_error: what is wrong, or None.
    """

    queued: int
    in_memory: int
    sent: int
    acknowledged: int
    refused: int
    dropped: int
    damaged: int
    connected: bool
    connects: int
    protocol: str
    broker_error: str | None
    disk_error: str | None

    @property
    def outbox_health(self) -> OutboxHealth:
        """The part of it that `health` publishes of the alerts."""
        return OutboxHealth(
            queued=self.queued,
            in_memory=self.in_memory,
            acknowledged=self.acknowledged,
            refused=self.refused,
            dropped=self.dropped,
            damaged=self.damaged,
            error=self.disk_error,
        )
