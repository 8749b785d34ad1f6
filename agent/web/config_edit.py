"""Zones, tripwires and rules put into the text of a configuration, every other byte of which stays.

The text is not parsed and written anew: what is there, comments, order and spacing, is the user's. Places
to insert at are found by PyYAML's marks, and the result is parsed again: should it say anything else than the
old content with the change, it is refused.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from agent.errors import ConfigError

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"}
_HINT = "copy the YAML and put it in by hand"


def flow(value: Any) -> str:
    """A value as one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def snippet(
    camera: str, section: str, name: str, shape: Mapping[str, Any], rule: Mapping[str, Any] | None
) -> str:
    """The change as YAML to copy."""
    lines = ["cameras:", f"  {flow(camera)}:", f"    {section}:", f"      {flow(name)}: {flow(shape)}"]
    if rule is not None:
        lines += ["    rules:", f"      - {flow(rule)}"]
    return "\n".join(lines) + "\n"


def with_change(
    text: str, camera: str, section: str, name: str, shape: Mapping[str, Any], rule: Mapping[str, Any] | None
) -> str:
    """The text of a configuration with a place, new or with new points, and a new rule.

    Args:
        text: the whole file, sound YAML without aliases.
        camera: name of the camera.
        section: `zones` or `tripwires`.
        name: of the place.
        shape: its settings; of a place that is there only the points are changed.
        rule: to append, or None.

    Raises:
        ConfigError: the file is written in a way that is not understood.
    """
    expected = copy.deepcopy(yaml.safe_load(text))
    try:
        place = expected["cameras"][camera].setdefault(section, {}).setdefault(name, {})
        is_new = not place
        place.update(shape if is_new else {"points": shape["points"]})
        if rule is not None:
            expected["cameras"][camera].setdefault("rules", []).append(rule)
        at = ("cameras", camera)
        if is_new:
            changed = _add_entry(text, (*at, section), name, shape)
        else:
            changed = _replace(text, (*at, section, name, "points"), flow(shape["points"]))
        if rule is not None:
            changed = _add_item(changed, (*at, "rules"), rule)
        sound = yaml.safe_load(changed) == yaml.safe_load(yaml.safe_dump(_plain(expected)))
    except (KeyError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"cameras.{camera}", f"expected a section as usual, got one that {error}", _HINT
        ) from error
    if not sound:
        raise ConfigError(
            f"cameras.{camera}", "expected a file that can be added to, got an unusual layout", _HINT
        )
    return changed


def _plain(value: Any) -> Any:
    """Tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _add_entry(text: str, path: Sequence[str], key: str, value: Any) -> str:
    """Add `key: value` to the mapping at `path`, which may be missing."""
    node = _find(text, path)
    if node is None:
        parent = _find(text, path[:-1])
        return _insert(text, parent, f"{path[-1]}:", [f"  {flow(key)}: {flow(value)}"], {key: value})
    return _insert(text, node, f"{flow(key)}: {flow(value)}", [], None)


def _add_item(text: str, path: Sequence[str], value: Any) -> str:
    """Append to the sequence at `path`, which may be missing."""
    node = _find(text, path)
    if node is None:
        return _insert(text, _find(text, path[:-1]), f"{path[-1]}:", [f"  - {flow(value)}"], [value])
    return _insert(text, node, flow(value), [], None)


def _insert(text: str, node: yaml.Node | None, entry: str, below: Sequence[str], inline: Any) -> str:
    """Put an entry at the end of a collection.

    Args:
        text: the file.
        node: the collection.
        entry: a line of it.
        below: lines that belong to it, indented relative to it; for block style.
        inline: the same as a value; for flow style.
    """
    if not isinstance(node, yaml.CollectionNode):
        raise TypeError("is no collection")
    if node.flow_style:
        whole = f"{entry} {flow(inline)}" if inline is not None else entry
        if not node.value:
            return text[: node.end_mark.index - 1] + whole + text[node.end_mark.index - 1 :]
        end = _end(node.value[-1])
        return text[:end] + f", {whole}" + text[end:]
    newline = "\r\n" if "\r\n" in text else "\n"
    dash = "- " if isinstance(node, yaml.SequenceNode) else ""
    indent = " " * node.start_mark.column
    lines = [indent + dash + entry, *(indent + line for line in below)]
    end = text.find("\n", _end(node.value[-1]))
    if end < 0:
        return text + newline + newline.join(lines) + newline
    return text[: end + 1] + newline.join(lines) + newline + text[end + 1 :]


def _replace(text: str, path: Sequence[str], new: str) -> str:
    node = _find(text, path)
    if node is None:
        raise KeyError(".".join(path))
    return text[: node.start_mark.index] + new + text[_end(node) :]


def _find(text: str, path: Sequence[str]) -> yaml.Node | None:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in path:
        if not isinstance(node, yaml.MappingNode):
            raise TypeError(f"has no mapping above {part}")
        node = next((value for key, value in node.value if key.value == part), None)
        if node is None:
            return None
    return node


def _end(node: Any) -> int:
    """Index behind the last character of a node; PyYAML's own end of a block lies before the next token."""
    if isinstance(node, tuple):  # key and value of a mapping
        return max(_end(node[0]), _end(node[1]))
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    end: int = node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        end -= 1  # a block scalar ends behind its last newline
    return end
