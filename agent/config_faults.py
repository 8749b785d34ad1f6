"""What pydantic finds wrong with a section, as lines for a person: `where: expected X, got Y; what to do`."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from pydantic import BaseModel, ValidationError

from agent.errors import ConfigError
from agent.yaml_file import YamlFile

Place = tuple[str | int, ...]
"""The keys that lead to a value, as the user wrote them."""


def config_error(
    error: ValidationError, root: type[BaseModel], where: Callable[[Place, str], str]
) -> ConfigError:
    """One error of all faults, each once.

    Args:
        error: pydantic's.
        root: the section that was checked.
        where: what comes before a fault's line, from its place and pydantic's type of it.
    """
    faults = []
    details: list[dict[str, Any]] = [dict(found) for found in error.errors()]
    for detail in details:
        if detail["type"] == "too_short" and any(_lies_in(other["loc"], detail["loc"]) for other in details):
            continue  # pydantic counts good elements only
        place, model, annotation = _place(detail["loc"], root)
        faults.append(where(place, detail["type"]) + _message(detail, place, model, annotation))
    lines = tuple(dict.fromkeys(faults))
    first, _, problem = lines[0].partition(": ")
    return ConfigError(first, problem, faults=lines)


def _lies_in(inner: Place, outer: Place) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def where_in(source: YamlFile, place: Place, kind: str) -> str:
    """`file:line path: ` of a fault.

    Args:
        source: the file.
        place: of the fault; what cameras share is looked for below `defaults`.
        kind: pydantic's type of it.
    """
    if (
        place[:1] == ("cameras",)
        and len(place) > 2
        and not source.has(place)
        and source.has(("defaults", *place[2:]))
    ):
        place = ("defaults", *place[2:])
    if kind != "missing":
        while len(place) > 1 and not source.has(place):
            place = place[:-1]  # the name of a union's option, or a value that a default supplied
    name = ".".join(source.written(place))
    return f"{source.path}:{source.line_of(place)} {name}".rstrip() + ": "


def _place(loc: Sequence[str | int], root: type[BaseModel]) -> tuple[Place, type[BaseModel], Any]:
    """The path as the user wrote it, the section that it ends in, and the type that is wanted there."""
    place: list[str | int] = []
    annotation: Any = root
    model = root
    for part in loc[:-1] if loc[-1:] == ("[key]",) else loc:
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
    return tuple(place), model, annotation


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


_URL = "use url: mqtt://HOST:PORT"
_ELSEWHERE: dict[Place, str] = {
    ("broker", "host"): _URL,
    ("broker", "port"): _URL,
    ("broker", "address"): _URL,
}
"""What to write in place of a key that other programs have."""


def _message(detail: dict[str, Any], place: Place, model: type[BaseModel], annotation: Any) -> str:
    """`expected X, got Y; what to do` for one pydantic error."""
    kind, context = detail["type"], detail.get("ctx") or {}
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "expected a value, got nothing; add the key"
    if kind == "extra_forbidden":
        known = sorted(model.model_fields)
        near = difflib.get_close_matches(str(detail["loc"][-1]), known, 1)
        hint = f"did you mean {near[0]}?" if near else _ELSEWHERE.get(place, "remove the key")
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
        hint = (
            "; a place is a part of the picture, 0 to 1, neither px nor per cent" if "points" in place else ""
        )
        return f"expected {words} {context[key]:g}, got {shown}{hint}"
    if kind in ("literal_error", "enum"):
        return f"expected {context['expected']}, got {shown}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        kinds = [str(_tag_of(option)) for option in sections_in(annotation)]
        near = difflib.get_close_matches(context.get("tag", ""), kinds, 1)
        hint = f"did you mean {near[0]}?" if near else f"add kind: {kinds[0]}, or another of them"
        return f"expected kind: one of {', '.join(kinds)}, got {context.get('tag', 'none')}; {hint}"
    if kind == "string_pattern_mismatch":
        return f"expected letters, digits, _ and - (64 at most, the first no - or _), got {shown}"
    if kind in ("too_short", "too_long"):
        words = "at least" if kind == "too_short" else "at most"
        count = context.get("min_length", context.get("max_length"))
        return f"expected {words} {count}, got {context.get('actual_length', 'another number')}"
    if kind == "string_type" and isinstance(detail.get("input"), bool | int | float | date):
        return f"expected text, got {shown}; put it in quotes"
    for name, words in _TYPE_NAMES.items():
        if kind.startswith(name):
            return f"expected {words}, got {shown}"
    return f"expected a valid value, got {shown} ({detail['msg']})"


def _shorten(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    if "://" in text and "@" in text:  # an address that may hold a password
        return "another value"
    return text if len(text) <= 60 else text[:57] + "..."
