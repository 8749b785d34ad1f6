"""Pictures, incidents and figures on their way to those who look, each at a pace of its own."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from agent.web.camera_view import CameraView
from agent.web.memory import PageMemory

MAX_VIEWERS = 16
_NEWS_S = 0.2
_FIGURES_S = 3.0
_IN_FLIGHT = 2
"""Pictures of a camera on their way to a viewer: it says of each when it is shown, so that a slow network
holds no queue of old ones."""
_MAX_TEXTS = 500


class Viewer:
    """One open page.

    Args:
        socket: accepted.
        cameras: names that it may ask for.
    """

    def __init__(self, socket: WebSocket, cameras: Mapping[str, CameraView]) -> None:
        self._socket = socket
        self._cameras = cameras
        self._texts: deque[str] = deque(maxlen=_MAX_TEXTS)
        self._pictures: dict[str, bytes] = {}
        self._under_way: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self.watches: frozenset[str] = frozenset()
        """Cameras whose pictures it wants."""

    def takes(self, camera: str) -> bool:
        """Whether it is ready for another picture of a camera."""
        return camera in self.watches and self._under_way[camera] < _IN_FLIGHT

    def tell(self, content: Mapping[str, Any]) -> None:
        """Send a message when there is time."""
        self._texts.append(json.dumps(content, separators=(",", ":")))
        self._wake.set()

    def show(self, camera: str, picture: bytes) -> None:
        """Send a picture when there is time; a newer one takes its place until then."""
        self._pictures[camera] = picture
        self._wake.set()

    async def receive(self, on_watch: Callable[[], None]) -> None:
        """Take what the page asks for, until it goes."""
        while True:
            message = json.loads(await self._socket.receive_text())
            if not isinstance(message, dict):
                raise TypeError("message: expected a JSON object")
            watch, shown = message.get("watch"), message.get("shown")
            if isinstance(watch, list):
                self.watches = frozenset(name for name in watch if name in self._cameras)
                on_watch()
            if isinstance(shown, str) and self._under_way[shown] > 0:
                self._under_way[shown] -= 1

    async def send(self) -> None:
        """Send what there is, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._texts:
                await self._socket.send_text(self._texts.popleft())
            while self._pictures:
                camera, picture = self._pictures.popitem()
                self._under_way[camera] += 1
                await self._socket.send_bytes(picture)


class LiveFeed:
    """All open pages and what they are sent; lives in the server's event loop.

    Nothing is made while nobody looks. A picture is made once for all viewers, in a thread of its own.

    Args:
        views: of all cameras.
        memory: whose incidents are told.
        figures: measures health; JSON types.
        max_fps: of a camera's pictures.
    """

    def __init__(
        self,
        views: Mapping[str, CameraView],
        memory: PageMemory,
        figures: Callable[[], Mapping[str, Any]],
        max_fps: float,
    ) -> None:
        self._views = views
        self._memory = memory
        self._figures = figures
        self._period_s = 1.0 / max_fps
        self._viewers: set[Viewer] = set()
        self._films: dict[str, asyncio.Task[None]] = {}
        self._painter = ThreadPoolExecutor(1, "web-pictures")

    async def serve(self, socket: WebSocket) -> None:
        """Serve one page until it goes."""
        await socket.accept()
        if len(self._viewers) >= MAX_VIEWERS:
            await socket.close(1013, "too many viewers")
            return
        viewer = Viewer(socket, self._views)
        self._viewers.add(viewer)
        incidents = self._memory.incidents
        told = incidents.number
        viewer.tell({"incidents": [incident.as_json() for incident in incidents.since(0)]})
        tasks = [
            asyncio.create_task(viewer.receive(self._update_films)),
            asyncio.create_task(viewer.send()),
            asyncio.create_task(self._tell_news(viewer, told)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                failure = task.exception()
                if failure is not None and not isinstance(failure, (WebSocketDisconnect, RuntimeError)):
                    await socket.close(1003, "expected JSON messages of the page")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._viewers.discard(viewer)
            self._update_films()

    async def collect_figures(self) -> None:
        """Measure health for the plots, until cancelled."""
        while True:
            figures = await asyncio.to_thread(self._figures)
            self._memory.figures.append(figures)
            for viewer in self._viewers:
                viewer.tell({"figures": figures})
            await asyncio.sleep(_FIGURES_S)

    async def close(self) -> None:
        """End all pictures."""
        films = list(self._films.values())
        for film in films:
            film.cancel()
        await asyncio.gather(*films, return_exceptions=True)
        self._painter.shutdown(wait=False, cancel_futures=True)

    async def _tell_news(self, viewer: Viewer, told: int) -> None:
        """Tell of new incidents; asking five times a second spares the cameras' threads a wake-up call."""
        incidents = self._memory.incidents
        while True:
            await asyncio.sleep(_NEWS_S)
            if incidents.number > told:
                news = incidents.since(told)
                told = max((incident.number for incident in news), default=told)
                viewer.tell({"incidents": [incident.as_json() for incident in news]})

    def _update_films(self) -> None:
        """Begin and end the making of pictures as viewers come and go."""
        wanted = frozenset().union(*(viewer.watches for viewer in self._viewers))
        for name, view in self._views.items():
            view.watched = name in wanted
            if view.watched and name not in self._films:
                self._films[name] = asyncio.create_task(self._film(view))
            elif not view.watched:
                view.latest = None
                if film := self._films.pop(name, None):
                    film.cancel()

    async def _film(self, view: CameraView) -> None:
        loop = asyncio.get_running_loop()
        due_s, before = loop.time(), None
        while True:
            step = view.latest
            if step is not None and step is not before and self._takers(view.name):
                before = step
                picture = await loop.run_in_executor(self._painter, view.render, step)
                for viewer in self._takers(view.name):
                    viewer.show(view.name, picture)
            due_s = max(due_s + self._period_s, loop.time())
            await asyncio.sleep(due_s - loop.time())

    def _takers(self, camera: str) -> list[Viewer]:
        return [viewer for viewer in self._viewers if viewer.takes(camera)]
