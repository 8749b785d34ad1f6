"""One file over HTTP onto the disk: resumed where it was cut, whole or not there at all.

Proxies come from the environment (`https_proxy`, `http_proxy`, `no_proxy`). Only the standard library is
used, so that a device needs nothing more for it.

Source: RFC 9110, 13.1.5 (If-Range) and 14 (Range, Content-Range).
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from agent.errors import ConfigError, EdgetrackError, StorageError
from agent.version import __version__
from models.registry.address import check_url, is_loopback
from models.registry.begun import discard, forget, read_begun, write_begun

_CHUNK = 64 * 1024
_SLOWEST_BYTES = 1024  # in the time of one timeout; a server that sends less counts as silent
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})

OnBytes = Callable[[int, int | None], None]
"""Told (bytes on the disk, bytes in all or None)."""


class DownloadError(EdgetrackError):
    """A server that cannot be reached, refuses, or sends something else (EX_UNAVAILABLE)."""

    exit_code = 69


class _CutError(Exception):
    """The transfer ended early; what arrived is kept and another try may go on from there."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to bear with a server.

    Args:
        timeout_s: without an answer, or with less than a KiB.
        waits_s: before the second, third … try.
    """

    timeout_s: float = 30.0
    waits_s: Sequence[float] = (1.0, 3.0, 9.0)


def download(
    url: str,
    part: Path,
    max_bytes: int,
    on_bytes: OnBytes | None = None,
    patience: Patience | None = None,
) -> str:
    """Fetch a file to `part`, going on from what lies there of the same version.

    Args:
        url: see `check_url`; redirects are held to the same.
        part: where the bytes go. `part` + ".json" beside it remembers the version while it is incomplete.
        max_bytes: what the file may have.

    Returns:
        The SHA-256 of the whole file, hexadecimal.

    Raises:
        ConfigError: the URL, or one it redirects to, is not allowed.
        DownloadError: the server cannot be reached or does not send the file; what arrived is kept.
        StorageError: the disk is full or cannot be written; what arrived is kept.
    """
    check_url(url)
    patience = patience or Patience()
    try:
        with part.open("ab+") as file:
            _lock(file, part)
            try:
                _fetch_whole(url, file, part, max_bytes, on_bytes or (lambda *_: None), patience)
            finally:
                # Only who holds the lock may: to others, a file that waits for its first byte is empty too.
                if not os.fstat(file.fileno()).st_size:
                    discard(part)
            os.fsync(file.fileno())
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            forget(part)
    except OSError as error:
        raise StorageError(
            str(part),
            f"expected to write it, got {error.strerror or error}",
            "make room or give another folder",
        ) from error
    return digest


def _fetch_whole(
    url: str, file: IO[bytes], part: Path, max_bytes: int, on_bytes: OnBytes, patience: Patience
) -> None:
    for wait_s in (*patience.waits_s, None):
        try:
            _fetch(url, file, part, max_bytes, on_bytes, patience.timeout_s)
            break
        except _CutError as cut:
            if wait_s is None:
                kept = f"{file.seek(0, os.SEEK_END):,} bytes are kept, pull again to go on"
                raise DownloadError(url, f"expected the whole file, got {cut}", kept) from cut
            time.sleep(wait_s)
    file.flush()


def _lock(file: IO[bytes], part: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StorageError(str(part), "expected to be alone, got another pull that writes it") from error
    if not part.exists() or not os.path.samestat(os.fstat(file.fileno()), part.stat()):
        raise StorageError(
            str(part), "expected to be alone, got another pull that ended just now", "pull again"
        )


def _fetch(
    url: str, file: IO[bytes], part: Path, max_bytes: int, on_bytes: OnBytes, timeout_s: float
) -> None:
    """One request: everything, or what is missing of the version that lies there.

    Raises:
        _CutError: worth another try.
    """
    have = file.seek(0, os.SEEK_END)
    begun = read_begun(part, url) if have else None
    headers = {"User-Agent": f"edgetrack/{__version__}", "Accept-Encoding": "identity"}
    if begun:
        headers |= {"Range": f"bytes={have}-", "If-Range": begun.version}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - check_url has seen it
    try:
        answer = _opener(url).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            file.truncate(0)
            raise _CutError("a file that changed meanwhile") from error
        if error.code in _TRANSIENT:
            raise _CutError(f"{error.code} {error.reason}") from error
        advice = "the file may have moved: see its origin" if error.code in (404, 410) else ""
        raise DownloadError(url, f"expected the file, got {error.code} {error.reason}", advice) from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _CutError(_reason(error)) from error
    with answer:
        start, total = _span(answer, have if begun else 0)
        if answer.status == 206 and begun and not begun.fits(answer.headers, total):
            file.truncate(0)
            raise _CutError("a part of another version than the one begun")
        if start != have:
            file.truncate(start)
        if total is None and not answer.chunked:
            # Nothing would tell a cut file from a whole one.
            raise DownloadError(
                url, "expected a server that tells the file's size, got none", "see its origin"
            )
        if total is not None:
            _check_room(url, part, total, start, max_bytes)
        write_begun(part, url, answer.headers, total)
        _copy(answer, file, start, total, max_bytes, url, on_bytes, timeout_s)


def _copy(
    answer: Any,
    file: IO[bytes],
    start: int,
    total: int | None,
    max_bytes: int,
    url: str,
    on_bytes: OnBytes,
    timeout_s: float,
) -> None:
    have, window_start, window_bytes = start, time.monotonic(), 0
    on_bytes(have, total)
    while True:
        try:
            chunk = answer.read1(_CHUNK)
        except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise _CutError(_reason(error)) from error
        if not chunk:
            break
        have += len(chunk)
        window_bytes += len(chunk)
        if have > max_bytes:
            file.truncate(0)
            raise DownloadError(url, f"expected {max_bytes:,} bytes at most, got more", "see its origin")
        file.write(chunk)
        on_bytes(have, total)
        now = time.monotonic()
        if now - window_start > timeout_s:
            if window_bytes < _SLOWEST_BYTES:
                raise _CutError(f"{window_bytes} bytes in {timeout_s:g} s")
            window_start, window_bytes = now, 0
    file.flush()
    if total is not None and have != total:
        raise _CutError(f"{have:,} of {total:,} bytes")


def _span(answer: Any, asked: int) -> tuple[int, int | None]:
    """(first byte that comes, bytes of the whole file or None).

    Raises:
        _CutError: the answer is a part that was not asked for.
    """
    length = answer.headers.get("Content-Length")
    length = int(length) if length and length.isdigit() else None
    if answer.status != 206:
        return 0, length
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    if unit != "bytes" or span.partition("-")[0] != str(asked):
        raise _CutError(f"another part ({unit} {rest}) than the one asked for")
    return asked, int(total) if total.isdigit() else None


def _check_room(url: str, part: Path, total: int, start: int, max_bytes: int) -> None:
    if total > max_bytes:
        raise DownloadError(url, f"expected {max_bytes:,} bytes at most, got {total:,}", "see its origin")
    free = shutil.disk_usage(part.parent).free
    if free < total - start:
        raise StorageError(
            str(part),
            f"expected {total - start:,} bytes free, got {free:,}",
            "make room or give another folder",
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never to where the answer could be changed on the way."""

    def __init__(self, first: str) -> None:
        self._local = is_loopback(urlsplit(first).hostname or "")

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        check_url(newurl)
        if urlsplit(newurl).scheme == "http" and not self._local:
            raise ConfigError(newurl, "expected https://, got a redirect to http://", "see its origin")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS only: what `build_opener` adds for file:, ftp: and data: is left out."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(url),
    ):
        opener.add_handler(handler)
    return opener


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, http.client.IncompleteRead):
        return "a cut connection"
    return str(getattr(reason, "strerror", None) or reason or type(reason).__name__)
