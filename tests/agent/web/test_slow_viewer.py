"""A page that asks for pictures and never reads them: the camera and other pages go on."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable

from websockets.sync.client import ClientConnection, connect

from tests.agent.web.conftest import LONG_S, RunningAgent
from tests.conftest import wait_until

Start = Callable[..., RunningAgent]
_STUCK = 4
_SECONDS = 4.0
_MEASUREMENTS = 5
"""At most: a machine that stands still slows one of them, viewers that hold the others up slow all."""


def frames_in(page: ClientConnection, agent: RunningAgent, seconds: float) -> tuple[int, float]:
    """(pictures that the page got, frames/s of the camera in a measurement begun meanwhile)."""
    end_s, pictures = time.monotonic() + seconds, 0
    before = len(agent.state()["figures"])
    while time.monotonic() < end_s or len(agent.state()["figures"]) < before + 3:
        message = page.recv(timeout=LONG_S)
        if isinstance(message, bytes):
            pictures += 1
            page.send(json.dumps({"shown": "front"}))
    return pictures, agent.state()["figures"][-1]["cameras"]["front"]["fps"]


def stuck_viewer(agent: RunningAgent) -> tuple[ClientConnection, socket.socket]:
    """One that says it has shown pictures that it never took off the wire, from a small buffer."""
    wire = socket.create_connection(("127.0.0.1", agent.port))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    page = connect(f"ws://127.0.0.1:{agent.port}/api/live", sock=wire, max_queue=1)
    page.send(json.dumps({"watch": ["front"]}))
    return page, wire


def test_viewers_that_do_not_read_slow_neither_the_camera_nor_another_page(start_agent: Start) -> None:
    agent = start_agent()
    with connect(f"ws://127.0.0.1:{agent.port}/api/live", max_size=None) as page:
        page.send(json.dumps({"watch": ["front"]}))
        wait_until(lambda: isinstance(page.recv(timeout=LONG_S), bytes), LONG_S, "a picture")
        page.send(json.dumps({"shown": "front"}))
        pictures, fps = frames_in(page, agent, _SECONDS)
        stuck = [stuck_viewer(agent)[0] for _ in range(_STUCK)]
        for viewer in stuck:
            for _ in range(50):
                viewer.send(json.dumps({"shown": "front"}))
        for _ in range(_MEASUREMENTS):
            pictures_beside, fps_beside = frames_in(page, agent, _SECONDS)
            if pictures_beside > 0.4 * pictures and fps_beside > 0.7 * fps:
                break
        assert pictures > 5
        assert pictures_beside > 0.4 * pictures
        assert fps_beside > 0.7 * fps
        assert agent.process.poll() is None
        for viewer in stuck:
            viewer.socket.close()
