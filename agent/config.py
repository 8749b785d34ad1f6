"""The configuration: one YAML file, checked whole, loaded once, handed down a section at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from agent.actions.settings import ActionSettings
from agent.alerts.settings import (
    BrokerSettings,
    FrigateSettings,
    HomeAssistantSettings,
    OutboxSettings,
    SnapshotSettings,
)
from agent.alerts.topics import RESERVED_CAMERA_NAMES
from agent.capture.settings import SourceSettings
from agent.config_faults import config_error, where_in
from agent.detect.settings import DetectorSettings
from agent.metrics.settings import MetricsSettings
from agent.rules.settings import RulesSettings, rule_names
from agent.settings import Name, Section
from agent.track.settings import TrackerSettings
from agent.web.settings import WebSettings
from agent.yaml_file import YamlFile

AnySection = TypeVar("AnySection", bound=Section)


def _check_camera_name(name: str) -> str:
    if name in RESERVED_CAMERA_NAMES:
        raise ValueError(f"expected a name that is no topic of the device itself, got {name}; choose another")
    return name


CameraName = Annotated[Name, AfterValidator(_check_camera_name)]


class CameraSettings(SourceSettings, RulesSettings):
    """One camera: where its pictures come from, what looks at them, and what is worth an alert."""

    detector: DetectorSettings
    """What finds objects in a picture."""
    tracker: TrackerSettings = TrackerSettings()
    """What keeps their identity from picture to picture."""
    track_stream_per_s: float = Field(default=0.0, ge=0.0, le=30.0)
    """How often a second all objects in sight are published on `edgetrack/<device>/<camera>/tracks`, at most;
    0: not at all. Such messages are lost where the network is slow or away."""
    actions: ActionSettings | None = None
    """What tells what people do; left out: nobody looks."""

    @model_validator(mode="after")
    def _check_actions(self) -> CameraSettings:
        asking = [name for name, rule in zip(rule_names(self.rules), self.rules, strict=True) if rule.actions]
        if asking and self.actions is None:
            raise ValueError(
                f"rule {asking[0]} asks for actions: expected a section actions in this camera, got none; "
                "add `actions: {}`"
            )
        return self


class DefaultSettings(Section):
    """Sections that cameras share; a camera's own keys win, key by key."""

    detector: dict[str, Any] = {}
    """As under a camera."""
    tracker: dict[str, Any] = {}
    """As under a camera."""
    actions: dict[str, Any] | None = None
    """As under a camera."""


class Config(Section):
    """The whole file."""

    device: Name
    """Name of this device: part of every topic; one per broker."""
    broker: BrokerSettings = BrokerSettings()
    """The MQTT broker that receives the alerts."""
    outbox: OutboxSettings = OutboxSettings()
    """Where alerts wait until the broker has them."""
    home_assistant: HomeAssistantSettings = HomeAssistantSettings()
    """Discovery by Home Assistant."""
    frigate: FrigateSettings = FrigateSettings()
    """Events in the shape of Frigate's."""
    snapshots: SnapshotSettings = SnapshotSettings()
    """Pictures of alerts, for rules with `snapshot: true`."""
    web: WebSettings = WebSettings()
    """The live page; needs the extra `web`."""
    metrics: MetricsSettings = MetricsSettings()
    """Figures for Prometheus; needs the extra `metrics`."""
    defaults: DefaultSettings = DefaultSettings()
    """Sections that cameras share."""
    cameras: dict[CameraName, CameraSettings] = Field(min_length=1)
    """Cameras by name."""

    @model_validator(mode="before")
    @classmethod
    def _merge_defaults(cls, content: Any) -> Any:
        """Lay `defaults` under every camera before it is checked."""
        if not isinstance(content, dict):
            return content
        defaults, cameras = content.get("defaults"), content.get("cameras")
        if not isinstance(defaults, dict) or not isinstance(cameras, dict):
            return content
        merged = {
            name: camera if not isinstance(camera, dict) else _merge(defaults, camera)
            for name, camera in cameras.items()
        }
        return {**content, "cameras": merged}


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Relative paths in it are meant from the file's own folder.

    Raises:
        ConfigError: with `faults`, a line for each: `file:line path: expected X, got Y`.
    """
    config: Config = _with_absolute_paths(load_section(path, Config), path.resolve().parent)
    return config


def load_section(path: Path, model: type[AnySection]) -> AnySection:
    """Read and check a YAML file that holds one section; paths in it are left as they are.

    Raises:
        ConfigError: with `faults`, a line for each.
    """
    source = YamlFile(path)
    try:
        return model.model_validate(source.content)
    except ValidationError as error:
        raise config_error(error, model, partial(where_in, source)) from error


def _option(place: Sequence[str | int]) -> str:
    """The command-line option of a setting."""
    return "--" + "-".join(str(part) for part in place).replace("_", "-")


def make_section(
    model: type[AnySection],
    values: Mapping[str, Any],
    *,
    named: Callable[[Sequence[str | int]], str] = _option,
) -> AnySection:
    """A section from command-line options, or from elsewhere than a file.

    Args:
        model: the section.
        values: its content.
        named: says where a fault lies, from the keys that lead there.

    Raises:
        ConfigError: with `faults`, a line for each: `--option: expected X, got Y`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise config_error(error, model, lambda place, _: f"{named(place)}: " if place else "") from error


def _with_absolute_paths(section: Any, folder: Path) -> Any:
    """A copy of a section in which every relative path starts at `folder`."""
    changes: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        moved = _moved(value, folder)
        if moved is not value:
            changes[name] = moved
    if isinstance(section, SourceSettings) and section.kind == "path":
        changes["source"] = str(folder / Path(section.source).expanduser())
    return section.model_copy(update=changes) if changes else section


def _moved(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return folder / value.expanduser()
    if isinstance(value, BaseModel):
        return _with_absolute_paths(value, folder)
    if isinstance(value, dict):
        moved = {key: _moved(item, folder) for key, item in value.items()}
        return moved if any(moved[key] is not value[key] for key in value) else value
    return value
