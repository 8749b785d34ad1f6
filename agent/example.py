"""What is written from the settings and payloads themselves, so that it cannot fall behind them."""

from __future__ import annotations

import json
import textwrap
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.config import Config
from agent.config_faults import sections_in
from agent.errors import ConfigError

_WIDTH = 100
_HEAD = """\
Every setting of edgetrack-agent. What is not commented out is a working start; what is shows its default.
Check a file with `edgetrack-agent check FILE`; relative paths are meant from the file's own folder.
Editors complete and check it with the schema that `edgetrack-agent schema` prints.
"""
_START: dict[str, Any] = {
    "device": "porch",
    "broker": {"url": "mqtt://localhost:1883"},
    "cameras": {
        "front": {
            "source": "/dev/video0",
            "detector": {"kind": "motion"},
            "zones": {"drive": {"points": [[0.1, 0.5], [0.6, 0.5], [0.7, 1.0], [0.0, 1.0]]}},
            "tripwires": {"gate": {"points": [[0.2, 0.4], [0.8, 0.4]]}},
            "rules": [
                {"kind": "zone", "zone": "drive", "when": ["enter", "leave"]},
                {"kind": "tripwire", "tripwire": "gate"},
            ],
        }
    },
}
_FIRST = ("source", "detector", "zones", "tripwires", "rules")
_NAMED = {"zones": "drive", "tripwires": "gate", "masks": "tree"}
_REQUIRED = {
    "zone": "drive",
    "zones": "[drive, door]",
    "tripwire": "gate",
    "points": "[[0.0, 0.0], [0.2, 0.0], [0.2, 0.3], [0.0, 0.3]]",
    "metres": "[[0, 0], [4, 0], [4, 10], [0, 10]]",
    "allowed": "[[0.5, 0.9], [0.5, 0.1]]",
    "min_count": "5",
    "min_s": "30",
    "settled_s": "10",
    "within_s": "60",
    "windows": '[{days: [mon, tue], start: "22:00", end: "06:00"}]',
}


def example() -> str:
    """The whole file."""
    lines = [f"# {line}" for line in _HEAD.splitlines()] + [""]
    lines.extend(_section(Config, _START))
    return "\n".join(lines) + "\n"


def document(what: str) -> str:
    """The JSON Schema (2020-12) of configuration, alerts or the track stream, or AsyncAPI 3 of all topics.

    Raises:
        ConfigError: `what` is none of "config", "alert", "tracks" and "asyncapi".
    """
    from agent.alerts import schema, track_stream
    from agent.alerts.asyncapi import asyncapi_document

    documents = {
        "config": _config_schema,
        "alert": schema.json_schema,
        "tracks": track_stream.json_schema,
        "asyncapi": asyncapi_document,
    }
    if what not in documents:
        raise ConfigError("schema", f"expected one of {', '.join(documents)}, got {what}")
    return json.dumps(documents[what](), indent=2, ensure_ascii=False)


def _config_schema() -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def _section(model: type[BaseModel], given: Mapping[str, Any] | None) -> Iterator[str]:
    """Lines of a section, without indent.

    Args:
        model: the section.
        given: settings to show as set, the others are commented out; None shows all, at their defaults.
    """
    for name, field in sorted(model.model_fields.items(), key=lambda item: _rank(item[0])):
        yield from _comment(field.description)
        if name == "rules":
            yield from _rules(field, (given or {}).get(name, []))
        elif given is None:
            yield from _field(name, field, None)
        elif name in given:
            yield from _field(name, field, given[name])
        else:
            yield from _prefixed("# ", _field(name, field, None))


def _rank(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _field(name: str, field: FieldInfo, value: Any) -> Iterator[str]:
    """Lines of one setting at `value`, or at its default when that is None."""
    keyed, models = _keyed_section(field.annotation), sections_in(field.annotation)
    if keyed is not None:
        yield f"{name}:"
        for key, inner in (value or {_NAMED.get(name, "name"): None}).items():
            yield f"  {key}:"
            yield from _prefixed("    ", _section(keyed, inner))
    elif len(models) == 1:
        yield f"{name}:"
        yield from _prefixed("  ", _section(models[0], value))
    elif value is not None:
        yield f"{name}: {_flow(value)}"
    elif field.is_required():
        yield f"{name}: {_REQUIRED.get(name, '…')}"
    else:
        yield f"{name}: {_flow(field.get_default(call_default_factory=True, validated_data={}))}"


def _rules(field: FieldInfo, given: list[dict[str, Any]]) -> Iterator[str]:
    """The given rules, then every kind with its own settings, commented out."""
    yield "rules:"
    yield from ("  - " + _flow(rule) for rule in given)
    models = sections_in(typing.get_args(field.annotation)[0])
    common = set.intersection(*(set(model.model_fields) for model in models)) - {"kind"}
    for model in models:
        kind = typing.get_args(model.model_fields["kind"].annotation)[0]
        yield from _prefixed("  ", _comment(_paragraph(model)))
        yield f"  # - kind: {kind}"
        own = [(name, f) for name, f in model.model_fields.items() if name not in common | {"kind"}]
        yield from _prefixed("  #   ", _documented(own))
    yield from _prefixed("  ", _comment("Every kind takes these too:"))
    shared = [(name, f) for name, f in models[0].model_fields.items() if name in common]
    yield from _prefixed("  #   ", _documented(shared))


def _documented(fields: Iterable[tuple[str, FieldInfo]]) -> Iterator[str]:
    for name, field in fields:
        yield from _comment(field.description)
        yield from _field(name, field, None)


def _prefixed(prefix: str, lines: Iterable[str]) -> Iterator[str]:
    return (prefix + line for line in lines)


def _paragraph(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().partition("\n\n")[0]


def _comment(text: str | None) -> Iterator[str]:
    words = " ".join((text or "").split())
    return (f"# {line}" for line in textwrap.wrap(words, _WIDTH - 2))


def _keyed_section(annotation: Any) -> type[BaseModel] | None:
    """The section that a mapping from names holds, if the type is such a mapping."""
    if typing.get_origin(annotation) is not dict:
        return None
    models = sections_in(typing.get_args(annotation)[1])
    return models[0] if models else None


def _flow(value: Any) -> str:
    """A value as one line of YAML (which JSON is), bare where that is what people write."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, str | Path):
        text = str(value)
        plain = (
            text and text not in ("null", "true", "false") and all(c.isalnum() or c in "/._-" for c in text)
        )
        return text if plain and not text[0].isdigit() else json.dumps(text)
    return json.dumps(value)
