"""The configuration: one YAML file, checked whole, loaded once, handed down a section at a time."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

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
from agent.detect.settings import DetectorSettings
from agent.errors import ConfigError
from agent.metrics.settings import MetricsSettings
from agent.rules.settings import RulesSettings, rule_names
from agent.settings import Name, Section
from agent.track.settings import TrackerSettings
from agent.web.settings import WebSettings
from agent.yaml_file import YamlFile

AnySection = TypeVar("AnySection", bound=Section)


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
    cameras: dict[Name, CameraSettings] = Field(min_length=1)
    """Cameras by name."""

    @field_validator("cameras")
    @classmethod
    def _check_camera_names(cls, cameras: dict[str, CameraSettings]) -> dict[str, CameraSettings]:
        for name in cameras:
            if name in RESERVED_CAMERA_NAMES:
                raise ValueError(f"expected a name that is no topic of the device itself, got {name}")
        return cameras

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
        raise _joined(_fault(source, detail, model) for detail in _details(error)) from error


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
        faults = []
        for detail in _details(error):
            place, section = _place(detail["loc"], model)
            faults.append((f"{named(place)}: " if place else "") + _message(detail, place, section))
        raise _joined(faults) from error


def _details(error: ValidationError) -> list[dict[str, Any]]:
    return [dict(detail) for detail in error.errors()]


def _joined(faults: Iterable[str]) -> ConfigError:
    """One error of all faults, each once."""
    lines = tuple(dict.fromkeys(faults))
    where, _, problem = lines[0].partition(": ")
    return ConfigError(where, problem, faults=lines)


def _fault(source: YamlFile, detail: dict[str, Any], root: type[BaseModel]) -> str:
    """One line for one pydantic error."""
    place, model = _place(detail["loc"], root)
    if (
        place[:1] == ("cameras",)
        and len(place) > 2
        and not source.has(place)
        and source.has(("defaults", *place[2:]))
    ):
        place = ("defaults", *place[2:])
    if detail["type"] != "missing":
        while len(place) > 1 and not source.has(place):
            place = place[:-1]  # the name of a union's option, or a value that a default supplied
    name = ".".join(str(part) for part in place)
    return f"{source.path}:{source.line_of(place)} {name}".rstrip() + f": {_message(detail, place, model)}"


def _place(loc: Sequence[str | int], root: type[BaseModel]) -> tuple[tuple[str | int, ...], type[BaseModel]]:
    """The path as the user wrote it, and the section that it ends in."""
    place: list[str | int] = []
    annotation: Any = root
    model = root
    for part in loc:
        options = sections_in(annotation)
        if len(options) > 1:  # a rule's kind: pydantic names the option that it took
            annotation = next(option for option in options if _tag_of(option) == part)
            continue
        place.append(part)
        if options:
            model = options[0]
            field = model.model_fields.get(str(part))
            annotation = field.annotation if field else None
        else:
            annotation = _element_of(annotation)
    return tuple(place), model


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a type may hold directly."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return [model for option in typing.get_args(annotation) for model in sections_in(option)]
    return []


def _element_of(annotation: Any) -> Any:
    """The type of an element of a list, tuple or mapping type."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        collections = (o for o in typing.get_args(annotation) if typing.get_origin(o) in (list, tuple, dict))
        return _element_of(next(collections, None))
    elements = [argument for argument in typing.get_args(annotation) if argument is not Ellipsis]
    return elements[-1] if elements else None


def _tag_of(model: type[BaseModel]) -> object:
    field = model.model_fields.get("kind")
    tags = typing.get_args(field.annotation) if field else ()
    return tags[0] if tags else None


_TYPE_NAMES = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "path": "a path",
}


def _message(detail: dict[str, Any], place: Sequence[str | int], model: type[BaseModel]) -> str:
    """`expected X, got Y; what to do` for one pydantic error."""
    kind, context = detail["type"], detail.get("ctx") or {}
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "expected a value, got nothing; add the key"
    if kind == "extra_forbidden":
        known = sorted(model.model_fields)
        near = difflib.get_close_matches(str(detail["loc"][-1]), known, 1)
        hint = f"did you mean {near[0]}?" if near else "remove the key"
        return f"expected one of {', '.join(known)}, got an unknown key; {hint}"
    shown = "another value" if "password" in place else _shorten(detail.get("input"))
    comparisons = {
        "greater_than": ("more than", "gt"),
        "greater_than_equal": ("at least", "ge"),
        "less_than": ("less than", "lt"),
        "less_than_equal": ("at most", "le"),
    }
    if kind in comparisons:
        words, key = comparisons[kind]
        return f"expected {words} {context[key]:g}, got {shown}"
    if kind in ("literal_error", "enum"):
        return f"expected {context['expected']}, got {shown}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        wanted = context.get("expected_tags", context.get("discriminator"))
        return f"expected kind: {wanted}, got {context.get('tag', 'none')}"
    if kind == "string_pattern_mismatch":
        return f"expected letters, digits, _ and - (64 at most, the first no - or _), got {shown}"
    if kind in ("too_short", "too_long"):
        words = "at least" if kind == "too_short" else "at most"
        count = context.get("min_length", context.get("max_length"))
        return f"expected {words} {count}, got {context.get('actual_length', 'another number')}"
    for name, words in _TYPE_NAMES.items():
        if kind.startswith(name):
            return f"expected {words}, got {shown}"
    return f"expected a valid value, got {shown} ({detail['msg']})"


def _shorten(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    if "://" in text and "@" in text:  # an address that may hold a password
        return "another value"
    return text if len(text) <= 60 else text[:57] + "..."


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
