"""Zones, tripwires and rules put into the text of a configuration or taken out; every other byte stays.

The text is not parsed and written anew: what is there, comments, order and spacing, is the user's. The result
is parsed again: should it say anything else than the old content with the change, it is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from agent.errors import ConfigError
from agent.web.yaml_text import add_entry, add_item, flow, remove, replace_items

_HINT = "copy the YAML and put it in by hand"
_HINT_REMOVE = "take it out by hand"


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

    def change(content: Any) -> str:
        place = content["cameras"][camera].setdefault(section, {}).setdefault(name, {})
        is_new, before = not place, place.get("points", [])
        place.update(shape if is_new else {"points": shape["points"]})
        if rule is not None:
            content["cameras"][camera].setdefault("rules", []).append(rule)
        at = ("cameras", camera)
        if is_new:
            changed = add_entry(text, (*at, section), name, shape)
        else:
            changed = replace_items(text, (*at, section, name, "points"), before, shape["points"])
        return changed if rule is None else add_item(changed, (*at, "rules"), rule)

    return _checked(text, camera, change, _HINT)


def without_place(text: str, camera: str, section: str, name: str) -> str:
    """The text of a configuration without a place and without the rules that watch it.

    Args:
        text: the whole file, sound YAML without aliases.
        camera: name of the camera.
        section: `zones` or `tripwires`.
        name: of the place.

    Raises:
        ConfigError: there is no such place in the camera's section, or the file is written in a way that is
            not understood.
    """

    def change(content: Any) -> str:
        own = content["cameras"][camera]
        if name not in (own.get(section) or {}):
            where = f"cameras.{camera}.{section}.{name}"
            raise ConfigError(where, "expected it in this camera's section, got none there", _HINT_REMOVE)
        del own[section][name]
        changed = remove(text, ("cameras", camera, section, name))
        rules = own.get("rules") or []
        for index in reversed(range(len(rules))):
            if _watches(rules[index], section, name):
                del rules[index]
                changed = remove(changed, ("cameras", camera, "rules", index))
        return changed

    return _checked(text, camera, change, _HINT_REMOVE)


def _watches(rule: Mapping[str, Any], section: str, name: str) -> bool:
    """Whether a rule, as it stands in the file, refers to a place."""
    if section == "tripwires":
        return rule.get("tripwire") == name
    return rule.get("zone") == name or name in (rule.get("zones") or ())


def _checked(text: str, camera: str, change: Callable[[Any], str], hint: str) -> str:
    """The changed text, where it says what the changed content does.

    Args:
        text: the file.
        camera: for faults.
        change: changes the parsed content it is given, and returns the text changed alike.
        hint: what to do otherwise.
    """
    expected = copy.deepcopy(yaml.safe_load(text))
    try:
        changed = change(expected)
        sound = _filled(yaml.safe_load(changed)) == _filled(yaml.safe_load(yaml.safe_dump(_plain(expected))))
    except (KeyError, AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        problem = f"expected a section as usual, got one that {error}"
        raise ConfigError(f"cameras.{camera}", problem, hint) from error
    if not sound:
        problem = "expected a file that can be changed, got an unusual layout"
        raise ConfigError(f"cameras.{camera}", problem, hint)
    return changed


def _filled(content: Any) -> Any:
    """Without empty collections: a section that lost its last entry may be gone or empty."""
    if isinstance(content, Mapping):
        return {key: _filled(item) for key, item in content.items() if item not in ({}, [])}
    return content


def _plain(value: Any) -> Any:
    """Tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
