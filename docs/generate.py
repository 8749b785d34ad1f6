"""Writes the parts of these pages that follow from the code: `python docs/generate.py`, `--check` to compare.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`; everything else on a page is written by
hand. The settings come from the JSON Schema of the configuration, the topics and payloads from the AsyncAPI
document, so both from the models that the agent itself uses.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from agent.example import document  # noqa: E402

Schema = dict[str, Any]
_UNITS = {
    "px_s": "px/s",
    "m_s": "m/s",
    "s": "s",
    "ms": "ms",
    "mb": "MB",
    "deg": "°",
    "fps": "1/s",
    "bytes": "bytes",
}
_UNITS_BY_NAME = {"width": "px", "height": "px", "max_width": "px"}
_MARK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def configuration() -> Iterator[str]:
    """Every section of the configuration file with its settings."""
    schema = json.loads(document("config"))
    sections = schema["$defs"]
    yield from _section("The whole file", schema, sections)
    pending = list(_children("", schema))
    seen: set[str] = set()
    while pending:
        path, kind = pending.pop(0)
        if kind in seen:
            continue
        seen.add(kind)
        yield from _section(f"`{path}`", sections[kind], sections)
        pending = list(_children(path + ".", sections[kind])) + pending
    yield from _rules(sections)


def _children(prefix: str, schema: Schema) -> Iterator[tuple[str, str]]:
    """(path, definition) of the sections below, rules apart."""
    for name, field in schema.get("properties", {}).items():
        for option in field.get("anyOf", [field]):
            if "$ref" in option:
                yield prefix + name, _definition(option)
            for inner in option.get("patternProperties", {}).values():
                if "$ref" in inner:
                    yield f"{prefix}{name}.NAME", _definition(inner)
            if "$ref" in option.get("items", {}):
                yield f"{prefix}{name}[]", _definition(option["items"])


def _rules(sections: Schema) -> Iterator[str]:
    kinds = {kind: sections[name] for name, kind in _rule_kinds(sections)}
    shared = set.intersection(*(set(schema["properties"]) for schema in kinds.values())) - {"kind"}
    first = next(iter(kinds.values()))
    yield from ["### `cameras.NAME.rules[]`", "", "Every rule has a `kind` and takes these:", ""]
    common = {name: field for name, field in first["properties"].items() if name in shared}
    yield from _table(common, first, sections)
    for kind, schema in kinds.items():
        own = {name: field for name, field in schema["properties"].items() if name not in shared | {"kind"}}
        yield from [f"### Rule `{kind}`", "", _prose(schema.get("description", "")), ""]
        yield from _table(own, schema, sections)


def _rule_kinds(sections: Schema) -> Iterator[tuple[str, str]]:
    mapping = sections["CameraSettings"]["properties"]["rules"]["items"]["discriminator"]["mapping"]
    for kind, reference in mapping.items():
        yield reference.rpartition("/")[2], kind


def _section(title: str, schema: Schema, sections: Schema) -> Iterator[str]:
    yield from [f"### {title}", "", _prose(schema.get("description", "")), ""]
    yield from _table(schema["properties"], schema, sections)


def _table(fields: Schema, owner: Schema, sections: Schema) -> Iterator[str]:
    yield from ["| setting | type | default | unit | meaning |", "| --- | --- | --- | --- | --- |"]
    for name, field in fields.items():
        default = _default(name, field, owner)
        unit = _UNITS_BY_NAME.get(name) or next(
            (unit for ending, unit in _UNITS.items() if name == ending or name.endswith("_" + ending)), ""
        )
        yield f"| `{name}` | {_type(field)} | {default} | {unit} | {_meaning(field, sections)} |"
    yield ""


def _meaning(field: Schema, sections: Schema) -> str:
    text = (
        field.get("description")
        or ("$ref" in field and sections[_definition(field)].get("description"))
        or ""
    )
    return _prose(str(text).partition("\n\n")[0])


def _default(name: str, field: Schema, owner: Schema) -> str:
    if name in owner.get("required", ()):
        return "*required*"
    value = field.get("default")
    if "$ref" in field or value is None:
        return "" if "$ref" in field else "none"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _type(field: Schema) -> str:
    """A field's type and bounds, in words."""
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"] if option.get("type") != "null")
    if field.get("$ref"):
        return "section"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type")
    if kind in ("number", "integer"):
        return ("number" if kind == "number" else "whole number") + _bounds(field)
    if kind == "boolean":
        return "`true`, `false`"
    if kind == "string":
        return "path" if field.get("format") == "path" else "name" if "pattern" in field else "text"
    if kind == "array":
        if "prefixItems" in field:
            return f"[{', '.join(_type(item) for item in field['prefixItems'])}]"
        items = field.get("items", {})
        return "rules" if "discriminator" in items else f"list of {_type(items)}"
    if kind == "object":
        inner = next(iter(field.get("patternProperties", {}).values()), field.get("additionalProperties"))
        return f"NAME: {_type(inner)}" if isinstance(inner, dict) else "mapping"
    return "any"


def _bounds(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f" {low:g}..{high:g}"
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return "".join(f" {sign} {field[key]:g}" for key, sign in words.items() if key in field)


def topics() -> Iterator[str]:
    """What a device publishes, and what it can be told."""
    contract = json.loads(document("asyncapi"))
    yield from ["| topic | what | retained | payload |", "| --- | --- | --- | --- |"]
    for operation in contract["operations"].values():
        if operation["action"] == "send":
            channel = _resolve(contract, operation["channel"])
            retained = "yes" if operation["bindings"]["mqtt"]["retain"] else "no"
            cells = (f"`{channel['address']}`", operation["summary"], retained, _payload(contract, channel))
            yield f"| {' | '.join(cells)} |"
    yield from ["", "| request | what | payload |", "| --- | --- | --- |"]
    for operation in contract["operations"].values():
        if operation["action"] == "receive":
            channel = _resolve(contract, operation["channel"])
            yield f"| `{channel['address']}` | {operation['summary']} | {_payload(contract, channel)} |"
    yield ""


def _payload(contract: Schema, channel: Schema) -> str:
    (message,) = (_resolve(contract, reference) for reference in channel["messages"].values())
    payload = message["payload"]
    if "$ref" in payload:
        return f"[{_definition(payload)}](#{_definition(payload).lower()})"
    if "enum" in payload:
        return ", ".join(f"`{value}`" for value in payload["enum"])
    if "properties" in payload:
        return "; ".join(
            f"`{name}`: {_prose(field.get('description', ''))}"
            for name, field in payload["properties"].items()
        )
    return f"{message['contentType']}"


def payloads() -> Iterator[str]:
    """Every payload with its fields."""
    schemas = json.loads(document("asyncapi"))["components"]["schemas"]
    for name, schema in schemas.items():
        if "properties" not in schema:
            continue
        yield from [f"### {name}", "", _prose(schema.get("description", "")), ""]
        yield from ["| field | type | always there | meaning |", "| --- | --- | --- | --- |"]
        for key, field in schema["properties"].items():
            always = "yes" if key in schema.get("required", ()) else ""
            inner = next((found for found in _references(field) if "properties" in schemas[found]), None)
            kind = _type(_plain(field, schemas)) if inner is None else f"[{inner}](#{inner.lower()})"
            yield f"| `{key}` | {kind} | {always} | {_prose(field.get('description', ''))} |"
        yield ""


def _references(field: Schema) -> list[str]:
    """The payloads that a field holds, by itself, in a list or under names."""
    options = [field, *field.get("anyOf", ())]
    options += [
        inner
        for option in options
        for inner in (option.get("items"), option.get("additionalProperties"))
        if isinstance(inner, dict)
    ]
    return [_definition(option) for option in options if "$ref" in option]


def _plain(field: Schema, schemas: Schema) -> Schema:
    """A field with what it refers to, where that is no payload of its own."""
    return {**schemas[_definition(field)], **field, "$ref": ""} if "$ref" in field else field


def _definition(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _resolve(contract: Schema, reference: Schema) -> Schema:
    found: Any = contract
    for part in reference["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def _prose(text: str) -> str:
    """One line that a table's cell can hold."""
    return " ".join(text.split()).replace("|", "\\|")


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "configuration": configuration,
    "mqtt-topics": topics,
    "mqtt-payloads": payloads,
}


def refreshed(page: str) -> str:
    """A page with its generated parts as they should be."""
    return _MARK.sub(
        lambda mark: mark[1] + "\n" + "\n".join(PARTS[mark[2]]()).rstrip() + "\n\n" + mark[3], page
    )


def main() -> int:
    """Exit 1 with `--check` if a page is not as it should be."""
    stale = []
    for path in sorted(HERE.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        fresh = refreshed(page)
        if fresh != page:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(fresh, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"docs: expected what `python docs/generate.py` writes, got other text in {', '.join(stale)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
