"""What the page may ask for."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import mimetypes
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from agent.errors import ConfigError, EdgetrackError
from agent.version import __version__
from agent.web.camera_view import CameraView
from agent.web.config_edit import snippet
from agent.web.config_file import ConfigFile, Saved
from agent.web.guard import MAX_BODY_BYTES, Guard, address_of
from agent.web.live import LiveFeed
from agent.web.memory import PageMemory
from agent.web.password import SESSION_S, Gate, page_token
from agent.web.posted import posted
from agent.web.settings import WebSettings
from agent.web.trial import Superseded, draft_of, paths_of, removal_of, settings_with, try_rules

_STATUS_OF_DRAFT_FAULTS = 422


@dataclass(frozen=True, slots=True)
class Page:
    """What the page shows and changes.

    Args:
        device: its name.
        settings: of the page.
        views: the cameras.
        memory: tracks, incidents and figures.
        figures: measures health; JSON types.
        file: where zones are saved; None where they cannot be.
        metrics: gives the text and content type for Prometheus; None where that is off.
    """

    device: str
    settings: WebSettings
    views: Mapping[str, CameraView]
    memory: PageMemory
    figures: Callable[[], Mapping[str, Any]]
    file: ConfigFile | None
    metrics: Callable[[], tuple[bytes, str]] | None = None


def build_app(page: Page, password: str | None) -> ASGIApp:
    """The application.

    Args:
        page: what it shows.
        password: that it asks for, or None.
    """
    gate = Gate(password, page.device)
    routes = _Routes(page, gate)
    app = Starlette(
        routes=routes.table(),
        lifespan=routes.lifespan,
        exception_handlers={
            EdgetrackError: _faults,
            HTTPException: _http_fault,
            Superseded: _superseded,
            ClientDisconnect: _too_long,
        },
    )
    return Guard(app, gate, page.settings.hosts)


class _Routes:
    def __init__(self, page: Page, gate: Gate) -> None:
        self._page = page
        self._gate = gate
        self._feed = LiveFeed(page.views, page.memory, page.figures, page.settings.max_fps)
        self._files = _static_files()
        self._worker = ThreadPoolExecutor(1, "web-trials")
        self._newest_trial = 0

    def table(self) -> list[BaseRoute]:
        camera = "/api/cameras/{camera}"
        routes: list[BaseRoute] = [
            Route("/", self._file("index.html")),
            Route("/login", self._file("login.html")),
            Route("/login", self._log_in, methods=["POST"]),
            Route("/logout", self._log_out, methods=["POST"]),
            Route("/static/{name}", self._static),
            Route("/api/state", self._state),
            Route("/api/incidents/{incident}/picture", self._picture),
            Route(f"{camera}/paths", self._paths),
            Route(f"{camera}/try", self._try, methods=["POST"]),
            Route(f"{camera}/save", self._save, methods=["POST"]),
            Route(f"{camera}/remove", self._remove, methods=["POST"]),
            Route("/api/undo", self._undo, methods=["POST"]),
            WebSocketRoute("/api/live", self._live),
        ]
        if self._page.metrics is not None:
            routes.append(Route("/metrics", self._metrics))
        return routes

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        figures = asyncio.create_task(self._feed.collect_figures())
        try:
            yield
        finally:
            figures.cancel()
            await asyncio.gather(figures, return_exceptions=True)
            await self._feed.close()
            self._worker.shutdown(wait=False, cancel_futures=True)

    def _file(self, name: str) -> Callable[[Request], Any]:
        async def serve(request: Request) -> Response:
            return self._content(request, name)

        return serve

    async def _static(self, request: Request) -> Response:
        return self._content(request, request.path_params["name"])

    def _content(self, request: Request, name: str) -> Response:
        """One of the files that were read at the start; a name that is none of theirs is not looked for."""
        if name not in self._files:
            raise HTTPException(404)
        content, kind, tag = self._files[name]
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    async def _log_in(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode(errors="replace"))
        password = form.get("password", [""])[0]
        if not self._gate.open and not self._gate.matches(password, address_of(request)):
            await asyncio.sleep(0.5)  # who guesses waits
            return RedirectResponse("/login?wrong", 303)
        response = RedirectResponse("/", 303)
        if not self._gate.open:
            secure = request.url.scheme == "https"
            session = self._gate.new_session()
            name = self._gate.cookie
            response.set_cookie(name, session, SESSION_S, httponly=True, samesite="strict", secure=secure)
        return response

    async def _log_out(self, _: Request) -> Response:
        response = JSONResponse({})
        response.delete_cookie(self._gate.cookie)
        return response

    async def _state(self, _: Request) -> Response:
        page = self._page
        obstacle = "saving is switched off (web.edit)" if not page.settings.edit else None
        if page.file is None:
            obstacle = obstacle or "this run has no configuration file"
        else:
            obstacle = obstacle or page.file.obstacle
        return JSONResponse(
            {
                "device": page.device,
                "version": __version__,
                "token": page_token(),
                "privacy": page.settings.privacy,
                "password": not self._gate.open,
                "file": page.file.name if page.file else None,
                "obstacle": obstacle,
                "cameras": [view.describe() for view in page.views.values()],
                "figures": list(page.memory.figures),
            }
        )

    async def _live(self, socket: WebSocket) -> None:
        await self._feed.serve(socket)

    async def _picture(self, request: Request) -> Response:
        picture = self._page.memory.incidents.picture_of(request.path_params["incident"])
        if picture is None:
            raise HTTPException(404)
        return Response(
            picture.jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=60"}
        )

    async def _metrics(self, _: Request) -> Response:
        assert self._page.metrics is not None  # noqa: S101 - the route is there only then
        content, kind = await asyncio.to_thread(self._page.metrics)
        return Response(content, headers={"content-type": kind})

    def _view(self, request: Request) -> CameraView:
        view = self._page.views.get(request.path_params["camera"])
        if view is None:
            raise HTTPException(404)
        return view

    async def _paths(self, request: Request) -> Response:
        view = self._view(request)
        paths = await self._work(lambda: paths_of(view.tracks.frames()))
        return JSONResponse({"paths": paths})

    async def _try(self, request: Request) -> Response:
        view = self._view(request)
        draft = draft_of(await posted(request))
        settings = settings_with(view.camera, draft)
        self._newest_trial += 1
        number = self._newest_trial
        trial = await self._work(
            lambda: try_rules(
                view.tracks.frames(), settings, view.labels, lambda: number != self._newest_trial
            )
        )
        return JSONResponse(
            {**trial, "yaml": snippet(view.name, draft.section, draft.name, *draft.content())}
        )

    async def _save(self, request: Request) -> Response:
        view, file = self._view(request), self._writable()
        draft = draft_of(await posted(request))
        settings_with(view.camera, draft)
        return self._saved(file, await self._work(lambda: file.save(view.name, draft)))

    async def _remove(self, request: Request) -> Response:
        view, file = self._view(request), self._writable()
        removal = removal_of(await posted(request))
        return self._saved(file, await self._work(lambda: file.remove(view.name, removal)))

    async def _undo(self, request: Request) -> Response:
        file = self._writable()
        content = await posted(request)
        version = content.get("version") if isinstance(content, dict) else None
        return self._saved(file, await self._work(lambda: file.undo(str(version))))

    def _writable(self) -> ConfigFile:
        if self._page.file is None or not self._page.settings.edit:
            raise HTTPException(403)
        return self._page.file

    @staticmethod
    def _saved(file: ConfigFile, saved: Saved) -> Response:
        return JSONResponse({"file": file.name, "kept": saved.kept.name, "version": saved.version})

    async def _work(self, action: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._worker, action)


def _static_files() -> dict[str, tuple[bytes, str, str]]:
    """Every file of the page: content, type, tag."""
    found = {}
    for file in resources.files("agent.web").joinpath("static").iterdir():
        if file.is_file():
            content = file.read_bytes()
            kind = "text/javascript" if file.name.endswith(".js") else mimetypes.guess_type(file.name)[0]
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[file.name] = (content, kind or "application/octet-stream", tag)
    return found


async def _faults(_: Request, error: Exception) -> Response:
    faults = error.faults if isinstance(error, ConfigError) else (str(error),)
    return JSONResponse({"faults": list(faults)}, _STATUS_OF_DRAFT_FAULTS)


async def _http_fault(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"faults": [f"expected something that is here, got {status}"]}, status)


async def _superseded(_: Request, __: Exception) -> Response:
    return JSONResponse({"faults": ["a newer question is there"]}, 409)


async def _too_long(_: Request, __: Exception) -> Response:
    """The guard reads no further than this; or the sender has gone, and hears no answer."""
    return JSONResponse({"faults": [f"expected at most {MAX_BODY_BYTES} bytes, got more"]}, 413)
