"""Entries added to, replaced in and taken out of the text of a YAML file; every other byte stays.

Places are found by PyYAML's marks. Nothing here knows whether the result still says what it should: the
caller parses it again and compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"}


def flow(value: Any) -> str:
    """A value as one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def add_entry(text: str, path: Sequence[str], key: str, value: Any) -> str:
    """Add `key: value` to the mapping at `path`, which may be missing."""
    node = _find(text, path)
    if node is None:
        parent = _find(text, path[:-1])
        return _insert(text, parent, f"{path[-1]}:", [f"  {flow(key)}: {flow(value)}"], {key: value})
    return _insert(text, node, f"{flow(key)}: {flow(value)}", [], None)


def add_item(text: str, path: Sequence[str], value: Any) -> str:
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


def replace_items(text: str, path: Sequence[str], old: Sequence[Any], new: Sequence[Any]) -> str:
    """Give the sequence at `path` other items; those that stay keep their text, and comments their lines.

    Args:
        text: the file.
        path: of the sequence.
        old: its items.
        new: its items from now on, one at least.

    Raises:
        KeyError: there is none.
    """
    node = _find(text, path)
    if not isinstance(node, yaml.SequenceNode):
        raise KeyError(".".join(path))
    for item, before, after in reversed(list(zip(node.value, old, new, strict=False))):
        if before != after:
            text = text[: _start(item)] + flow(after) + text[_end(item) :]
    for index in reversed(range(len(new), len(old))):
        text = remove(text, (*path, index))
    for item in new[len(old) :]:
        text = add_item(text, path, item)
    return text


def remove(text: str, path: Sequence[str | int]) -> str:
    """Take out the entry or item at `path`; a block collection that would be left empty goes whole.

    A comment behind an entry on its own line goes too; comments on lines of their own stay beside what stays,
    and a collection that has only such left stays, empty.

    Raises:
        KeyError: there is none.
        TypeError: it stands in a way that is not understood.
    """
    node = _find(text, path[:-1])
    if not isinstance(node, yaml.CollectionNode):
        raise KeyError(".".join(map(str, path)))
    last = path[-1]
    at = last if isinstance(last, int) else [key.value for key, _ in node.value].index(last)
    if not node.flow_style:
        start, end = _lines(text, node, at)
        if len(node.value) > 1:
            return text[:start] + text[end:]
        return _emptied(text, path[:-1], node, start, end)
    entries = node.value
    start, end = _start(entries[at]), _end(entries[at])
    if at + 1 < len(entries):
        end = _start(entries[at + 1])
    elif at > 0:
        start = _end(entries[at - 1])
    else:
        end = node.end_mark.index - 1
    return text[:start] + text[end:]


def _lines(text: str, node: Any, at: int) -> tuple[int, int]:
    """From where to where the lines of an entry of a block collection go."""
    start = _start(node.value[at])
    if isinstance(node, yaml.SequenceNode):
        start = len(text[:start].rstrip()) - 1
        if text[start] != "-":
            raise TypeError("has a comment between a dash and its item")
    start = text.rfind("\n", 0, start) + 1
    end = text.find("\n", _end(node.value[at])) + 1
    return start, end or len(text)


def _emptied(text: str, path: Sequence[str | int], node: yaml.CollectionNode, start: int, end: int) -> str:
    """The text without a block collection, or with an empty one where comments have their lines in it.

    Args:
        text: the file.
        path: of the collection.
        node: it.
        start, end: of its only entry's lines.
    """
    parent = _find(text, path[:-1])
    assert isinstance(parent, yaml.MappingNode)  # noqa: S101 - `_find` goes through mappings alone
    key = next(key for key, value in parent.value if value.start_mark.index == node.start_mark.index)
    colon = text.index(":", key.end_mark.index) + 1
    inner = min(key.start_mark.column + 1, node.start_mark.column)
    above = text[colon:start].splitlines()[1:]
    below = takewhile(lambda line: not line.strip() or line.strip()[0] == "#", text[end:].splitlines())
    own = [*above, *(line for line in below if len(line) - len(line.lstrip()) >= inner)]
    if not any("#" in line for line in own):
        return remove(text, path)
    empty = " []" if isinstance(node, yaml.SequenceNode) else " {}"
    return text[:colon] + empty + text[colon:start] + text[end:]


def _find(text: str, path: Sequence[str | int]) -> yaml.Node | None:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in path:
        if not isinstance(node, yaml.MappingNode):
            raise TypeError(f"has no mapping above {part}")
        node = next((value for key, value in node.value if key.value == part), None)
        if node is None:
            return None
    return node


def _start(node: Any) -> int:
    index: int = (node[0] if isinstance(node, tuple) else node).start_mark.index
    return index


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
