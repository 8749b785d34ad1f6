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

from tests.faults.broker import free_port

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


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0, what: str = "condition") -> None:
    """Poll `condition` until it holds.

    Raises:
        AssertionError: it did not within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not hold within {timeout_s} s"
        time.sleep(0.01)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A TCP port of the loopback that refuses connections, and that nobody else can take."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        yield port


def run_mosquitto(folder: Path, settings: str) -> Iterator[Mosquitto]:
    """A real mosquitto on a free loopback port, for as long as the generator is open."""
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if binary is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    port, process = _started(binary, folder, settings)
    try:
        yield Mosquitto("127.0.0.1", port, process)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _started(binary: str, folder: Path, settings: str) -> tuple[int, subprocess.Popen[bytes]]:
    """A mosquitto that listens, and its port; another one where somebody took the first meanwhile."""
    config, log = folder / "mosquitto.conf", folder / "mosquitto.log"
    for _ in range(5):
        port = free_port()
        config.write_text(f"listener {port} 127.0.0.1\nmax_queued_messages 0\n{settings}")
        with log.open("wb") as output:
            process = subprocess.Popen([binary, "-c", str(config)], stdout=output, stderr=output)
        deadline = time.monotonic() + 30.0
        while process.poll() is None and time.monotonic() < deadline:
            if b" running" in log.read_bytes():
                return port, process
            time.sleep(0.01)
        process.kill()
        process.wait()
    raise AssertionError(f"mosquitto does not start:\n{log.read_text(errors='replace')}")


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
