"""Downloads from a real HTTP server on the loopback that misbehaves as servers and networks do."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.errors import ConfigError, EdgetrackError, StorageError
from models.registry.address import check_url
from models.registry.download import DownloadError, Patience, download
from tests.conftest import free_port, wait_until
from tests.models.registry_site import Site, sites

CONTENT = os.urandom(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ONCE = Patience(timeout_s=60.0, waits_s=())
AGAIN = Patience(timeout_s=60.0, waits_s=(0.0, 0.0))
SILENCE_S = 4.0
"""More than a machine stands still, which is no silence of the server."""
LIMIT = 1_000_000


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    """Starts servers that hold CONTENT."""
    with sites() as start:
        yield lambda **behaviour: start(**{"content": CONTENT, **behaviour})


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "tiny.onnx.part"


def test_whole_file_arrives_with_its_hash_and_its_progress(serve: Callable[..., Site], part: Path) -> None:
    told: list[tuple[int, int | None]] = []
    assert download(serve().url, part, LIMIT, lambda have, total: told.append((have, total)), ONCE) == DIGEST
    assert part.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [have for have, _ in told] == sorted(have for have, _ in told)
    assert [path.name for path in part.parent.iterdir()] == [part.name]


def test_cut_connection_is_resumed_within_one_call(serve: Callable[..., Site], part: Path) -> None:
    site = serve(cut_after=[100_000, 50_000])
    assert download(site.url, part, LIMIT, patience=AGAIN) == DIGEST
    ranges = [headers.get("range") for _, headers in site.requests]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert site.requests[1][1]["if-range"] == '"v1"'


def test_cut_connection_is_resumed_by_the_next_call(serve: Callable[..., Site], part: Path) -> None:
    site = serve(cut_after=[100_000])
    with pytest.raises(DownloadError, match=r"100,000 of 300,000 bytes; 100,000 bytes are kept"):
        download(site.url, part, LIMIT, patience=ONCE)
    assert part.read_bytes() == CONTENT[:100_000]
    assert download(site.url, part, LIMIT, patience=ONCE) == DIGEST
    assert site.requests[-1][1]["range"] == "bytes=100000-"


def test_file_that_changed_meanwhile_is_fetched_from_its_start(
    serve: Callable[..., Site], part: Path
) -> None:
    site = serve(cut_after=[100_000])
    with pytest.raises(DownloadError):
        download(site.url, part, LIMIT, patience=ONCE)
    site.content, site.etag = CONTENT[::-1], '"v2"'
    assert download(site.url, part, LIMIT, patience=ONCE) == hashlib.sha256(CONTENT[::-1]).hexdigest()


DATES = ("Sat, 21 Nov 2026 10:00:00 GMT", "Sat, 21 Nov 2026 11:00:00 GMT")


@pytest.mark.parametrize(
    ("first", "then", "content"),
    [
        ({"etag": '"v1"'}, {"etag": '"v2"'}, CONTENT[::-1]),
        ({"etag": '"v1"'}, {"etag": ""}, CONTENT[::-1]),
        ({"etag": "", "modified": DATES[0]}, {"modified": DATES[1]}, CONTENT[::-1]),
        ({"etag": "", "modified": DATES[0]}, {"modified": ""}, CONTENT[::-1] + b"longer"),
    ],
    ids=["etag", "no-etag", "date", "size"],
)
def test_part_of_another_version_is_never_joined(
    serve: Callable[..., Site], part: Path, first: dict[str, str], then: dict[str, str], content: bytes
) -> None:
    """By a server that answers any Range, whatever If-Range says."""
    site = serve(cut_after=[100_000], ignores_if_range=True, **first)
    with pytest.raises(DownloadError):
        download(site.url, part, LIMIT, patience=ONCE)
    site.content = content
    for name, value in then.items():
        setattr(site, name, value)
    assert download(site.url, part, LIMIT, patience=AGAIN) == hashlib.sha256(content).hexdigest()
    assert [headers.get("range") for _, headers in site.requests] == [None, "bytes=100000-", None]


def test_part_of_the_same_date_is_joined(serve: Callable[..., Site], part: Path) -> None:
    site = serve(cut_after=[100_000], etag="", modified=DATES[0])
    assert download(site.url, part, LIMIT, patience=AGAIN) == DIGEST
    assert site.requests[-1][1]["range"] == "bytes=100000-"


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_nothing_is_resumed_where_the_version_is_not_sure(
    serve: Callable[..., Site], part: Path, etag: str
) -> None:
    site = serve(cut_after=[100_000], etag=etag)
    assert download(site.url, part, LIMIT, patience=AGAIN) == DIGEST
    assert [headers.get("range") for _, headers in site.requests] == [None, None]


def test_what_lies_there_of_another_address_is_not_gone_on_with(
    serve: Callable[..., Site], part: Path
) -> None:
    first, second = serve(cut_after=[100_000], content=CONTENT[::-1]), serve()
    with pytest.raises(DownloadError):
        download(first.url, part, LIMIT, patience=ONCE)
    assert download(second.url, part, LIMIT, patience=ONCE) == DIGEST


def test_busy_server_is_asked_again(serve: Callable[..., Site], part: Path) -> None:
    assert download(serve(statuses=[503, 429]).url, part, LIMIT, patience=AGAIN) == DIGEST


def test_missing_file_is_told_at_once(serve: Callable[..., Site], part: Path) -> None:
    site = serve(statuses=[404, 404, 404])
    with pytest.raises(DownloadError, match="expected the file, got 404 Not Found; the file may have moved"):
        download(site.url, part, LIMIT, patience=AGAIN)
    assert len(site.requests) == 1
    assert list(part.parent.iterdir()) == []


def test_silent_server_is_given_up(serve: Callable[..., Site], part: Path) -> None:
    site = serve(silent_after=2_000)
    with pytest.raises(DownloadError, match=r"got no answer in time; 2,000 bytes are kept"):
        download(site.url, part, LIMIT, patience=Patience(timeout_s=SILENCE_S, waits_s=()))


def test_trickle_counts_as_silence(part: Path) -> None:
    """A byte now and then keeps every socket timeout away, and would never end."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n")
                while not done.wait(0.02):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.onnx"
        with pytest.raises(DownloadError, match=r"got \d+ bytes in 4 s"):
            download(url, part, LIMIT, patience=Patience(timeout_s=SILENCE_S, waits_s=()))
        done.set()
        thread.join()


def test_refused_connection_is_told(part: Path) -> None:
    with socket.socket() as taken:  # bound, so that nobody else listens there
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x.onnx"
        with pytest.raises(DownloadError, match="Connection refused"):
            download(url, part, LIMIT, patience=ONCE)


@pytest.mark.parametrize("behaviour", [{}, {"chunked": True}])
def test_larger_file_than_the_registry_says_is_refused(
    serve: Callable[..., Site], part: Path, behaviour: dict[str, bool]
) -> None:
    with pytest.raises(DownloadError, match="expected 200,000 bytes at most"):
        download(serve(**behaviour).url, part, 200_000, patience=AGAIN)
    assert list(part.parent.iterdir()) == []


def test_answer_whose_end_nothing_tells_is_refused(serve: Callable[..., Site], part: Path) -> None:
    with pytest.raises(DownloadError, match="expected a server that tells the file's size"):
        download(serve(sizeless=True, cut_after=[1000]).url, part, LIMIT, patience=ONCE)


def test_chunked_answer_arrives_whole(serve: Callable[..., Site], part: Path) -> None:
    assert download(serve(chunked=True).url, part, LIMIT, patience=ONCE) == DIGEST


def test_redirect_on_this_machine_is_followed(serve: Callable[..., Site], part: Path) -> None:
    target = serve()
    assert download(serve(location=target.url).url, part, LIMIT, patience=ONCE) == DIGEST


def test_redirect_to_http_elsewhere_is_refused(serve: Callable[..., Site], part: Path) -> None:
    site = serve(location="http://models.example/tiny.onnx")
    with pytest.raises(ConfigError, match=r"models.example.*expected https://.*got http://"):
        download(site.url, part, LIMIT, patience=AGAIN)
    assert len(site.requests) == 1
    assert list(part.parent.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    ["http://models.example/a.onnx", "ftp://127.0.0.1/a.onnx", "file:///etc/passwd", "https://", "a.onnx"],
)
def test_address_that_could_be_read_or_changed_on_the_way_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        check_url(url)


def test_certificate_of_nobody_is_refused(serve: Callable[..., Site], part: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run(
        ["openssl", *request, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    site = serve(tls=tls)
    with pytest.raises(DownloadError, match=r"(?i)certificate.verify.failed"):
        download(site.url.replace("http://", "https://"), part, LIMIT, patience=ONCE)
    assert site.requests == []


def test_proxy_of_the_environment_is_used(
    serve: Callable[..., Site], part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    asked = f"http://127.0.0.1:{free_port()}/models/tiny.onnx"
    assert download(asked, part, LIMIT, patience=ONCE) == DIGEST
    assert proxy.requests[0][0] == asked


def test_refused_pull_leaves_the_first_ones_file(serve: Callable[..., Site], part: Path) -> None:
    """While the first waits for its first byte, its file is as empty as one that nothing came of."""
    site, digests = serve(silent_after=0), []

    def first() -> None:
        digests.append(download(site.url, part, LIMIT, patience=Patience(60.0, (0.0,))))

    waiting = threading.Thread(target=first)
    waiting.start()
    wait_until(lambda: part.exists() and len(site.requests) == 1, 60, "the first pull under way")
    with pytest.raises(StorageError, match="got another pull that writes it"):
        download(site.url, part, LIMIT, patience=ONCE)
    site.silent_after = None
    site.released.set()
    waiting.join()
    assert digests == [DIGEST]
    assert part.read_bytes() == CONTENT


def test_two_pulls_of_one_file_do_not_mix(serve: Callable[..., Site], part: Path) -> None:
    site = serve(silent_after=2_000)

    def first() -> None:
        with suppress(EdgetrackError):  # the server gives up at the end of this test
            download(site.url, part, LIMIT, patience=Patience(60.0, ()))

    waiting = threading.Thread(target=first)
    waiting.start()
    wait_until(lambda: part.exists() and len(site.requests) == 1, 60, "the first pull under way")
    with pytest.raises(StorageError, match="got another pull that writes it"):
        download(site.url, part, LIMIT, patience=ONCE)
    site.released.set()
    waiting.join()


@pytest.mark.parametrize(
    ("behaviour", "told"), [({}, "bytes free, got"), ({"chunked": True}, "No space left on device")]
)
def test_full_disk_is_told_and_leaves_no_file(
    serve: Callable[..., Site], tmp_path: Path, behaviour: dict[str, bool], told: str
) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root, to mount a small disk")
    code = (
        "import sys; from pathlib import Path; from models.registry.download import *\n"
        "try:\n    download(sys.argv[1], Path(sys.argv[2]), 10**6, patience=Patience(60, ()))\n"
        "except EdgetrackError as error:\n    print(type(error).__name__, error)\n"
        "print(sorted(p.name for p in Path(sys.argv[2]).parent.iterdir()))"
    )
    script = f'mount -t tmpfs -o size=128k tmpfs "{tmp_path}" && exec "$@"'
    alone = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    result = subprocess.run(
        [*alone, sys.executable, "-c", code, serve(**behaviour).url, str(tmp_path / "tiny.onnx.part")],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    first, left = result.stdout.splitlines()
    assert first.startswith("StorageError")
    assert told in first
    assert "'tiny.onnx'" not in left
