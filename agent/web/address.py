"""Where a server of ours listens: `host:port`."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

LOOPBACK = "127.0.0.1"


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; an IPv6 address stands in brackets.

    Raises:
        ValueError: it is none.
    """
    wanted = f"expected host:port, such as {LOOPBACK}:8080"
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{wanted}, got {address!r} ({error})") from error
    if not host or port is None or parts.netloc != address or parts.username is not None:
        raise ValueError(f"{wanted}, got {address!r}")
    return host, port


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _from_port(value: Any) -> Any:
    """A bare port is one of the loopback."""
    bare = isinstance(value, int) and not isinstance(value, bool)
    return f"{LOOPBACK}:{value}" if bare else value


def _checked(address: str) -> str:
    split_address(address)
    return address


Address = Annotated[str, BeforeValidator(_from_port), AfterValidator(_checked)]
"""`host:port`; a bare port means the loopback."""
