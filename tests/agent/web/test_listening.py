"""Where the page's server listens."""

from __future__ import annotations

import contextlib
import socket

import pytest
from starlette.applications import Starlette

from agent.web.server import PageServer
from tests.conftest import wait_until


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return socket.has_dualstack_ipv6()
    return False


@pytest.mark.skipif(not _has_ipv6(), reason="needs IPv6")
def test_all_ipv6_addresses_are_all_ipv4_addresses_too() -> None:
    server = PageServer(Starlette(), "[::]:0")
    with contextlib.closing(server):
        server.start()
        wait_until(server.listening.is_set, 60)
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, server.port), 60).close()
