"""Who may see the page: its password, and the sessions of browsers that gave it."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from functools import cache

from agent.alerts.credentials import find_password
from agent.errors import ConfigError
from agent.web.address import is_loopback, split_address
from agent.web.settings import WebSettings

ENVIRONMENT = "EDGETRACK_WEB_PASSWORD"
CREDENTIAL = "edgetrack-web-password"
SESSION_S = 30 * 86400
_MIN_LENGTH = 8
_FAILURES, _FAILURES_S = 10, 60.0
_ADDRESSES = 256


def page_password(settings: WebSettings) -> str | None:
    """The page's password; None where it needs none, being for this machine only.

    Raises:
        ConfigError: others reach the page and there is none, it is too short, or it cannot be read.
    """
    password = find_password(
        "web", ENVIRONMENT, CREDENTIAL, password_file=settings.password_file, password=settings.password
    )
    if settings.listen is None:
        return password
    if password is None:
        host, _ = split_address(settings.listen)
        if is_loopback(host):
            return None
        raise ConfigError(
            "web.listen",
            f"expected a password for an address that others reach, got {settings.listen} without one",
            f"set web.password_file, {ENVIRONMENT} or the systemd credential {CREDENTIAL}",
        )
    if len(password) < _MIN_LENGTH:
        raise ConfigError(
            "web.password",
            f"expected {_MIN_LENGTH} characters or more, got {len(password)}",
            "choose a longer one",
        )
    return password


@cache
def _process_key() -> bytes:
    """Signs what this process gives out: it outlives a reload, not a restart."""
    return secrets.token_bytes(32)


def page_token() -> str:
    """What the page's own scripts send along with changes; other sites cannot read it."""
    return hmac.digest(_process_key(), b"page token", "sha256").hex()


class Gate:
    """Checks passwords and sessions in constant time, and slows down who guesses.

    Args:
        password: None lets everybody in.
        device: whose page it is.
    """

    def __init__(self, password: str | None, device: str) -> None:
        self._password = password
        self.cookie = f"edgetrack_session_{device}"
        """Name of a session's cookie; browsers send those of one port of a machine to its other ports too."""
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def open(self) -> bool:
        """Whether no password is asked for."""
        return self._password is None

    def matches(self, password: str, address: str) -> bool:
        """Whether it is the password; never, for an address that has failed too often in the last minute."""
        failures, since_s = self._failures.get(address, (0, 0.0))
        now_s = time.monotonic()
        if now_s - since_s > _FAILURES_S:
            failures, since_s = 0, now_s
        if failures >= _FAILURES or self._password is None:
            return False
        if hmac.compare_digest(password.encode(), self._password.encode()):
            self._failures.pop(address, None)
            return True
        self._failures[address] = (failures + 1, since_s)
        while len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)
        return False

    def new_session(self) -> str:
        """What a browser's cookie holds once the password was right."""
        until = str(int(time.time()) + SESSION_S)
        return f"{until}.{self._sign(until)}"

    def admits(self, session: str) -> bool:
        """Whether a cookie is one of ours, for the password of now, and not expired."""
        until, _, signature = session.partition(".")
        known = hmac.compare_digest(signature.encode(), self._sign(until).encode())
        return known and until.isdecimal() and int(until) > time.time()

    def _sign(self, text: str) -> str:
        key = hmac.digest(_process_key(), (self._password or "").encode(), "sha256")
        return hmac.digest(key, b"session " + text.encode(errors="replace"), "sha256").hex()
