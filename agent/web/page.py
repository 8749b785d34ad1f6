"""The live page and the metrics of one run: joined to its cameras, served until the run ends."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from agent.alerts.publisher import outbox_path
from agent.alerts.stats import PublisherStats
from agent.config import Config
from agent.errors import ConfigError
from agent.health import HealthMeter
from agent.pipeline import CameraPipeline
from agent.web.memory import PageMemory
from agent.web.password import page_password

if TYPE_CHECKING:
    from agent.web.camera_view import CameraView


def check_page(config: Config) -> None:
    """Check what the live page and the metrics need: packages, and a password where others reach the page.

    Raises:
        ConfigError: something is missing.
    """
    needed = []
    if config.web.listen is not None:
        needed += [("web.listen", "web", name) for name in ("starlette", "uvicorn", "websockets")]
    if config.metrics.enabled:
        needed.append(("metrics.enabled", "metrics", "prometheus_client"))
    for where, extra, name in needed:
        try:
            importlib.import_module(name)
        except ImportError as error:
            problem = f"expected the packages of the extra `{extra}`, got no {error.name}"
            raise ConfigError(where, problem, f"pip install 'edgetrack[{extra}]'") from error
    if config.web.listen is not None:
        page_password(config.web)


@contextmanager
def serving(
    config: Config,
    pipelines: Mapping[str, CameraPipeline],
    stats: Callable[[], PublisherStats],
    memory: PageMemory | None,
    reload: Callable[[], None] | None,
) -> Iterator[None]:
    """Serve the live page and the metrics, where they are configured, for as long as the block lasts.

    Args:
        config: the whole configuration.
        pipelines: of all cameras; the page observes them.
        stats: the publisher's figures of now.
        memory: of the runs before this one; None to begin anew.
        reload: checks and takes the configuration anew; None where that is not possible.

    Raises:
        ConfigError: see `check_page`.
    """
    check_page(config)
    folder = outbox_path(config.outbox, config.device).parent
    with ExitStack() as stack:
        metrics = None
        if config.metrics.enabled:
            from agent.metrics.endpoint import Exposition, MetricsServer

            metrics = Exposition(HealthMeter(pipelines, stats, folder))
            if config.metrics.listen is not None or config.web.listen is None:
                stack.enter_context(closing(MetricsServer(metrics, config.metrics.listen)))
                metrics = None
        if config.web.listen is not None:
            from agent.web.config_file import ConfigFile
            from agent.web.routes import Page, build_app
            from agent.web.server import PageServer

            memory = memory or PageMemory()
            meter = HealthMeter(pipelines, stats, folder)
            page = Page(
                device=config.device,
                settings=config.web,
                views=_observe(config, pipelines, memory),
                memory=memory,
                figures=lambda: _figures(meter),
                file=ConfigFile(memory.path, reload) if memory.path is not None and reload else None,
                metrics=metrics.render if metrics else None,
            )
            server = PageServer(build_app(page, page_password(config.web)), config.web.listen)
            server.start()
            stack.callback(server.close)
        yield


def _observe(
    config: Config, pipelines: Mapping[str, CameraPipeline], memory: PageMemory
) -> dict[str, CameraView]:
    from agent.web.camera_view import CameraView

    memory.incidents.interrupt()
    views = {}
    for name, pipeline in pipelines.items():
        views[name] = CameraView(
            name,
            config.cameras[name],
            pipeline,
            config.web,
            config.snapshots.people,
            memory.tracks_of(name, config.web.keep_s),
            memory.incidents,
        )
        pipeline.observers.append(views[name])
    return views


def _figures(meter: HealthMeter) -> dict[str, Any]:
    """Health as JSON types, with what it does not publish: the stages' times and the broker."""
    stats = meter.stats()
    return {
        **meter.measure().model_dump(mode="json", exclude_none=True),
        "stages": {name: pipeline.times.summary_ms() for name, pipeline in meter.pipelines.items()},
        "broker": {"connected": stats.connected, "error": stats.broker_error},
    }
