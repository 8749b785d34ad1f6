"""A real HTTP server on the loopback that misbehaves as servers and networks do."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What a server holds and how it behaves."""

    port: int = 0
    content: bytes = b""
    etag: str = '"v1"'
    modified: str = ""
    ignores_if_range: bool = False
    """Sends the part that is asked for, of whatever version it holds."""
    cut_after: list[int] = field(default_factory=list)
    """For each answer to come: close the connection after so many bytes of the body."""
    statuses: list[int] = field(default_factory=list)
    """For each answer to come: this status instead of the file."""
    location: str = ""
    chunked: bool = False
    sizeless: bool = False
    silent_after: int | None = None
    released: threading.Event = field(default_factory=threading.Event)
    """Set at the end of a test: silent answers give up."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/models/tiny.onnx"


def handler_of(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            site.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
            if site.location:
                self._head(302, {"Location": site.location, "Content-Length": "0"})
                return
            if site.statuses:
                self._head(site.statuses.pop(0), {"Content-Length": "0"})
                return
            start = 0
            asked = self.headers.get("Range")
            version = self.headers.get("If-Range")
            if asked and (site.ignores_if_range or version in (site.etag or None, site.modified or None)):
                start = int(asked.removeprefix("bytes=").rstrip("-"))
            self._send(start)

        def _send(self, start: int) -> None:
            body, total = site.content[start:], len(site.content)
            headers = {"ETag": site.etag} if site.etag else {}
            if site.modified:
                headers["Last-Modified"] = site.modified
            if start:
                headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
            if site.chunked:
                headers["Transfer-Encoding"] = "chunked"
            elif site.sizeless:
                headers["Connection"] = "close"
            else:
                headers["Content-Length"] = str(len(body))
            self._head(206 if start else 200, headers)
            cut = site.cut_after.pop(0) if site.cut_after else None
            if site.silent_after is not None:
                self.wfile.write(body[: site.silent_after])
                site.released.wait(120)
                cut = 0
                body = b""
            sent = body if cut is None else body[:cut]
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(sent), sent) if site.chunked else sent)
            if cut is not None or site.sizeless:
                self.close_connection = True

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()

    return Handler


@contextmanager
def sites() -> Iterator[Callable[..., Site]]:
    """Starts servers, each with the behaviour given as fields of `Site`; all end with the context."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread, Site]] = []

    def start(tls: ssl.SSLContext | None = None, **behaviour: object) -> Site:
        site = Site(**behaviour)  # type: ignore[arg-type]
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(site))
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread, site))
        return site

    try:
        yield start
    finally:
        for server, thread, site in running:
            site.released.set()
            server.shutdown()
            server.server_close()
            thread.join()
