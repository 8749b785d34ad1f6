"""Short versions of the scripts in tests/faults."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.awake import Standing
from tests.faults import broker_kill, disk_full, network, publisher_kill
from tests.faults.broker import BINARY

pytestmark = pytest.mark.skipif(BINARY is None, reason="needs mosquitto (apt-get install mosquitto)")


def test_broker_killed_under_a_stream_of_alerts_loses_none_and_keeps_the_order(tmp_path: Path) -> None:
    with Standing() as standing:
        figures = broker_kill.run(tmp_path, cycles=3, rate=50)
    assert figures["drained"]
    assert figures["committed"] > 20
    assert (figures["lost"], figures["out_of_order"]) == (0, 0)
    assert figures["reconnect_max_s"] < 5 + standing.seconds


def test_publisher_killed_at_random_moments_delivers_all_that_was_committed(tmp_path: Path) -> None:
    figures = publisher_kill.run(tmp_path, cycles=3)
    assert figures["opened"] == 3
    assert figures["drained"]
    assert figures["committed"] > 3
    assert (figures["lost"], figures["out_of_order"], figures["set_aside"]) == (0, 0, 0)


def test_link_that_stalls_and_is_cut_loses_none_and_is_noticed_in_time(tmp_path: Path) -> None:
    with Standing() as standing:
        figures = network.run(
            tmp_path, rounds=1, stall_s=4.0, delay_s=0.02, keepalive_s=2, rate=50, loss=0.05
        )
    assert figures["drained"]
    assert figures["committed"] > 50
    assert (figures["lost"], figures["out_of_order"]) == (0, 0)
    assert figures["packets_lost"] > 0
    assert figures["noticed_max_s"] < 4.5 + standing.seconds, "twice the keepalive"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to mount a disk")
@pytest.mark.parametrize("fault", ["read-only", "failing"])
def test_disk_that_fails_loses_none_and_is_used_again_once_it_works(fault: str, tmp_path: Path) -> None:
    try:
        with disk_full.DISKS[fault](tmp_path):
            pass
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("this kernel or container lets nobody mount a disk")
    (tmp_path / "run").mkdir()
    figures = disk_full.run(tmp_path / "run", fault)
    assert figures["disk_error"]
    assert not disk_full.failed(figures)
    assert (figures["lost"], figures["disk_error_after"]) == (0, None)
