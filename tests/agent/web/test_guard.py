"""Who gets in, from where, and with what; against a running agent."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from agent.config import make_section
from agent.errors import ConfigError
from agent.web.guard import Guard
from agent.web.password import Gate, page_password
from agent.web.settings import WebSettings
from tests.agent.web.conftest import RunningAgent

Start = Callable[..., RunningAgent]


def test_requests_of_other_sites_and_other_names_are_refused(start_agent: Start) -> None:
    agent = start_agent()
    state = agent.state()
    assert state["cameras"][0]["name"] == "front"
    assert agent.get("/api/state", Host="evil.example")[0] == 421
    assert agent.get("/api/state", Host="localhost:9000")[0] == 200
    assert agent.get("/api/state", Origin="http://evil.example")[0] == 403
    assert agent.get("/api/state", Sec_Fetch_Site="cross-site")[0] == 403
    draft = json.dumps({"place": "tripwire", "name": "x", "shape": {"points": [[0, 0], [1, 1]]}}).encode()
    path = "/api/cameras/front/try"
    assert agent.send("POST", path, draft)[0] == 403
    assert agent.send("POST", path, draft, X_Edgetrack_Token="0" * 64)[0] == 403
    token = {"X_Edgetrack_Token": state["token"]}
    assert agent.send("POST", path, draft, **token)[0] == 200
    assert agent.send("POST", path, draft, Origin="http://evil.example", **token)[0] == 403
    assert agent.send("POST", path, b"x" * 70_000, **token)[0] == 413
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{agent.port}/api/live", origin="http://evil.example")  # type: ignore[arg-type]


def test_nothing_leads_to_the_file_system_and_headers_are_strict(start_agent: Start) -> None:
    agent = start_agent(web="  password: correct horse\n")
    for path in ("/static/../edgetrack.yaml", "/static/%2e%2e%2fpage.py", "/static//etc/passwd", "/static/"):
        assert agent.get(path)[0] in (404, 401), path
    assert agent.get("/")[2]["location"] == "/login"
    for path in ("/api/state", "/api/incidents/x/picture", "/api/cameras/front/paths", "/metrics"):
        assert agent.get(path)[0] == 401, path
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{agent.port}/api/live")
    status, content, headers = agent.get("/api/state", Authorization="Bearer correct horse")
    assert status == 200
    assert b"correct horse" not in content and b"/video" not in content
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for _ in range(12):
        assert agent.get("/api/state", Authorization="Bearer wrong")[0] == 401
    assert agent.get("/api/state", Authorization="Bearer correct horse")[0] == 401, (
        "guessing was not slowed down"
    )
    assert "correct horse" not in agent.log.read_text()


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "192.168.1.5:80", "[::]:8080"])
def test_address_that_others_reach_needs_a_password(
    listen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not {"EDGETRACK_WEB_PASSWORD", "CREDENTIALS_DIRECTORY"} & set(os.environ)
    with pytest.raises(ConfigError, match=r"web\.listen: expected a password"):
        page_password(make_section(WebSettings, {"listen": listen}))
    (tmp_path / "edgetrack-web-password").write_text("from systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert page_password(make_section(WebSettings, {"listen": listen})) == "from systemd"
    monkeypatch.setenv("EDGETRACK_WEB_PASSWORD", "short")
    with pytest.raises(ConfigError, match="8 characters or more, got 5"):
        page_password(make_section(WebSettings, {"listen": listen}))


@pytest.mark.parametrize("listen", ["nowhere", "1.2.3.4", "http://x:1", "a:b", "user@host:1", "h:99999"])
def test_listen_that_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match="--listen: expected host:port"):
        make_section(WebSettings, {"listen": listen})


def test_bare_port_means_the_loopback() -> None:
    assert make_section(WebSettings, {"listen": 8080}).listen == "127.0.0.1:8080"
    assert page_password(make_section(WebSettings, {"listen": 8080})) is None


def test_session_is_good_for_its_password_only_and_cannot_be_made_up() -> None:
    gate = Gate("correct horse", "porch")
    session = gate.new_session()
    assert gate.admits(session)
    assert not Gate("another one", "porch").admits(session)
    until, _, signature = session.partition(".")
    assert not gate.admits(f"{int(until) + 1}.{signature}")
    assert not gate.admits("") and not gate.admits("9999999999.") and not gate.admits("x.y")


def test_agents_of_one_host_do_not_log_each_other_out(start_agent: Start) -> None:
    agent = start_agent(web="  password: correct horse\n")
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    status, _, headers = agent.send("POST", "/login", b"password=correct+horse", **form)
    session = headers["set-cookie"].split(";")[0]
    assert (status, session.split("=")[0]) == (303, "edgetrack_session_porch")
    other = f"{Gate('x', 'yard').cookie}={Gate('x', 'yard').new_session()}"
    assert agent.get("/api/state", Cookie=f"{session}; {other}")[0] == 200
    assert agent.get("/api/state", Cookie=other)[0] == 401


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_password_of_other_letters_is_taken_in_whatever_encoding_it_is_sent(encoding: str) -> None:
    sent = []
    guard = Guard(_answer, Gate("schöne grüße à", "porch"), ())
    headers = [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer " + "schöne grüße à".encode(encoding))]
    scope = {"type": "http", "method": "GET", "path": "/api/state", "headers": headers, "client": ("::1", 1)}

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == 204


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    await Response(status_code=204)(scope, receive, send)


def test_content_that_is_no_json_is_refused_in_one_line(start_agent: Start) -> None:
    agent = start_agent()
    token = {"X_Edgetrack_Token": agent.state()["token"]}
    deep = b'{"place": "zone", "name": "x", "shape": {"points": ' + b"[" * 900 + b"]" * 900 + b"}}"
    cases = [(b"{", "expected JSON"), (b"[" * 30_000, "of at most"), (b"\xff", "expected JSON")]
    for content, words in [*cases, (deep, "of at most"), (b"9" * 5000, "expected JSON")]:
        for path in ("/api/cameras/front/try", "/api/cameras/front/save", "/api/cameras/front/remove"):
            status, answer, _ = agent.send("POST", path, content, **token)
            assert (status, words in answer.decode()) == (422, True), (path, content[:10], answer[:200])
    assert agent.send("POST", "/api/undo", b"", **token)[0] == 422
    too_long = iter([b"x" * 60_000] * 2)
    assert agent.send("POST", "/api/undo", too_long, **token)[0] == 413  # type: ignore[arg-type]
    assert "Traceback" not in agent.log.read_text()
