"""An agent with its page, a camera that plays a video, and a browser."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import pytest
from websockets.sync.client import connect

from tests.conftest import ROOT, free_port, wait_until

LONG_S = 120.0
"""For what takes a moment, however slow the machine."""
CLIP = ROOT / "agent" / "demo" / "street.mp4"


class PlayingCamera:
    """An IP camera: Motion JPEG over HTTP of a video, again and again, at its own pace."""

    def __init__(self, video: Path, fps: float = 15.0) -> None:
        capture = cv2.VideoCapture(str(video))
        pictures = []
        while (read := capture.read())[0]:
            pictures.append(cv2.imencode(".jpg", read[1])[1].tobytes())
        capture.release()
        stop = self._stop = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                due_s = time.monotonic()
                for jpeg in itertools.cycle(pictures):
                    due_s += 1 / fps
                    if stop.wait(max(0.0, due_s - time.monotonic())):
                        return
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + jpeg + b"\r\n")
                    except OSError:
                        return

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/video"

    def close(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def camera() -> Iterator[PlayingCamera]:
    playing = PlayingCamera(CLIP)
    yield playing
    playing.close()


class RunningAgent:
    """`edgetrack-agent run`, its page on a free loopback port.

    Args:
        folder: for the configuration and the outbox.
        camera: URL of its only camera.
        web: further lines below `web:`.
        more: further lines of the file.
        outbox: where it is.
        within: a command that runs the agent's.
    """

    def __init__(
        self,
        folder: Path,
        camera: str,
        web: str = "",
        more: str = "",
        outbox: str = "outbox.sqlite",
        within: tuple[str, ...] = (),
    ) -> None:
        self.port = free_port()
        self.config = folder / "edgetrack.yaml"
        self.config.write_text(
            f"""# A porch.
device: porch
broker: {{url: "mqtt://127.0.0.1:1"}}
outbox: {{path: {outbox}}}
web:
  listen: 127.0.0.1:{self.port}
{web}{more}cameras:
  front:  # the street
    source: {camera}
    frozen_after_s: 0
    detector: {{kind: motion}}
    zones:
      # where cars stand
      drive: {{points: [[0.364, 0.874], [0.675, 0.755], [0.879, 1.0], [0.437, 1.0]]}}
    rules:
      - {{kind: zone, zone: drive, when: [inside], snapshot: true}}  # keep this
"""
        )
        self.log = folder / "agent.log"
        self._command = [*within, sys.executable, "-m", "agent.cli", "run", "--quiet", str(self.config)]
        self.process = self._start()
        self.url = f"http://127.0.0.1:{self.port}"

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log)

    def restart(self) -> None:
        """End it and start it anew, at the same port; its page may take a while to answer."""
        self.close()
        self.process = self._start()

    def get(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, content and headers of an answer; redirects are not followed."""
        return self.send("GET", path, None, **headers)

    def send(
        self, method: str, path: str, content: bytes | None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_S)
        try:
            connection.connect()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it answers before it has all
                connection.request(
                    method, path, content, {k.replace("_", "-"): v for k, v in headers.items()}
                )
            answer = connection.getresponse()
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.get("/login")[0] == 200
        except (OSError, http.client.HTTPException):
            assert self.process.poll() is None, self.log.read_text()
            return False

    def state(self, **headers: str) -> Any:
        return json.loads(self.get("/api/state", **headers)[1])

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(LONG_S)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def start_agent(tmp_path: Path, camera: PlayingCamera) -> Iterator[Callable[..., RunningAgent]]:
    """Start an agent and wait until its page answers."""
    agents: list[RunningAgent] = []

    def start(**options: Any) -> RunningAgent:
        agents.append(RunningAgent(tmp_path, camera.url, **options))
        wait_until(agents[-1].answers, LONG_S, "the page's answer")
        return agents[-1]

    yield start
    for agent in agents:
        agent.close()


class Browser:
    """A headless Chromium, spoken to by the DevTools protocol."""

    def __init__(self, binary: str, folder: Path) -> None:
        command = [
            binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--disable-background-networking", "--no-first-run", "--hide-scrollbars",
            "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._numbers = itertools.count(1)
        self.problems: list[str] = []
        """What the page logged as an error or threw."""

        def targets() -> list[dict[str, Any]]:
            try:
                port = int((folder / "DevToolsActivePort").read_text().split()[0])
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=LONG_S) as answer:
                    pages: list[dict[str, Any]] = json.loads(answer.read())
                    return [page for page in pages if page["type"] == "page"]
            except (OSError, IndexError):  # not yet, or half written
                return []

        wait_until(lambda: bool(targets()), LONG_S, "Chromium")
        self._socket = connect(
            targets()[0]["webSocketDebuggerUrl"],
            max_size=None,
            compression=None,
            open_timeout=LONG_S,
            ping_interval=None,
        )
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=LONG_S))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(message["params"]["exceptionDetails"]))
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.problems.append(str(message["params"]["entry"]))

    def look(self, *, width: int = 1280, height: int = 800, scheme: str = "dark", scale: float = 1) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout_s: float = LONG_S) -> None:
        """Wait until a JavaScript expression is true; pages may come and go meanwhile."""

        def holds() -> bool:
            try:
                return bool(self.ask(f"Boolean({expression})"))
            except AssertionError:
                return False

        wait_until(holds, timeout_s, expression)

    def click(self, x: float, y: float) -> None:
        """Press and release the mouse at a place of the view, in px."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button="none" if kind == "mouseMoved" else "left",
                clickCount=0 if kind == "mouseMoved" else 1,
            )

    def touch(self, *places: tuple[float, float]) -> None:
        """Put a finger on the first place of the view, in px, move it to the others and lift it."""
        for kind, place in (("touchStart", places[0]), *(("touchMove", place) for place in places[1:])):
            points = [{"x": place[0], "y": place[1]}]
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press and release a key by its name."""
        text = {"Enter": "\r"}.get(key)
        codes = {"Enter": 13, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
                 "Backspace": 8, "Delete": 46, "Escape": 27}  # fmt: skip
        known = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key], "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **known, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def picture(self) -> bytes:
        """A PNG of the view."""
        import base64

        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        self._socket.close()
        self.process.terminate()
        try:
            self.process.wait(LONG_S)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    chromium = Browser(binary, tmp_path_factory.mktemp("chromium"))
    yield chromium
    chromium.close()
