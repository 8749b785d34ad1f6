"""How the device and its cameras are doing: what `health` publishes and the live page and metrics show."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.alerts.states import CameraHealth, HealthPayload, health_payload
from agent.alerts.stats import PublisherStats
from agent.pipeline import CameraPipeline


class CameraMeter:
    """Measures the cameras between two calls; each user of the figures has one of its own.

    Args:
        pipelines: of all cameras, by name.
    """

    def __init__(self, pipelines: Mapping[str, CameraPipeline]) -> None:
        self._pipelines = pipelines
        self._frames = dict.fromkeys(pipelines, 0)
        self._measured_s = time.monotonic()

    def measure(self) -> dict[str, CameraHealth]:
        """Figures by camera; rates are those since the last call."""
        now_s = time.monotonic()
        elapsed_s = max(now_s - self._measured_s, 1e-6)
        self._measured_s = now_s
        health = {}
        for name, pipeline in self._pipelines.items():
            frames, before = pipeline.summary.frames, self._frames[name]
            self._frames[name] = frames
            invoke = pipeline.times.summary_ms().get("invoke", {})
            health[name] = CameraHealth(
                state="paused" if pipeline.paused else str(pipeline.reader.state),
                fps=round((frames - before) / elapsed_s, 2),
                inference_ms=invoke.get("median"),
                dropped=pipeline.summary.dropped,
                tracks=pipeline.in_sight,
                device=pipeline.device_state,
            )
        return health


class HealthMeter:
    """The health of now, for those who look between two publications of it.

    Args:
        pipelines: of all cameras, by name.
        stats: the publisher's figures of now.
        disk: a path on the disk that holds the outbox.
    """

    def __init__(
        self, pipelines: Mapping[str, CameraPipeline], stats: Callable[[], PublisherStats], disk: Path
    ) -> None:
        self.pipelines = pipelines
        self.stats = stats
        self._cameras = CameraMeter(pipelines)
        self._disk = disk

    def measure(self) -> HealthPayload:
        """As `health` is published."""
        stats = self.stats()
        return health_payload(stats.outbox_health, stats.connects, self._cameras.measure(), self._disk)
