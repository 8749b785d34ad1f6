"""YAML that remembers its lines, so that a fault can name the place where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from agent.errors import ConfigError

_NO_TEXT = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:int")


class _PlainLoader(yaml.SafeLoader):
    """Refuses aliases where they stand: they can blow a small file up to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise ConfigError(
                f"{self.name}:{event.start_mark.line + 1}",
                f"expected plain YAML, got an alias (*{event.anchor})",
                "write it out; what cameras share goes below `defaults:`",
            )
        return super().compose_node(parent, index)


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
            self._root = self._compose(text)
            self._refuse_doubtful_keys(self._root)
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

    def _compose(self, text: str) -> yaml.Node | None:
        loader = _PlainLoader(text)
        loader.name = str(self.path)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()

    def _refuse_doubtful_keys(self, node: yaml.Node | None) -> None:
        """A key twice would lose the first silently."""
        pending = [node]
        while pending:
            current = pending.pop()
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
        steps = self._steps(path)
        return steps[-1][1] if steps else 1

    def written(self, path: Sequence[str | int]) -> tuple[str, ...]:
        """`path` as the file spells it: a key `no` is False to YAML."""
        texts = [text for text, _ in self._steps(path)]
        return (*texts, *map(str, path[len(texts) :]))

    def _steps(self, path: Sequence[str | int]) -> list[tuple[str, int]]:
        """Text and line (from 1) of every part of `path`, as far as the file has them."""
        node, steps = self._root, []
        for part in path:
            found = None
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if _spells(key, part)), None)
                if found is not None:
                    steps.append((found[0].value, found[0].start_mark.line + 1))
                    node = found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                found = node = node.value[part]
                steps.append((str(part), node.start_mark.line + 1))
            if found is None:
                break
        return steps

    def has(self, path: Sequence[str | int]) -> bool:
        """Whether the file itself holds a value at `path`."""
        value = self.content
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return False
        return True


def _spells(key: yaml.Node, part: str | int) -> bool:
    """Whether a key of the file is `part`: by its letters, or as what YAML takes it for."""
    if key.value == str(part):
        return True
    return isinstance(part, int) and key.tag in _NO_TEXT and bool(yaml.safe_load(key.value) == part)
