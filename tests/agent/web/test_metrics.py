"""Metrics of a running agent: the numbers of `health`, in Prometheus' format."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.agent.web.conftest import LONG_S, RunningAgent
from tests.conftest import free_port, wait_until


def samples(text: str) -> dict[str, float]:
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_page_serves_the_figures_of_health(start_agent: Callable[..., RunningAgent]) -> None:
    agent = start_agent(more="metrics: {enabled: true}\n")

    def frames() -> float:
        text = agent.get("/metrics")[1].decode()
        return samples(text)["edgetrack_camera_frames_total[('camera', 'front')]"]

    wait_until(lambda: frames() > 20, LONG_S, "frames")
    (figures,) = agent.state()["figures"][-1:]
    status, content, headers = agent.get("/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    found = samples(content.decode())
    assert found["edgetrack_outbox_queued[]"] >= figures["outbox"]["queued"]
    assert found["edgetrack_resident_memory_bytes[]"] == pytest.approx(
        figures["rss_mb"] * 2**20, rel=0.5
    )  # it still grows
    assert found["edgetrack_broker_connected[]"] == 0
    assert found["edgetrack_camera_state[('camera', 'front'), ('state', 'online')]"] == 1
    assert found["edgetrack_stage_seconds[('camera', 'front'), ('quantile', '0.5'), ('stage', 'track')]"] > 0


def test_endpoint_of_its_own_needs_no_page(start_agent: Callable[..., RunningAgent]) -> None:
    port = free_port()
    agent = start_agent(more=f"metrics: {{enabled: true, listen: '127.0.0.1:{port}'}}\n")
    assert agent.get("/metrics")[0] == 404
    agent.port = port
    wait_until(lambda: _is_open(port), LONG_S, "the endpoint")
    assert "edgetrack_uptime_seconds" in agent.get("/metrics")[1].decode()


def test_address_that_is_taken_ends_nothing_and_is_had_once_it_is_free(
    start_agent: Callable[..., RunningAgent],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        agent = start_agent(more=f"metrics: {{enabled: true, listen: '127.0.0.1:{port}'}}\n")
        line = (
            f"metrics.listen 127.0.0.1:{port}: expected an address that is free, got Address already in use"
        )
        wait_until(lambda: line in agent.log.read_text(), LONG_S, "the complaint")
        wait_until(lambda: agent.state()["cameras"][0]["name"] == "front", LONG_S, "the page")
    wait_until(lambda: _is_open(port), LONG_S, "the endpoint")
    agent.port = port
    assert "edgetrack_uptime_seconds" in agent.get("/metrics")[1].decode()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        # A connection to a port that nobody listens on can happen to come from it, and meets itself.
        return probe.connect_ex(("127.0.0.1", port)) == 0 and probe.getsockname() != probe.getpeername()
