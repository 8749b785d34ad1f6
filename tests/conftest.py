"""Fixtures that every part of the tests shares."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    # Machines of CI are slow and shared: how long an example takes says nothing about the code.
    "edgetrack",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("edgetrack")

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real videos, ground truth and models; they lie beside a checkout and are not ours to ship."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data, which is not beside this checkout")
    return SHARED_DATA


@dataclass(frozen=True)
class Mosquitto:
    """A running broker on a free loopback port.

    Args:
        host, port: where it listens.
        process: the mosquitto process.
    """

    host: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0, what: str = "condition") -> None:
    """Poll `condition` until it holds.

    Raises:
        AssertionError: it did not within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not hold within {timeout_s} s"
        time.sleep(0.01)


def run_mosquitto(folder: Path, settings: str) -> Iterator[Mosquitto]:
    """A real mosquitto on a free loopback port, for as long as the generator is open."""
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if binary is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nmax_queued_messages 0\n{settings}")
    process = subprocess.Popen(
        [binary, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, what="mosquitto listening")
        yield Mosquitto("127.0.0.1", port, process)
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real mosquitto without authentication."""
    yield from run_mosquitto(tmp_path, "allow_anonymous true\n")


@pytest.fixture
def mosquitto_with_password(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real mosquitto that lets in only user `agent` with password `right`."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "agent", "right"], check=True)
    yield from run_mosquitto(tmp_path, f"user root\nallow_anonymous false\npassword_file {passwords}\n")
