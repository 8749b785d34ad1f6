"""YAML that remembers its lines, so that a fault can name the place where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from agent.errors import ConfigError


class YamlFile:
    """One parsed YAML file.

    Args:
        path: the file.

    Raises:
        ConfigError: missing, not UTF-8, not YAML, a key twice, or the top is no mapping.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                str(path), f"expected a readable file, got {error.strerror or error}"
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                str(path), f"expected UTF-8 text, got byte {error.object[error.start]:#04x} at {error.start}"
            ) from error
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self._refuse_doubtful_nodes(self._root)
            self.content: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{path}:{line}", f"expected YAML, got a fault: {error.problem}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(str(path), f"expected YAML, got a fault: {reason}") from error
        if not isinstance(self.content, dict):
            got = "nothing" if self.content is None else type(self.content).__name__
            raise ConfigError(str(path), f"expected a mapping of settings, got {got}")

    def _refuse_doubtful_nodes(self, node: yaml.Node | None) -> None:
        """A key twice would lose the first silently; aliases can blow a small file up to gigabytes."""
        pending, seen = [node], set()
        while pending:
            current = pending.pop()
            if current is None:
                continue
            if id(current) in seen:
                raise ConfigError(
                    f"{self.path}:{current.start_mark.line + 1}", "expected plain YAML, got an alias (*name)"
                )
            seen.add(id(current))
            if isinstance(current, yaml.SequenceNode):
                pending.extend(current.value)
            elif isinstance(current, yaml.MappingNode):
                keys: set[str] = set()
                for key, value in current.value:
                    if not isinstance(key, yaml.ScalarNode):
                        raise ConfigError(
                            f"{self.path}:{key.start_mark.line + 1}", "expected a plain key, got a collection"
                        )
                    if key.value in keys:
                        raise ConfigError(
                            f"{self.path}:{key.start_mark.line + 1} {key.value}",
                            "expected the key once, got it twice",
                        )
                    keys.add(key.value)
                    pending.append(value)

    def line_of(self, path: Sequence[str | int]) -> int:
        """Line (from 1) of the deepest part of `path` that the file has."""
        node = self._root
        line = 1
        for part in path:
            found = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(part):
                        found, line = value, key.start_mark.line + 1
                        break
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                found = node.value[part]
                line = found.start_mark.line + 1
            if found is None:
                break
            node = found
        return line

    def has(self, path: Sequence[str | int]) -> bool:
        """Whether the file itself holds a value at `path`."""
        value = self.content
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return False
        return True
