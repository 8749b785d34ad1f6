"""What every request passes: the name it was sent to, where it comes from, who sends it, how large it is.

Sources: OWASP Cross-Site Request Forgery Prevention (origin check and custom header), W3C Content Security
Policy 3, Fetch Metadata. The check of names stops DNS rebinding: a page of another site that makes its own
name mean this machine still sends its own name.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from agent.web.password import Gate, page_token

TOKEN_HEADER = "x-edgetrack-token"  # noqa: S105 - a header's name
MAX_BODY_BYTES = 64 * 1024
_OPEN_PATHS = ("/login", "/static/")
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a form would say that it comes from nowhere
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Refuses what no page of ours would send, and who has no password.

    Args:
        app: what is guarded.
        gate: knows the password.
        hosts: further names by which the page is reached.
    """

    def __init__(self, app: ASGIApp, gate: Gate, hosts: Iterable[str]) -> None:
        self._app = app
        self._gate = gate
        own = socket.gethostname().lower()
        self._hosts = {"localhost", own, f"{own}.local", *(host.lower() for host in hosts)}
        self._proxied = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refusal = self._refuse(connection)
        if scope["type"] == "websocket":
            await (WebSocketClose(1008) if refusal else self._app)(scope, receive, send)
            return
        await (refusal or self._app)(scope, _limited(receive), _with_headers(send))

    def _refuse(self, connection: HTTPConnection) -> Response | None:
        headers, scope = connection.headers, connection.scope
        if not self._knows(headers.get("host", "")):
            problem = "expected a name of this machine in the address, got another; add it to web.hosts"
            return _refusal(421, problem)
        if not self._is_own(headers, scope):
            return _refusal(403, "expected a request of this page, got one of another site")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return _refusal(413, f"expected at most {MAX_BODY_BYTES} bytes, got {length[:20]}")
        path = scope["path"]
        if path.startswith(_OPEN_PATHS):
            return None
        if not self._admits(connection):
            if scope["type"] == "http" and path == "/":
                return RedirectResponse("/login", 303)
            return _refusal(
                401, "expected a session or the password as a bearer token, got none that is right"
            )
        changes = scope["type"] == "http" and scope["method"] not in ("GET", "HEAD")
        if changes and not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), page_token().encode()):
            return _refusal(
                403, f"expected the page's token in {TOKEN_HEADER}, got none; load the page again"
            )
        return None

    def _knows(self, host: str) -> bool:
        """Whether a Host header names this machine; an address does, it cannot be rebound."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_own(self, headers: Headers, scope: Scope) -> bool:
        """Whether a browser, where it is one, sends this for a page of ours."""
        origin = headers.get("origin")
        if origin is not None:
            try:
                parts = urlsplit(origin)
            except ValueError:
                return False
            same = parts.netloc.lower() == headers.get("host", "").lower()
            return same or (parts.hostname or "") in self._proxied
        if scope["path"] == "/" or scope["path"] == "/login":
            return True  # a link from elsewhere may lead here
        return headers.get("sec-fetch-site", "none") in ("same-origin", "none")

    def _admits(self, connection: HTTPConnection) -> bool:
        if self._gate.open:
            return True
        scheme, _, password = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._gate.matches(_as_sent(password.strip(" ")), address_of(connection))
        return self._gate.admits(connection.cookies.get(self._gate.cookie, ""))


def address_of(connection: HTTPConnection) -> str:
    """Of whom it comes from."""
    return connection.client.host if connection.client else ""


def _as_sent(text: str) -> str:
    """The text of a header that was read as Latin-1: most programs send UTF-8, some Latin-1 indeed."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        return text


def _refusal(status: int, problem: str) -> JSONResponse:
    return JSONResponse({"faults": [problem]}, status)


def _limited(receive: Receive) -> Receive:
    """Reads at most `MAX_BODY_BYTES`, also where no length was announced."""
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY_BYTES:
            return {"type": "http.disconnect"}
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return with_headers
