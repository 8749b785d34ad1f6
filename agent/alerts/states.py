"""What is retained beside the alerts: counts, which rules are armed, the device's health."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from agent.alerts.schema import Part
from agent.version import __version__

Tally = dict[str, dict[str, int]]
"""{what: {class: number}}: crossings by direction, or "entered"."""

_PROCESS_START_S = time.monotonic()
_THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")


class PlaceCounts(Part):
    """Counts of one zone or tripwire."""

    now: dict[str, int] | None = None
    """Objects inside by class; zones only."""
    inside: int | None = None
    """Objects inside, all classes; zones only."""
    today: Tally
    """Since midnight in the camera's time zone."""
    total: Tally
    """Since the last reset."""


class CountsPayload(Part):
    """Counts under one name; a zone and a tripwire may share it."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of this payload."""
    day: str | None = None
    """Date that `today` means."""
    zone: PlaceCounts | None = None
    """Of the zone of this name."""
    tripwire: PlaceCounts | None = None
    """Of the tripwire of this name."""


class ArmedPayload(Part):
    """Which rules of a camera are armed."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of this payload."""
    rules: dict[str, bool]
    """By name."""


class CameraHealth(Part):
    """How one camera is doing; figures of the last minute."""

    state: str
    """As in the camera's status."""
    fps: float | None = None
    """Frames processed per second."""
    inference_ms: float | None = None
    """Median time of one inference."""
    dropped: int = 0
    """Frames given up since the start, because newer ones were there."""
    tracks: int | None = None
    """Objects in sight now."""
    device: str | None = None
    """`online`, or `fallback` while the CPU stands in for an Edge TPU; left out without one."""


class OutboxHealth(Part):
    """How the alerts are doing."""

    queued: int
    """Alerts that the broker does not have yet."""
    in_memory: int
    """Of these, those that no disk holds."""
    acknowledged: int
    """Alerts that the broker has, since the start."""
    refused: int
    """Alerts that the broker's access rules refused."""
    dropped: int
    """Alerts given up for the outbox's limits."""
    damaged: int
    """Alerts that the disk spoiled."""
    error: str | None = None
    """Why the disk takes no alerts."""


class HealthPayload(Part):
    """The device's health."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of this payload."""
    time: datetime
    """RFC 3339, UTC."""
    version: str = __version__
    """Of Edgetrack."""
    uptime_s: Annotated[float, Field(ge=0)]
    """Of the process."""
    connects: int
    """Connections to the broker since the start."""
    outbox: OutboxHealth
    """Alerts on their way."""
    cameras: dict[str, CameraHealth] = {}
    """By name."""
    temperature_c: float | None = None
    """Of the processor."""
    load_1min: float | None = None
    """Load average."""
    rss_mb: float | None = None
    """Memory of the process."""
    memory_available_mb: float | None = None
    """Memory that is left on the device."""
    disk_free_mb: float | None = None
    """Left where the outbox lies."""


def payload_bytes(part: Part) -> bytes:
    """As sent: UTF-8 JSON without the parts that are left out."""
    return part.model_dump_json(by_alias=True, exclude_none=True).encode()


def counts_payloads(counts: Mapping[str, Any]) -> dict[str, CountsPayload]:
    """Payloads by zone and tripwire name, from the rules' counts.

    Args:
        counts: `{"day": …, "zones": {name: {"now", "today", "total"}}, "tripwires": {name: {"today",
            "total"}}}`.
    """
    zones, tripwires = counts.get("zones", {}), counts.get("tripwires", {})
    return {
        name: CountsPayload(
            day=counts.get("day"),
            zone=PlaceCounts(**zones[name], inside=sum(zones[name]["now"].values()))
            if name in zones
            else None,
            tripwire=PlaceCounts(**tripwires[name]) if name in tripwires else None,
        )
        for name in {**zones, **tripwires}
    }


def health_payload(
    outbox: OutboxHealth, connects: int, cameras: Mapping[str, CameraHealth], disk: Path
) -> HealthPayload:
    """The health of now; what this machine does not tell is left out.

    Args:
        outbox: figures of the publisher.
        connects: connections to the broker so far.
        cameras: by name.
        disk: a path on the disk that holds the outbox.
    """
    return HealthPayload(
        time=datetime.fromtimestamp(round(time.time()), UTC),
        uptime_s=round(time.monotonic() - _PROCESS_START_S, 1),
        connects=connects,
        outbox=outbox,
        cameras=dict(cameras),
        temperature_c=_temperature_c(),
        load_1min=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        rss_mb=_kilobytes(Path("/proc/self/status"), "VmRSS"),
        memory_available_mb=_kilobytes(Path("/proc/meminfo"), "MemAvailable"),
        disk_free_mb=_disk_free_mb(disk),
    )


def _temperature_c() -> float | None:
    try:
        return round(int(_THERMAL.read_text()) / 1000, 1)
    except (OSError, ValueError):
        return None


def _kilobytes(path: Path, key: str) -> float | None:
    """A line `key: N kB` of a /proc file, in MB."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{key}:"):
            return round(int(line.split()[1]) / 1024, 1)
    return None


def _disk_free_mb(path: Path) -> float | None:
    try:
        return round(shutil.disk_usage(path).free / 1e6, 1)
    except OSError:
        return None
