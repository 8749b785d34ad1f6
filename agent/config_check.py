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


def check_config(path: Path, *, tpu_in_use: bool = False, other_user: bool = False) -> Config:
    """Check a configuration and what it names: files, models, labels, rules, packages.

    Args:
        path: the file.
        tpu_in_use: leave out detectors that need an Edge TPU, since another holds it.
        other_user: leave out passwords and keys that this user may not read, since the agent runs as another.

    Raises:
        ConfigError: with all faults.
    """
    config = load_config(path)
    faults = tuple(map(str, named_faults(path, config, tpu_in_use=tpu_in_use, other_user=other_user)))
    if faults:
        where, _, problem = faults[0].partition(": ")
        raise ConfigError(where, problem, faults=faults)
    return config


def named_faults(
    path: Path, config: Config, *, tpu_in_use: bool = False, other_user: bool = False
) -> Iterator[Fault]:
    """Everything that is wrong with what a configuration names.

    Args:
        path: its file.
        config: its content.
        tpu_in_use, other_user: as of `check_config`.
    """
    yield from _secrets_tried("page", lambda: check_page(config), other_user=other_user)
    yield from _secrets_tried("broker", lambda: broker_password(config.broker), other_user=other_user)
    if config.broker.uses_tls:
        yield from _secrets_tried("broker", lambda: tls_context(config.broker.tls), other_user=other_user)
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
    # Path.is_dir() raises in a folder that this user may not enter.
    folder = os.path.isdir(path)  # noqa: PTH112
    if folder or not os.path.isdir(standing):  # noqa: PTH112
        got = f"{path}, a folder" if folder else f"{standing}, which is no folder, above it"
        raise ConfigError("outbox.path", f"expected a file in a folder, got {got}", "set outbox.path")


def _secrets_tried(part: str, check: Callable[[], object], *, other_user: bool) -> Iterator[Fault]:
    try:
        yield from (fault for fault in _tried(part, check) if not (other_user and unreadable(fault.error)))
    except PermissionError:  # a folder that this user may not enter
        if not other_user:
            raise


def unreadable(error: EdgetrackError) -> bool:
    """Whether this user may not read a file, which says nothing of another."""
    return isinstance(error.__cause__, PermissionError)


def _tried(part: str, check: Callable[[], object], where: str = "") -> Iterator[Fault]:
    try:
        check()
    except EdgetrackError as error:
        yield Fault(part, error, where)
