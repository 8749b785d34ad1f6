"""The page's server, in a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from agent.web.address import split_address
from agent.web.listening import when_free

log = logging.getLogger("edgetrack.web")
_STOP_S = 2


class PageServer:
    """Serves an application; an address that is taken, or not there yet, is tried again.

    Args:
        app: the application.
        address: `host:port`; port 0 takes a free one.
    """

    def __init__(self, app: ASGIApp, address: str) -> None:
        self._address = address
        self._closing = threading.Event()
        self.listening = threading.Event()
        """Set once browsers can connect."""
        self.port = split_address(address)[1]
        """Where it listens."""
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                loop="asyncio",
                ws="websockets-sansio",
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                limit_concurrency=100,
                ws_max_size=4096,
                ws_per_message_deflate=False,  # pictures are packed already
                timeout_graceful_shutdown=_STOP_S,
            )
        )
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Begin to listen; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Say goodbye to everybody; returns when the address is free again."""
        self._closing.set()
        self._server.should_exit = True
        self._thread.join(_STOP_S + 3.0)

    def _run(self) -> None:
        listener = when_free(self._listen, f"web.listen {self._address}", self._closing)
        if listener is None:
            return
        with contextlib.closing(listener):
            self.port = listener.getsockname()[1]
            self.listening.set()
            host = split_address(self._address)[0]
            log.info("live page: http://%s:%d/", f"[{host}]" if ":" in host else host, self.port)
            try:
                self._server.run(sockets=[listener])
            except Exception:  # a fault of ours in the page must not end the cameras
                log.exception("live page: it has ended; the cameras go on")

    def _listen(self) -> socket.socket:
        """Take the address; one of all IPv6 addresses is one of all IPv4 addresses too.

        Raises:
            OSError: it cannot be had.
        """
        host, port = split_address(self._address)
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        both = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(address[:2], family=family, backlog=64, dualstack_ipv6=both)
