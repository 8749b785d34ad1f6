"""A real mosquitto that can be killed and started again on the same port."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

BINARY = shutil.which(
    "mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/sbin"
)


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on.

    Not one of those that the kernel gives to connections: a broker that is started anew finds its own port
    free, and nobody who looks for it meanwhile connects to himself.
    """
    lowest = _first_given_by_the_kernel()
    choices = random.sample(range(10_000, lowest), 20) if lowest > 12_000 else []
    for choice in (*choices, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", choice))
            port: int = probe.getsockname()[1]
            return port
    raise OSError("no port is free")


def _first_given_by_the_kernel() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):  # no Linux
        return 0


class Broker:
    """mosquitto in a folder of its own.

    Args:
        folder: for its configuration, log and persistence.
        persistent: write every change to disk at once, as a receiver that must not lose needs it.
        listener: further lines for the configuration; `allow_anonymous true` unless given.
        verbose: keep a log of every packet.
        included: instead of all this, a file of `conf.d`, where its `listener`, if any, is 8883; the main
            file is as Debian's, and a mosquitto that root starts becomes the user `mosquitto`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        persistent: bool = False,
        listener: str = "allow_anonymous true",
        verbose: bool = True,
        included: str | None = None,
    ) -> None:
        if BINARY is None:
            raise FileNotFoundError("mosquitto (apt-get install mosquitto)")
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        lines = [
            f"listener {self.port} 127.0.0.1",
            listener,
            "user root",
            "max_queued_messages 0",
            "log_type all" if verbose else "log_type error",
        ]
        self._arguments = [str(BINARY), "-c", str(self._config), *(["-v"] if verbose else [])]
        if persistent:
            lines += [
                "persistence true",
                f"persistence_location {folder}/",
                "autosave_on_changes true",
                "autosave_interval 1",
            ]
        if included is not None:
            lines = _as_on_debian(folder, included.replace("8883", f"{self.port} 127.0.0.1", 1))
            if "listener" not in included:
                self._arguments += ["-p", str(self.port)]
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> Self:
        """Start, and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 30.0
        while True:
            with socket.socket() as probe:
                listens = probe.connect_ex(("127.0.0.1", self.port)) == 0
            if listens and self._process.poll() is None:
                return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"mosquitto does not listen:\n{self.log[-2000:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def _as_on_debian(folder: Path, included: str) -> list[str]:
    """The main file's lines, with one file in the folder that it includes."""
    for name in ("conf.d", "lib"):
        (folder / name).mkdir()
    (folder / "conf.d" / "edgetrack.conf").write_text(included)
    if os.geteuid() == 0:
        shutil.chown(folder / "lib", "mosquitto")
    return [
        "persistence true",
        f"persistence_location {folder}/lib/",
        "log_dest stdout",
        f"include_dir {folder}/conf.d",
    ]
