"""A broker for the demo: amqtt in a child process, on a free port of the loopback interface.

It keeps nothing on disk and asks for no password; for anything but a demo run mosquitto.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from agent.errors import BrokerError

_START_TIMEOUT_S = 10.0
_WHERE = "embedded broker"
_HINT = "install edgetrack[demo], or give --broker mqtt://host of one that runs"


@contextmanager
def embedded_broker() -> Iterator[str]:
    """Run a broker for as long as the block lasts.

    Yields:
        Its URL.

    Raises:
        BrokerError: amqtt is not installed or does not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "agent.alerts.embedded_broker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield f"mqtt://127.0.0.1:{_port_of(process)}"
        finally:
            process.kill()


def _port_of(process: subprocess.Popen[str]) -> int:
    """The port that the child prints as its first line."""
    if process.stdout is None or process.stderr is None:
        raise BrokerError(_WHERE, "expected pipes to the child process, got none")
    line = process.stdout.readline()  # ends with the child at the latest
    if not line.strip().isdigit():
        process.kill()
        lines = process.stderr.read().strip().splitlines()
        raise BrokerError(_WHERE, f"expected it to start, got {lines[-1] if lines else 'nothing'}", _HINT)
    return int(line)


async def _serve() -> None:
    """Serve until standard input ends, which it does with the parent."""
    from amqtt.broker import Broker

    listener = {"default": {"type": "tcp", "bind": "127.0.0.1:0"}}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": listener, "plugins": plugins})
    await broker.start()
    port = broker._servers["default"].instance.sockets[0].getsockname()[1]  # amqtt tells it nowhere else
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(_serve())
