"""What a configuration names beyond its own text: files, models, labels, packages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from agent.alerts.connecting import tls_context
from agent.alerts.credentials import broker_password
from agent.assembly import build_actions, build_tracker
from agent.capture.source import open_source
from agent.config import CameraSettings, Config, load_config
from agent.detect.detector import probe_detector
from agent.errors import ConfigError, EdgetrackError
from agent.rules.engine import RuleEngine
from agent.rules.masks import DetectionMasks
from agent.web.page import check_page


@dataclass(frozen=True, slots=True)
class Fault:
    """Something named that is not there, or does not fit.

    Args:
        part: `page`, `broker`, `outbox`, or of a camera `detector`, `rules`, `tracker` or `source`.
        error: what is wrong.
        where: file and section, where the error does not say it itself.
    """

    part: str
    error: EdgetrackError
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.error}" if self.where else str(self.error)


def check_config(path: Path, *, tpu_in_use: bool = False) -> Config:
    """Check a configuration and what it names: files, models, labels, rules, packages.

    Args:
        path: the file.
        tpu_in_use: leave out detectors that need an Edge TPU, since another holds it.

    Raises:
        ConfigError: with all faults.
    """
    config = load_config(path)
    faults = tuple(map(str, named_faults(path, config, tpu_in_use=tpu_in_use)))
    if faults:
        where, _, problem = faults[0].partition(": ")
        raise ConfigError(where, problem, faults=faults)
    return config


def named_faults(path: Path, config: Config, *, tpu_in_use: bool = False) -> Iterator[Fault]:
    """Everything that is wrong with what a configuration names.

    Args:
        path: its file.
        config: its content.
        tpu_in_use: as of `check_config`.
    """
    yield from _tried("page", lambda: check_page(config))
    yield from _tried("broker", lambda: broker_password(config.broker))
    if config.broker.uses_tls:
        yield from _tried("broker", lambda: tls_context(config.broker.tls))
    yield from _tried("outbox", lambda: _check_outbox(config.outbox.path))
    for name, camera in config.cameras.items():
        yield from _camera_faults(f"{path} cameras.{name}", camera, tpu_in_use=tpu_in_use)


def _camera_faults(where: str, camera: CameraSettings, *, tpu_in_use: bool) -> Iterator[Fault]:
    labels: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    if camera.detector.device == "cpu" or not tpu_in_use:
        try:
            with closing(probe_detector(camera.detector)) as detector:
                labels, levels = detector.labels, detector.score_levels
        except EdgetrackError as error:
            yield Fault("detector", error, f"{where}.detector")
    yield from _tried("rules", lambda: _check_rules(camera, labels), where)
    yield from _tried("tracker", lambda: build_tracker(camera.tracker, levels), f"{where}.tracker")
    if not camera.live:  # a camera that is away for the moment is no fault of the configuration
        yield from _tried("source", lambda: open_source(camera).close(), f"{where}.source")


def _check_rules(camera: CameraSettings, labels: tuple[str, ...]) -> None:
    doing = build_actions(camera.actions, labels)
    RuleEngine(camera, labels=labels, new_id=str, actions=doing.labels if doing else ())
    DetectionMasks(camera.masks, labels)


def _check_outbox(path: Path | None) -> None:
    """Whether a file can come to be there; whether this user may write it says nothing of the agent's.

    Raises:
        ConfigError: it cannot.
    """
    if path is None:
        return
    standing = next(folder for folder in path.parents if os.path.lexists(folder))
    if not standing.is_dir() or path.is_dir():
        got = f"{path}, a folder" if path.is_dir() else f"{standing}, which is no folder, above it"
        raise ConfigError("outbox.path", f"expected a file in a folder, got {got}", "set outbox.path")


def _tried(part: str, check: Callable[[], object], where: str = "") -> Iterator[Fault]:
    try:
        check()
    except EdgetrackError as error:
        yield Fault(part, error, where)
