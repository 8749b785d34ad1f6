"""The figures of `health` in the text format of Prometheus, and a server for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.alerts.states import CameraHealth, HealthPayload
from agent.health import HealthMeter
from agent.pipeline import CameraPipeline
from agent.web.address import split_address
from agent.web.listening import when_free

log = logging.getLogger("edgetrack.metrics")
_DEFAULT = "127.0.0.1:9464"
_MB, _KB_MB = 1e6, 1024.0 * 1024.0
_STOP_S = 5.0


class HealthCollector(Collector):
    """Measures when it is asked.

    Args:
        meter: of this collector alone: rates are those between two scrapes.
    """

    def __init__(self, meter: HealthMeter) -> None:
        self._meter = meter

    def collect(self) -> Iterator[Metric]:
        """All metrics of now; what this machine does not tell is left out."""
        stats, health = self._meter.stats(), self._meter.measure()
        yield InfoMetricFamily("edgetrack", "The agent.", {"version": health.version})
        yield from _of_device(health)
        yield _gauge(
            "edgetrack_broker_connected", "Whether the broker has accepted this device.", stats.connected
        )
        yield _counter("edgetrack_broker_connects", "Connections to the broker.", stats.connects)
        outbox = health.outbox
        yield _gauge("edgetrack_outbox_queued", "Alerts that the broker does not have yet.", outbox.queued)
        yield _gauge("edgetrack_outbox_in_memory", "Of these, those that no disk holds.", outbox.in_memory)
        for name, what in (
            ("acknowledged", "Alerts that the broker has."),
            ("refused", "Alerts that the broker's access rules refused."),
            ("dropped", "Alerts given up for the outbox's limits, since the outbox was made."),
            ("damaged", "Alerts that the disk spoiled."),
        ):
            yield _counter(f"edgetrack_outbox_{name}", what, getattr(outbox, name))
        yield from _of_cameras(health.cameras, self._meter.pipelines)


def _of_device(health: HealthPayload) -> Iterator[Metric]:
    yield _gauge("edgetrack_uptime_seconds", "Of the process.", health.uptime_s)
    for name, what, value, unit in (
        ("temperature_celsius", "Of the processor.", health.temperature_c, 1.0),
        ("load1", "Load average.", health.load_1min, 1.0),
        ("resident_memory_bytes", "Memory of the process.", health.rss_mb, _KB_MB),
        ("memory_available_bytes", "Memory that is left on the device.", health.memory_available_mb, _KB_MB),
        ("disk_free_bytes", "Left where the outbox lies.", health.disk_free_mb, _MB),
    ):
        if value is not None:
            yield _gauge(f"edgetrack_{name}", what, value * unit)


def _of_cameras(
    cameras: Mapping[str, CameraHealth], pipelines: Mapping[str, CameraPipeline]
) -> Iterator[Metric]:
    counters = (
        ("frames", "Frames looked at."),
        ("dropped", "Frames given up, because newer ones were there."),
        ("detections", "Detections."),
        ("tracks", "Objects that were confirmed."),
        ("alerts", "Alerts."),
    )
    for name, what in counters:
        counter = CounterMetricFamily(f"edgetrack_camera_{name}", what, labels=["camera"])
        for camera, pipeline in pipelines.items():
            counter.add_metric([camera], getattr(pipeline.summary, name))
        yield counter
    gauges = (
        ("frames_per_second", "Frames looked at per second, since the last scrape.", "fps", 1.0),
        ("inference_seconds", "Median time of one inference.", "inference_ms", 1e-3),
        ("objects", "Objects in sight.", "tracks", 1.0),
    )
    for name, what, field, unit in gauges:
        gauge = GaugeMetricFamily(f"edgetrack_camera_{name}", what, labels=["camera"])
        for camera, health in cameras.items():
            if (value := getattr(health, field)) is not None:
                gauge.add_metric([camera], value * unit)
        yield gauge
    state = GaugeMetricFamily(
        "edgetrack_camera_state", "1 for the state it is in.", labels=["camera", "state"]
    )
    fallback = GaugeMetricFamily(
        "edgetrack_camera_fallback", "1 while the CPU stands in for an Edge TPU.", labels=["camera"]
    )
    for camera, health in cameras.items():
        state.add_metric([camera, health.state], 1)
        if health.device is not None:
            fallback.add_metric([camera], health.device != "online")
    yield state
    yield fallback
    stages = GaugeMetricFamily(
        "edgetrack_stage_seconds",
        "Time of each stage of a frame, over the last frames.",
        labels=["camera", "stage", "quantile"],
    )
    for camera, pipeline in pipelines.items():
        for stage, times in pipeline.times.summary_ms().items():
            for quantile, key in (("0.5", "median"), ("0.95", "p95")):
                stages.add_metric([camera, stage, quantile], times[key] * 1e-3)
    yield stages


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(name, what, value=value)


class Exposition:
    """What a scrape gets.

    Args:
        meter: measures it.
    """

    def __init__(self, meter: HealthMeter) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(HealthCollector(meter))

    def render(self) -> tuple[bytes, str]:
        """The text and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class MetricsServer:
    """An endpoint of its own, `/metrics`, in a thread of its own; an address that is taken is tried again.

    Args:
        exposition: what it serves.
        address: `host:port`; None: 127.0.0.1:9464.
    """

    def __init__(self, exposition: Exposition, address: str | None) -> None:
        self._registry = exposition.registry
        self._address = address or _DEFAULT
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        host, port = split_address(self._address)
        serving = when_free(
            lambda: start_http_server(port, host, self._registry),
            f"metrics.listen {self._address}",
            self._closing,
        )
        if serving is None:
            return
        log.info("metrics: http://%s/metrics", self._address)
        server, thread = serving
        self._closing.wait()
        server.shutdown()
        server.server_close()
        thread.join()
