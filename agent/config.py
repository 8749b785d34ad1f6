"""The configuration: one YAML file, checked whole, loaded once, handed down a section at a time."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.capture.settings import SourceSettings
from agent.detect.settings import DetectorSettings
from agent.errors import ConfigError
from agent.rules.settings import RulesSettings
from agent.settings import Name, Section
from agent.track.settings import TrackerSettings
from agent.yaml_file import YamlFile


class CameraSettings(SourceSettings, RulesSettings):
    """One camera: where its pictures come from, what looks at them, and what is worth an alert."""

    detector: DetectorSettings
    """What finds objects in a picture."""
    tracker: TrackerSettings = TrackerSettings()
    """What keeps their identity from picture to picture."""


class DefaultSettings(Section):
    """Sections that cameras share; a camera's own keys win, key by key."""

    detector: dict[str, Any] = {}
    """As under a camera."""
    tracker: dict[str, Any] = {}
    """As under a camera."""


class Config(Section):
    """The whole file."""

    device: Name
    """Name of this device: part of every topic; one per broker."""
    broker: BrokerSettings = BrokerSettings()
    """The MQTT broker that receives the alerts."""
    outbox: OutboxSettings = OutboxSettings()
    """Where alerts wait until the broker has them."""
    defaults: DefaultSettings = DefaultSettings()
    """Sections that cameras share."""
    cameras: dict[Name, CameraSettings] = Field(min_length=1)
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
    source = YamlFile(path)
    try:
        config = Config.model_validate(source.content)
    except ValidationError as error:
        faults = tuple(_fault(source, dict(detail)) for detail in error.errors())
        first = faults[0].split(": ", 1)
        raise ConfigError(first[0], first[1], faults=tuple(dict.fromkeys(faults))) from error
    return _with_absolute_paths(config, path.resolve().parent)


def _fault(source: YamlFile, detail: dict[str, Any]) -> str:
    """One line for one pydantic error."""
    place, model = _place(source, detail["loc"])
    line = source.line_of(place)
    if not source.has(place) and len(place) > 2 and place[0] == "cameras":
        shared = ("defaults", *place[2:])
        if source.has(shared):
            place, line = shared, source.line_of(shared)
    name = ".".join(str(part) for part in place)
    where = f"{source.path}:{line} {name}".rstrip()
    return f"{where}: {_message(detail, model)}"


def _place(source: YamlFile, loc: Sequence[str | int]) -> tuple[tuple[str | int, ...], type[BaseModel] | None]:
    """The path as the user wrote it (pydantic adds union tags) and the section that it ends in."""
    place: list[str | int] = []
    annotation: Any = Config
    model: type[BaseModel] | None = Config
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        options = _models_in(annotation)
        fields = {name: field for option in options for name, field in option.model_fields.items()}
        if part in fields:
            place.append(part)
            model = next(option for option in options if part in option.model_fields)
            annotation = fields[str(part)].annotation
        elif last and options and not _is_tag(part, annotation):
            place.append(part)
            model = options[0]
        elif _is_tag(part, annotation) and not source.has((*place, part)):
            options = [option for option in options if _tag_of(option) == part] or options
            annotation = options[0] if options else annotation
        else:
            place.append(part)
            annotation = _element_of(annotation)
    return tuple(place), model


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a type may hold directly."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return [model for option in typing.get_args(annotation) for model in _models_in(option)]
    return []


def _element_of(annotation: Any) -> Any:
    """The type of an element of a list, tuple or mapping type."""
    arguments = [argument for argument in typing.get_args(annotation) if argument is not Ellipsis]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = [option for option in arguments if typing.get_origin(option) in (list, tuple, dict)]
        return _element_of(inner[0]) if inner else None
    if origin is typing.Annotated:
        return _element_of(arguments[0])
    return arguments[-1] if arguments else None


def _tag_of(model: type[BaseModel]) -> object:
    field = model.model_fields.get("kind")
    tags = typing.get_args(field.annotation) if field else ()
    return tags[0] if tags else None


def _is_tag(part: str | int, annotation: Any) -> bool:
    return isinstance(part, str) and bool(_models_in(annotation))


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


def _message(detail: dict[str, Any], model: type[BaseModel] | None) -> str:
    """`expected X, got Y; what to do` for one pydantic error."""
    kind, got, context = detail["type"], detail.get("input"), detail.get("ctx") or {}
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "expected a value, got nothing; add the key"
    if kind == "extra_forbidden":
        known = sorted(model.model_fields) if model else []
        near = difflib.get_close_matches(str(detail["loc"][-1]), known, 1)
        hint = f"did you mean {near[0]}?" if near else "remove the key"
        return f"expected one of {', '.join(known)}, got an unknown key; {hint}"
    shown = _shorten(got)
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
    return text if len(text) <= 60 else text[:57] + "..."


def _with_absolute_paths(section: Any, folder: Path) -> Any:
    """A copy of a section in which every relative path starts at `folder`."""
    changes: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        moved = _moved(value, folder)
        if moved is not value:
            changes[name] = moved
    if isinstance(section, SourceSettings):
        local = folder / section.source
        if not Path(section.source).is_absolute() and local.exists():
            changes["source"] = str(local)
    return section.model_copy(update=changes) if changes else section


def _moved(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return value if value.is_absolute() else folder / value.expanduser()
    if isinstance(value, BaseModel):
        return _with_absolute_paths(value, folder)
    if isinstance(value, dict):
        moved = {key: _moved(item, folder) for key, item in value.items()}
        return moved if any(moved[key] is not value[key] for key in value) else value
    return value
