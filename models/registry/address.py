"""Which addresses a model may be fetched from: https everywhere, http only on this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from agent.errors import ConfigError


def check_url(url: str) -> None:
    """Refuse an address whose answer somebody on the way could change.

    Raises:
        ConfigError: it is neither https nor http to the loopback, or names no host or file.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise ConfigError(url, f"expected an https:// URL, got {error}") from error
    if not host or parts.path in ("", "/"):
        raise ConfigError(url, "expected an https:// URL of a file, got none")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ConfigError(
            url,
            f"expected https:// (http:// only to this machine), got {parts.scheme}://",
            "ask for the https address",
        )


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
